import type {
  Claim,
  ClaimOutcome,
  ClaimRequest,
  Completion,
  ListQuery,
  RecordId,
  RecordPage,
  RecordView,
  Renewal,
  Store,
} from "@idemkit/engine";
import {
  type CheckOptions,
  type FoundRecord,
  recordInRow,
  transition,
  viewOf,
} from "@idemkit/engine/model";
import { type CheckReport, check } from "./check.ts";
import { type PostgresClient, queriesOf } from "./client.ts";
import { optionsOf, type PostgresStoreOptions } from "./options.ts";
import type { Value } from "./parameters.ts";
import type { Queries, TextRow } from "./queries.ts";
import { type PairName, Statements } from "./statements.ts";

/** Each takes a rival in the right moment: of 200 on one record some need a second round. */
const CLAIM_ROUNDS_MAX = 20;
const FIRST_DIGEST = "0".repeat(32);

/** A store in a Postgres database, through a client that stays the user's. */
export interface PostgresStore extends Store {
  /**
   * Looks whether the database is fit for use: its schema, its rights, whether a claim on trial works,
   * and what an acknowledged outcome survives. It deletes what it tried again. Call it once at the
   * start.
   *
   * @throws Error that lists what is wrong and what to do
   */
  check(options?: CheckOptions): Promise<CheckReport>;
}

/**
 * Makes a store on a Postgres database whose tables {@link migrate} has made. It opens, sets and
 * creates nothing. A first claim, a replay and a completion are one round trip each, for a whole list
 * of them; a replay locks no row and writes nothing. Each locked row is waited for one second at most.
 *
 * @param client a `Pool` of pg, the `sql` of postgres.js, or a drizzle database on one of them
 * @throws TypeError where the client or an option is something else
 */
export function postgresStore(
  client: PostgresClient,
  options: PostgresStoreOptions = {},
): PostgresStore {
  return new PooledStore(queriesOf(client), options);
}

/** An entry that has no answer yet, and where its answer goes. */
interface Open {
  readonly request: ClaimRequest;
  readonly index: number;
}

class PooledStore implements PostgresStore {
  readonly #queries: Queries;
  readonly #schema: string | undefined;
  readonly #statements: Statements;

  constructor(queries: Queries, options: PostgresStoreOptions) {
    const { schema, prepare } = optionsOf(options);
    this.#queries = queries;
    this.#schema = schema;
    this.#statements = new Statements(queries, { schema, prepare });
  }

  async claim(requests: readonly ClaimRequest[]): Promise<readonly ClaimOutcome[]> {
    const answers: ClaimOutcome[] = [];
    let open: readonly Open[] = requests.map((request, index) => ({ request, index }));
    for (let round = 0; open.length > 0; round += 1) {
      if (round === CLAIM_ROUNDS_MAX) {
        throw new Error(
          `A record changed hands in each of ${CLAIM_ROUNDS_MAX} rounds: its leases are shorter than a ` +
            "claim takes, or its row breaks the table's rules.",
        );
      }
      const found = await this.#claim(open.map(({ request }) => request));
      for (const { request, index } of open) {
        const answer = answerFrom(found.get(request.id.digest), request);
        if (answer !== undefined) answers[index] = answer;
      }
      open = open.filter(({ index }) => answers[index] === undefined);
    }
    return answers;
  }

  async renew(renewals: readonly Renewal[]): Promise<readonly boolean[]> {
    const entries = renewals.map(({ leaseMs, checkpoint, ...claim }) => {
      const { revision = null, value = null } = checkpoint ?? {};
      return [...valuesOf(claim), leaseMs, revision, value];
    });
    return await this.#change("renew", entries);
  }

  async complete(completions: readonly Completion[]): Promise<readonly boolean[]> {
    const entries = completions.map((completion) => {
      const { status, body, note = null, retentionMs = 0, ifLapsed = false } = completion;
      return [...valuesOf(completion), status, body, note, retentionMs, ifLapsed];
    });
    const outcomes = (values: readonly Value[]) => values.slice(0, 5);
    return await this.#change("complete", entries, "isCompleted", outcomes);
  }

  async release(claims: readonly Claim[]): Promise<readonly boolean[]> {
    return await this.#change("release", claims.map(valuesOf), "isReleased");
  }

  async read(ids: readonly RecordId[]): Promise<readonly (RecordView | undefined)[]> {
    const rows = await this.#statements.each(
      "read",
      ids.map(({ digest }) => [digest]),
    );
    const found = byDigest(rows);
    return ids.map((id) => {
      const { record, nowMs } = found.get(id.digest) ?? { record: undefined, nowMs: 0 };
      return transition(record, "read", id, nowMs).answer;
    });
  }

  async list({ state, after, limit }: ListQuery): Promise<RecordPage> {
    if (after !== undefined && !/^[0-9a-f]{32}$/.test(after)) {
      throw new TypeError("after: expected the `next` of a page before, or nothing.");
    }
    // One more than asked for tells whether there is a next page.
    const rows = await this.#statements.list([state, after ?? FIRST_DIGEST, limit + 1]);
    const views = rows.map(recordInRow).map(({ record, nowMs }) => viewOf(record, nowMs));
    const records = views.slice(0, limit);
    const next = views.length > limit ? records.at(-1)?.id.digest : undefined;
    return { records, ...(next !== undefined && { next }) };
  }

  async remove({ digest }: RecordId, token: number): Promise<boolean> {
    const [isRemoved = false] = await this.#change("remove", [[digest, token]]);
    return isRemoved;
  }

  async purge(limit: number): Promise<number> {
    const [row] = await this.#statements.purge(limit);
    return Number(row?.[0]);
  }

  async check(options?: CheckOptions): Promise<CheckReport> {
    return await check(this.#queries, this.#schema, this, options);
  }

  /** What one round of claims finds out. Only a record that is there already needs a second statement. */
  async #claim(requests: readonly ClaimRequest[]): Promise<ReadonlyMap<string, FoundRecord>> {
    const known = byDigest(await this.#statements.each("claim", requests.map(newClaim)));
    const again: (readonly Value[])[] = [];
    const free: (readonly Value[])[] = [];
    for (const request of requests) {
      const found = known.get(request.id.digest);
      if (found === undefined || !isToBeGranted(found, request)) continue;
      if (isOwnClaim(found, request)) again.push(repeatedClaim(request));
      else free.push(claimOver(found, request));
      // Where a rival is faster, nothing is known any more: it is asked for once again.
      known.delete(request.id.digest);
    }
    for (const row of [
      ...(await this.#statements.each("claimAgain", again)),
      ...(await this.#statements.each("claimFound", free)),
    ]) {
      const found = recordInRow(row);
      known.set(found.record.id.digest, found);
    }
    return known;
  }

  /**
   * Changes each entry that may be changed. One that was not is looked at in a fresh statement before
   * it counts as refused: a repetition can have met its own first send while that was not committed.
   */
  async #change(
    name: PairName,
    entries: readonly (readonly Value[])[],
    standing?: PairName,
    standingValues: (values: readonly Value[]) => readonly Value[] = (values) => values,
  ): Promise<readonly boolean[]> {
    const done = digestsIn(await this.#statements.each(name, entries));
    const isDone = ([digest]: readonly Value[]) => done.has(String(digest));
    const others = entries.filter((values) => !isDone(values)).map(standingValues);
    if (standing !== undefined) {
      const stand = await this.#statements.each(standing, others);
      for (const digest of digestsIn(stand)) done.add(digest);
    }
    return entries.map(isDone);
  }
}

/**
 * What the contract says of a row. It grants nothing: that is up to a statement, and where the rules
 * would grant what none did, a moment has passed and it is asked again.
 */
function answerFrom(
  found: FoundRecord | undefined,
  request: ClaimRequest,
): ClaimOutcome | undefined {
  if (found === undefined || isToBeGranted(found, request)) return undefined;
  return transition(found.record, "claim", request, found.nowMs).answer;
}

function isToBeGranted({ record, nowMs, isGranted }: FoundRecord, request: ClaimRequest): boolean {
  if (isGranted) return false;
  return transition(record, "claim", request, nowMs).answer.outcome === "claimed";
}

function isOwnClaim({ record }: FoundRecord, { owner }: ClaimRequest): boolean {
  return record.status === "claimed" && record.owner === owner;
}

function newClaim(request: ClaimRequest): readonly Value[] {
  const { id, owner, fingerprint, leaseMs, retentionMs, checkpoint = null } = request;
  return [id.digest, id.scope, id.key, owner, fingerprint, leaseMs, retentionMs, checkpoint];
}

function repeatedClaim({ id, owner, leaseMs }: ClaimRequest): readonly Value[] {
  return [id.digest, owner, leaseMs];
}

/** The claim by the rules, and what they took the record for. */
function claimOver({ record, nowMs }: FoundRecord, request: ClaimRequest): readonly Value[] {
  const { owner, fingerprint, leaseMs, retentionMs } = request;
  const next = transition(record, "claim", request, nowMs).record ?? record;
  return [
    ...[record.id.digest, record.token, record.status, record.leaseEndsAt],
    record.checkpoint?.revision ?? null,
    ...[owner, fingerprint, next.attempt, next.takenOver, leaseMs, retentionMs, next.createdAt],
    ...[next.checkpoint?.revision ?? null, next.checkpoint?.value ?? null],
  ];
}

function valuesOf({ id, owner, token }: Claim): readonly Value[] {
  return [id.digest, owner, token];
}

function byDigest(rows: readonly TextRow[]): Map<string, FoundRecord> {
  return new Map(rows.map(recordInRow).map((found) => [found.record.id.digest, found]));
}

function digestsIn(rows: readonly TextRow[]): Set<string> {
  return new Set(rows.map(([digest]) => (digest ?? "").replaceAll("-", "")));
}
