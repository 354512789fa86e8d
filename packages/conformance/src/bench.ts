import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import type {
  Checkpoint,
  Claim,
  Claimed,
  ClaimOutcome,
  ClaimRequest,
  Completion,
  OpenState,
  RecordId,
  RecordView,
  Renewal,
  Store,
} from "@idemkit/engine";
import type { Clause, Harness } from "./harness.ts";

export const LEASE_MS = 60_000;
export const RETENTION_MS = 1_000_000;
/** How long a clause may really take without its durations coming out wrong. */
export const TOLERANCE_MS = 10_000;
/** How many pages a clause follows. */
const PAGES_MAX = 10_000;

/** A clause whose check gets a bench: the harness with fresh ids and shorter words. */
export function clause(id: string, title: string, check: (bench: Bench) => Promise<void>): Clause {
  return {
    id,
    title,
    check: async (harness) => {
      try {
        await check(new Bench(harness));
      } catch (error) {
        // Runners show the assertion first; the promise it is about says what it means.
        if (error instanceof Error) error.message = `${id}: ${title}\n${error.message}`;
        throw error;
      }
    },
  };
}

/** One record of a clause, asked for in single calls through either handle. */
export class Subject {
  readonly id: RecordId;
  readonly #store: Store;
  /** What each owner was granted last; under "" what anybody was. */
  readonly #tokens: Map<string, number>;

  constructor(id: RecordId, store: Store, tokens = new Map<string, number>()) {
    this.id = id;
    this.#store = store;
    this.#tokens = tokens;
  }

  /** The same record through another handle. */
  through(store: Store): Subject {
    return new Subject(this.id, store, this.#tokens);
  }

  request(given: Partial<ClaimRequest> = {}): ClaimRequest {
    return {
      id: this.id,
      owner: newOwner(),
      fingerprint: "fingerprint",
      leaseMs: LEASE_MS,
      retentionMs: RETENTION_MS,
      takeOver: false,
      ...given,
    };
  }

  async claim(given: Partial<ClaimRequest> = {}): Promise<ClaimOutcome> {
    const request = this.request(given);
    const outcome = only(await this.#store.claim([request]));
    if (outcome.outcome === "claimed") {
      for (const owner of [request.owner, ""]) this.#tokens.set(owner, outcome.token);
    }
    return outcome;
  }

  /** The owner's claim; for a stranger, with the token that somebody else was granted. */
  claimOf(owner: string): Claim {
    return { id: this.id, owner, token: this.#tokens.get(owner) ?? this.#tokens.get("") ?? 1 };
  }

  /** Claims, and expects to be granted it. */
  async claimed(given: Partial<ClaimRequest> = {}): Promise<Claimed & Claim> {
    const request = this.request(given);
    const outcome = await this.claim(request);
    assert.equal(outcome.outcome, "claimed", "expected the claim to be granted");
    return { ...(outcome as Claimed), id: this.id, owner: request.owner };
  }

  async renew(owner: string, given: Partial<Renewal> = {}): Promise<boolean> {
    return only(await this.#store.renew([{ ...this.claimOf(owner), leaseMs: LEASE_MS, ...given }]));
  }

  /** Keeps progress, and leaves the end of the lease as it is. */
  async keep(owner: string, checkpoint: Checkpoint): Promise<boolean> {
    return only(await this.#store.renew([{ ...this.claimOf(owner), checkpoint }]));
  }

  async complete(owner: string, given: Partial<Completion> = {}): Promise<boolean> {
    const outcome = { status: "succeeded", body: "body" } as const;
    const completion = { ...this.claimOf(owner), ...outcome, ...given };
    return only(await this.#store.complete([completion]));
  }

  async release(owner: string, given: Partial<Claim> = {}): Promise<boolean> {
    return only(await this.#store.release([{ ...this.claimOf(owner), ...given }]));
  }

  async remove(token: number): Promise<boolean> {
    return await this.#store.remove(this.id, token);
  }

  async read(): Promise<RecordView | undefined> {
    return only(await this.#store.read([this.id]));
  }

  /** Reads, and expects a record. */
  async view(): Promise<RecordView> {
    const view = await this.read();
    assert.ok(view, "expected a record, read none");
    return view;
  }
}

export class Bench {
  readonly first: Store;
  readonly second: Store;
  readonly usesDate: boolean;
  readonly expiresByItself: boolean;
  readonly #harness: Harness;
  readonly #digests: string[] = [];

  constructor(harness: Harness) {
    this.#harness = harness;
    [this.first, this.second] = harness.stores;
    this.usesDate = harness.usesDate ?? false;
    this.expiresByItself = harness.expiresByItself ?? false;
  }

  newId(labels: Partial<RecordId> = {}): RecordId {
    const digest = randomBytes(16).toString("hex");
    this.#digests.push(digest);
    return { digest, scope: "11:conformance", key: `key ${digest}`, ...labels };
  }

  /** A record that does not exist yet, through the first handle. */
  subject(labels: Partial<RecordId> = {}): Subject {
    return new Subject(this.newId(labels), this.first);
  }

  subjects(count: number): readonly Subject[] {
    return Array.from({ length: count }, () => this.subject());
  }

  /** Lets time pass for these records, or for every record of this clause. */
  async elapse(ms: number, subjects?: readonly Subject[]): Promise<void> {
    const digests = subjects?.map(({ id }) => id.digest) ?? this.#digests;
    await this.#harness.elapse(ms, digests);
  }

  /** Both handles by turns, for races. */
  handle(index: number): Store {
    return index % 2 === 0 ? this.first : this.second;
  }
}

export function newOwner(): string {
  return randomBytes(16).toString("hex");
}

/** Owners that must not pass the fence: a stranger, the same in other letters, and none. */
export async function wrongOwners(subject: Subject): Promise<readonly string[]> {
  const { owner = "" } = await subject.view();
  return [newOwner(), owner.toUpperCase(), ""].filter((wrong) => wrong !== owner);
}

/** The claims that were granted to a list of requests: expects all of them to be. */
export function granted(
  requests: readonly ClaimRequest[],
  outcomes: readonly ClaimOutcome[],
): readonly Claim[] {
  return requests.map(({ id, owner }, index) => {
    const outcome = outcomes[index];
    assert.ok(outcome?.outcome === "claimed", `entry ${index}: expected a claim to be granted`);
    return { id, owner, token: outcome.token };
  });
}

/** Claims through a store, and expects all to be granted. */
export async function claimedList(
  store: Store,
  requests: readonly ClaimRequest[],
): Promise<readonly Claim[]> {
  return granted(requests, await store.claim(requests));
}

/** All open records of a state that belong to the clause: the store may hold others too. */
export async function listed(
  store: Store,
  state: OpenState,
  subjects: readonly Subject[],
  limit: number,
): Promise<readonly RecordView[]> {
  const digests = new Set(subjects.map(({ id }) => id.digest));
  const found: RecordView[] = [];
  let after: string | undefined;
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const { records, next } = await store.list({ state, limit, ...(after && { after }) });
    assert.ok(records.length <= limit, `a page has at most ${limit} records`);
    found.push(...records);
    if (next === undefined) return found.filter(({ id }) => digests.has(id.digest));
    after = next;
  }
  return assert.fail(`list did not come to an end within ${PAGES_MAX} pages`);
}

/**
 * A record that its owner lost to somebody else, and that a delayed duplicate of its claim has made
 * it hold again: with both tokens.
 */
export async function heldTwice(bench: Bench) {
  const subject = bench.subject();
  const { owner, token: first } = await subject.claimed();
  await bench.elapse(LEASE_MS);
  await subject.claimed({ takeOver: true });
  await bench.elapse(LEASE_MS);
  const { token: second } = await subject.claimed({ owner, takeOver: true });
  return { subject, owner, first, second };
}

/** The answer to a list of one entry. */
function only<T>(answers: readonly T[]): T {
  assert.equal(answers.length, 1, "expected one answer to a list of one entry");
  return answers[0] as T;
}

/** Expects a duration to be as given, but for the time that the clause itself took. */
export function assertAbout(actual: number | undefined, expected: number, what: string): void {
  assert.equal(typeof actual, "number", `${what}: expected a number, got ${typeof actual}`);
  const off = Math.abs((actual as number) - expected);
  assert.ok(off <= TOLERANCE_MS, `${what}: expected about ${expected}, got ${actual}`);
}
