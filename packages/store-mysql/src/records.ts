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
  type FoundRecord,
  type Given,
  recordInRow,
  recordsByDigest,
  transition,
  viewOf,
} from "@idemkit/engine/model";
import type { Entry, Pair } from "./pairs.ts";
import * as sql from "./sql.ts";
import { isInterrupted, type Statements } from "./statements.ts";

/** Each takes a rival in the right moment: of 200 on one record some need a second round. */
const ROUNDS_MAX = 20;
const MICROSECONDS_PER_MS = 1_000;
const PURGED_AT_ONCE_MAX = 1_000;
const FIRST_DIGEST = "0".repeat(32);

type Changing = "renew" | "complete" | "release";
type Known = ReadonlyMap<string, FoundRecord>;

/** What has to be written for claims, by what was found. */
interface Writes {
  readonly absent: ClaimRequest[];
  readonly own: Entry[];
  readonly free: Entry[];
}

/** The records of a database, through whatever runs statements. */
export class Records implements Store {
  readonly #statements: Statements;

  constructor(statements: Statements) {
    this.#statements = statements;
  }

  async claim(requests: readonly ClaimRequest[]): Promise<readonly ClaimOutcome[]> {
    const answers = new Map<string, ClaimOutcome>();
    let open = requests;
    for (let round = 0; open.length > 0; round += 1) {
      refuseRound(round);
      const known = await this.#read(open.map(({ id }) => id));
      const writes: Writes = { absent: [], own: [], free: [] };
      for (const request of open) {
        const answer = answerOrWrite(known, request, writes, round > 0);
        if (answer !== undefined) answers.set(request.id.digest, answer);
      }
      await this.#write(writes, answers);
      open = open.filter(({ id }) => !answers.has(id.digest));
    }
    return requests.map(({ id }) => answers.get(id.digest) as ClaimOutcome);
  }

  async renew(renewals: readonly Renewal[]): Promise<readonly boolean[]> {
    return await this.#change("renew", sql.RENEW, renewals, (renewal) => ({
      lease_ms: renewal.leaseMs ?? null,
      revision: renewal.checkpoint?.revision ?? null,
      checkpoint: renewal.checkpoint?.value ?? null,
      ...entryOf(renewal),
    }));
  }

  async complete(completions: readonly Completion[]): Promise<readonly boolean[]> {
    return await this.#change("complete", sql.COMPLETE, completions, (completion) => ({
      status: completion.status,
      body: completion.body,
      note: completion.note ?? null,
      retention_ms: completion.retentionMs ?? 0,
      if_lapsed: completion.ifLapsed ?? false,
      ...entryOf(completion),
    }));
  }

  async release(claims: readonly Claim[]): Promise<readonly boolean[]> {
    return await this.#change("release", sql.RELEASE, claims, entryOf);
  }

  async read(ids: readonly RecordId[]): Promise<readonly (RecordView | undefined)[]> {
    const known = await this.#read(ids);
    return ids.map((id) => {
      const { record, nowMs } = known.get(id.digest) ?? { record: undefined, nowMs: 0 };
      return transition(record, "read", id, nowMs).answer;
    });
  }

  async list({ state, after, limit }: ListQuery): Promise<RecordPage> {
    if (after !== undefined && !/^[0-9a-f]{32}$/.test(after)) {
      throw new TypeError("after: expected the `next` of a page before, or nothing.");
    }
    // One more than asked for tells whether there is a next page.
    const entry = { after: after ?? FIRST_DIGEST, state };
    const rows = await this.#statements.read(sql.list(limit + 1), [entry]);
    const views = rows.map(recordInRow).map(({ record, nowMs }) => viewOf(record, nowMs));
    const records = views.slice(0, limit);
    const next = views.length > limit ? records.at(-1)?.id.digest : undefined;
    return { records, ...(next !== undefined && { next }) };
  }

  async remove(id: RecordId, token: number): Promise<boolean> {
    const { count } = await this.#statements.write(sql.REMOVE, [{ digest: id.digest, token }]);
    if (count > 0) return true;
    const found = (await this.#read([id])).get(id.digest);
    return transition(found?.record, "remove", { token }, found?.nowMs ?? 0).answer;
  }

  async purge(limit: number): Promise<number> {
    let purged = 0;
    let atOnce = PURGED_AT_ONCE_MAX;
    while (purged < limit) {
      const some = Math.min(limit - purged, atOnce);
      const digests = await this.#statements.readAll(sql.due(some));
      const entries = digests.map(([digest = null]) => ({ digest }));
      try {
        const { count } = await this.#statements.write(sql.PURGE, entries);
        purged += count;
        if (digests.length < some || count === 0) break;
      } catch (error) {
        // Large bodies can take longer than a statement may.
        if (!isInterrupted(error) || some === 1) throw error;
        atOnce = Math.ceil(some / 2);
      }
    }
    return purged;
  }

  async #read(ids: readonly RecordId[]): Promise<Known> {
    const rows = await this.#statements.read(
      sql.READ,
      ids.map(({ digest }) => ({ digest })),
    );
    return recordsByDigest(rows, ids);
  }

  /** A single claim of what is absent hears at once what it got; all others are read in the next round. */
  async #write({ absent, own, free }: Writes, answers: Map<string, ClaimOutcome>): Promise<void> {
    const { said: token } = await this.#statements.write(sql.CLAIM, absent.map(newClaim));
    const [only] = absent;
    if (only !== undefined && absent.length === 1 && token > 0) {
      answers.set(only.id.digest, outcomeOfNew(only, token));
    }
    await this.#statements.write(sql.CLAIM_AGAIN, own);
    await this.#statements.write(sql.CLAIM_FOUND, free);
  }

  /**
   * Changes each entry that may be changed. Where some were not, the rules judge what is there now. An
   * owner that has lost a record never gets it back: a renewal that would be granted still, was.
   */
  async #change<Name extends Changing>(
    name: Name,
    pair: Pair,
    given: readonly Given<Name>[],
    entry: (given: Given<Name>) => Entry,
  ): Promise<readonly boolean[]> {
    const answers = new Map<string, boolean>();
    let open = given;
    for (let round = 0; open.length > 0; round += 1) {
      refuseRound(round);
      const { count } = await this.#statements.write(pair, open.map(entry));
      if (count === open.length) break;
      const known = await this.#read(open.map(({ id }) => id));
      open = open.filter((one) => {
        const found = known.get(one.id.digest)?.record;
        const nowMs = known.get(one.id.digest)?.nowMs ?? 0;
        const { answer, record } = transition(found, name, one, nowMs);
        const isOver = !answer || name === "renew" || record === found;
        if (isOver) answers.set(one.id.digest, answer);
        return !isOver;
      });
    }
    return given.map(({ id }) => answers.get(id.digest) ?? true);
  }
}

function refuseRound(round: number): void {
  if (round < ROUNDS_MAX) return;
  throw new Error(
    `A record changed hands in each of ${ROUNDS_MAX} rounds: its leases are shorter than a claim takes, ` +
      "or its row breaks the table's rules.",
  );
}

/** What the contract says of what was found; undefined where something has to be written first. */
function answerOrWrite(
  known: Known,
  request: ClaimRequest,
  writes: Writes,
  hasWritten: boolean,
): ClaimOutcome | undefined {
  const { id, owner, leaseMs } = request;
  const found = known.get(id.digest);
  const { answer } = transition(found?.record, "claim", request, found?.nowMs ?? 0);
  if (answer.outcome !== "claimed") return answer;
  if (found === undefined) {
    writes.absent.push(request);
    return undefined;
  }
  const isOwn = found.record.status === "claimed" && found.record.owner === owner;
  if (isOwn && hasWritten) return answer;
  if (isOwn) writes.own.push({ digest: id.digest, owner, lease_ms: leaseMs });
  else writes.free.push(claimOver(found, request));
  return undefined;
}

function newClaim(request: ClaimRequest): Entry {
  const { id, owner, fingerprint, leaseMs, retentionMs, checkpoint } = request;
  return {
    ...{ owner, fingerprint, lease_ms: leaseMs, retention_ms: retentionMs },
    ...id,
    ...(checkpoint !== undefined && { checkpoint_revision: 0, checkpoint }),
  };
}

/** What was said to a claim of an absent record, whose token is the time when it was written. */
function outcomeOfNew(request: ClaimRequest, token: number): ClaimOutcome {
  const createdAt = Math.floor(token / MICROSECONDS_PER_MS);
  return { ...transition(undefined, "claim", request, createdAt).answer, token } as ClaimOutcome;
}

/** The claim by the rules, and what they took the record for. */
function claimOver({ record, nowMs }: FoundRecord, request: ClaimRequest): Entry {
  const { owner, fingerprint, leaseMs, retentionMs } = request;
  const next = transition(record, "claim", request, nowMs).record ?? record;
  return {
    digest: record.id.digest,
    found_token: record.token,
    found_status: record.status,
    found_lease_ends_at: record.leaseEndsAt,
    found_revision: record.checkpoint?.revision ?? null,
    ...{ owner, fingerprint, lease_ms: leaseMs, retention_ms: retentionMs },
    attempt: next.attempt,
    taken_over: next.takenOver,
    created_at: next.createdAt,
    checkpoint_revision: next.checkpoint?.revision ?? null,
    checkpoint: next.checkpoint?.value ?? null,
  };
}

function entryOf({ id, owner, token }: Claim): Entry {
  return { digest: id.digest, owner, token };
}
