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
  expectAsked,
  type FoundRecord,
  type Given,
  recordInRow,
  recordsByDigest,
  transition,
  viewOf,
} from "@idemkit/engine/model";
import type { Value } from "./parameters.ts";
import type { PairName, Statements } from "./statements.ts";

/** Each takes a rival in the right moment: of 200 on one record some need a second round. */
const CLAIM_ROUNDS_MAX = 20;
const FIRST_DIGEST = "0".repeat(32);

type Known = ReadonlyMap<string, FoundRecord>;

/** What has to be written over records that were found. */
interface Writes {
  readonly again: (readonly Value[])[];
  readonly free: (readonly Value[])[];
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
      if (round === CLAIM_ROUNDS_MAX) {
        throw new Error(
          `A record changed hands in each of ${CLAIM_ROUNDS_MAX} rounds: its leases are shorter than a ` +
            "claim takes, or its row breaks the table's rules.",
        );
      }
      await this.#claim(open, answers);
      open = open.filter(({ id }) => !answers.has(id.digest));
    }
    return requests.map(({ id }) => answers.get(id.digest) as ClaimOutcome);
  }

  async renew(renewals: readonly Renewal[]): Promise<readonly boolean[]> {
    const entries = renewals.map(({ leaseMs = null, checkpoint, ...claim }) => {
      const { revision = null, value = null } = checkpoint ?? {};
      return [...valuesOf(claim), leaseMs, revision, value];
    });
    return await this.#change("renew", entries);
  }

  async complete(completions: readonly Completion[]): Promise<readonly boolean[]> {
    return await this.#changeOrStand("complete", completions, completions.map(outcomeOf));
  }

  /** Completes what was claimed in the same transaction, unless that is over. */
  async completeHere(completions: readonly Completion[]): Promise<readonly boolean[]> {
    return await this.#change("completeHere", completions.map(outcomeOf));
  }

  async release(claims: readonly Claim[]): Promise<readonly boolean[]> {
    return await this.#changeOrStand("release", claims, claims.map(valuesOf));
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

  async #read(ids: readonly RecordId[]): Promise<Known> {
    const digests = ids.map(({ digest }) => [digest]);
    return recordsByDigest(await this.#statements.each("read", digests), ids);
  }

  /**
   * One round of claims. Only a record that is there already needs a second statement; where a rival is
   * faster there is no answer, and it is asked for once again.
   */
  async #claim(
    requests: readonly ClaimRequest[],
    answers: Map<string, ClaimOutcome>,
  ): Promise<void> {
    const ids = requests.map(({ id }) => id);
    const rows = await this.#statements.each("claim", requests.map(newClaim));
    const known = recordsByDigest(rows, ids);
    const writes: Writes = { again: [], free: [] };
    for (const request of requests) {
      const answer = answerOrWrite(known.get(request.id.digest), request, writes);
      if (answer !== undefined) answers.set(request.id.digest, answer);
    }
    if (writes.again.length + writes.free.length === 0) return;
    const written = [
      ...(await this.#statements.each("claimAgain", writes.again)),
      ...(await this.#statements.each("claimFound", writes.free)),
    ];
    const granted = recordsByDigest(written, ids);
    for (const request of granted.size === 0 ? [] : requests) {
      const answer = answerOrWrite(granted.get(request.id.digest), request, writes);
      if (answer !== undefined) answers.set(request.id.digest, answer);
    }
  }

  /** Whether each entry could be changed. */
  async #change(name: PairName, entries: readonly (readonly Value[])[]): Promise<boolean[]> {
    const rows = await this.#statements.each(name, entries);
    const done = new Set(rows.map(([digest]) => (digest ?? "").replaceAll("-", "")));
    const asked = new Set(entries.map(([digest]) => String(digest)));
    for (const digest of done) expectAsked(asked.has(digest));
    return entries.map(([digest]) => done.has(String(digest)));
  }

  /**
   * Changes each entry that may be changed. One that was not is read before it counts as refused: a
   * repetition can have met its own first send while that was not committed.
   */
  async #changeOrStand<Name extends "complete" | "release">(
    name: Name,
    given: readonly Given<Name>[],
    entries: readonly (readonly Value[])[],
  ): Promise<readonly boolean[]> {
    const changed = await this.#change(name, entries);
    const refused = given.filter((_, index) => !changed[index]);
    const known = await this.#read(refused.map(({ id }) => id));
    return given.map((one, index) => {
      const found = known.get(one.id.digest);
      if (changed[index] || found === undefined) return changed[index] === true;
      const { answer, record } = transition(found.record, name, one, found.nowMs);
      return answer && record === found.record;
    });
  }
}

/**
 * What the contract says of a row; undefined where nothing is known, or something has to be written
 * first. The rules grant nothing: that is up to a statement.
 */
function answerOrWrite(
  found: FoundRecord | undefined,
  request: ClaimRequest,
  { again, free }: Writes,
): ClaimOutcome | undefined {
  if (found === undefined) return undefined;
  const { record, nowMs, isGranted } = found;
  const { answer } = transition(record, "claim", request, nowMs);
  if (isGranted || answer.outcome !== "claimed") return answer;
  const isOwn = record.status === "claimed" && record.owner === request.owner;
  if (isOwn) again.push([request.id.digest, request.owner, request.leaseMs]);
  else free.push(claimOver(found, request));
  return undefined;
}

function newClaim(request: ClaimRequest): readonly Value[] {
  const { id, owner, fingerprint, leaseMs, retentionMs, checkpoint = null } = request;
  return [id.digest, id.scope, id.key, owner, fingerprint, leaseMs, retentionMs, checkpoint];
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

function outcomeOf(completion: Completion): readonly Value[] {
  const { status, body, note = null, retentionMs = 0, ifLapsed = false } = completion;
  return [...valuesOf(completion), status, body, note, retentionMs, ifLapsed];
}

function valuesOf({ id, owner, token }: Claim): readonly Value[] {
  return [id.digest, owner, token];
}
