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
  Status,
  Store,
} from "@idemkit/engine";
import { type CheckOptions, transition, viewOf } from "@idemkit/engine/model";
import { type ClaimProof, readClaim, readProof, readRecord, readVerdict } from "./answers.ts";
import { type CheckReport, check } from "./check.ts";
import { ClaimsInFlight } from "./claims-in-flight.ts";
import { checkClient, type RedisClient } from "./client.ts";
import { type CheckedOptions, optionsOf, type RedisStoreOptions, replicasOf } from "./options.ts";
import type { Replicas } from "./replicas.ts";
import { openDigests } from "./scan.ts";
import { Script } from "./script.ts";
import * as scripts from "./scripts.ts";

const CLAIM = new Script(scripts.CLAIM);
const CLAIM_CONFIRMED = new Script(scripts.CLAIM_CONFIRMED);
const RENEW = new Script(scripts.RENEW);
const RENEW_CONFIRMED = new Script(scripts.RENEW_CONFIRMED);
const COMPLETE = new Script(scripts.COMPLETE);
const COMPLETE_CONFIRMED = new Script(scripts.COMPLETE_CONFIRMED);
const RELEASE = new Script(scripts.RELEASE);
const REMOVE = new Script(scripts.REMOVE);
const READ = new Script(scripts.READ);
const MARK = new Script(scripts.MARK);

/** The share of `replicaTimeoutMs` that a replay waits while the replicas are known to be away. */
const REPLAY_PATIENCE = 1 / 10;

/** How a claim came out, before the replicas have confirmed it. */
interface Claiming extends ClaimProof {
  readonly request: ClaimRequest;
  readonly outcome: ClaimOutcome;
}

/** A store in Redis or Valkey, through a client that stays the user's. */
export interface RedisStore extends Store {
  /**
   * Looks whether the server is fit for use: that it evicts no records, and what an acknowledged
   * outcome survives. Call it once at the start.
   *
   * @throws Error that lists what is wrong and what to do
   */
  check(options?: CheckOptions): Promise<CheckReport>;
}

/**
 * Makes a store on a Redis or Valkey server, or on a cluster of them. Each entry of a list is one call of
 * a script on one key, and ioredis sends those of a list together: one round trip, which writes nothing
 * where it replays. Records expire by themselves.
 *
 * @param client a `Redis` or a `Cluster` of ioredis
 * @throws TypeError where the client or an option is something else
 */
export function redisStore(client: RedisClient, options: RedisStoreOptions = {}): RedisStore {
  checkClient(client);
  return new ScriptedStore(client, optionsOf(options));
}

class ScriptedStore implements RedisStore {
  readonly #client: RedisClient;
  readonly #prefix: string;
  /** Missing where nothing waits for replicas. */
  readonly #replicas: Replicas | undefined;
  readonly #claimsInFlight = new ClaimsInFlight();

  constructor(client: RedisClient, options: CheckedOptions) {
    this.#client = client;
    this.#prefix = options.prefix;
    this.#replicas = replicasOf(client, options);
  }

  async claim(requests: readonly ClaimRequest[]): Promise<readonly ClaimOutcome[]> {
    const replicas = this.#replicas;
    if (replicas !== undefined) {
      const claim = (added: readonly ClaimRequest[]) => this.#claimConfirmed(added, replicas);
      return await this.#claimsInFlight.share(requests, claim);
    }
    return await all(requests, async (request) => outcomeOf(request, await this.#claim(request)));
  }

  async renew(renewals: readonly Renewal[]): Promise<readonly boolean[]> {
    const verdicts = await all(renewals, async ({ id, owner, token, leaseMs = "", checkpoint }) => {
      const { revision = "", value = "" } = checkpoint ?? {};
      // A lease that a failover shortens does no harm, but a step that it forgets would run again.
      const isConfirmed = this.#replicas !== undefined && checkpoint !== undefined;
      const script = isConfirmed ? RENEW_CONFIRMED : RENEW;
      const answer = await this.#run(script, id, [owner, token, leaseMs, revision, value]);
      return readVerdict(answer, "renew", id.digest, token);
    });
    await this.#replicas?.confirm(historiesOf(verdicts));
    return verdicts.map(({ isDone }) => isDone);
  }

  async complete(completions: readonly Completion[]): Promise<readonly boolean[]> {
    const script = this.#replicas === undefined ? COMPLETE : COMPLETE_CONFIRMED;
    const verdicts = await all(completions, async (completion) => {
      const { id, owner, token, status, body, note, retentionMs = 0 } = completion;
      const { ifLapsed = false } = completion;
      const values = [owner, token, status, body, optional(note), retentionMs, flag(ifLapsed)];
      const answer = await this.#run(script, id, values);
      return readVerdict(answer, "complete", id.digest, token);
    });
    if (this.#replicas !== undefined) {
      await this.#replicas.confirm(historiesOf(verdicts));
      this.#mark(completions.filter((_, index) => verdicts[index]?.history !== undefined));
    }
    return verdicts.map(({ isDone }) => isDone);
  }

  async release(claims: readonly Claim[]): Promise<readonly boolean[]> {
    return await all(claims, async ({ id, owner, token }) => {
      const answer = await this.#run(RELEASE, id, [owner, token]);
      return readVerdict(answer, "release", id.digest, token).isDone;
    });
  }

  async read(ids: readonly RecordId[]): Promise<readonly (RecordView | undefined)[]> {
    return await all(ids, async (id) => {
      const found = readRecord(await this.#run(READ, id, []), id.digest);
      return found && transition(found.record, "read", id, found.nowMs).answer;
    });
  }

  async list({ state, after, limit }: ListQuery): Promise<RecordPage> {
    if (after !== undefined && !/^[0-9a-f]{32}$/.test(after)) {
      throw new TypeError("after: expected the `next` of a page before, or nothing.");
    }
    // One more than asked for tells whether there is a next page.
    const digests = await openDigests(this.#client, this.#prefix, state, after ?? "", limit + 1);
    const views = await all(digests, async (digest) => {
      const found = readRecord(await this.#run(READ, { digest }, []), digest);
      const view = found && viewOf(found.record, found.nowMs);
      return view?.state === state ? [view] : [];
    });
    const records = views.slice(0, limit).flat();
    const next = digests.length > limit ? digests[limit - 1] : undefined;
    return { records, ...(next !== undefined && { next }) };
  }

  async remove(id: RecordId, token: number): Promise<boolean> {
    const answer = await this.#run(REMOVE, id, [token]);
    return readVerdict(answer, "remove", id.digest, token).isDone;
  }

  /** Redis does it by itself. */
  async purge(): Promise<number> {
    return 0;
  }

  async check(options?: CheckOptions): Promise<CheckReport> {
    const checked = {
      ...{ client: this.#client, store: this, prefix: this.#prefix },
      replicasMin: this.#replicas?.count ?? 0,
    };
    return await check(checked, options);
  }

  #claim(request: ClaimRequest): Promise<unknown> {
    const { id, owner, fingerprint, leaseMs, retentionMs, checkpoint } = request;
    const { takeOver, takeOverAfterMs = 0 } = request;
    const takeOverValue = takeOver ? takeOverAfterMs : "";
    const values = [owner, fingerprint, leaseMs, retentionMs, takeOverValue, optional(checkpoint)];
    const script = this.#replicas === undefined ? CLAIM : CLAIM_CONFIRMED;
    return this.#run(script, id, [...values, id.scope, id.key]);
  }

  async #claimConfirmed(
    requests: readonly ClaimRequest[],
    replicas: Replicas,
  ): Promise<readonly ClaimOutcome[]> {
    const claims = await all(requests, async (request): Promise<Claiming> => {
      const answer = await this.#claim(request);
      return { request, outcome: outcomeOf(request, answer), ...readProof(answer) };
    });
    const isReplay = ({ outcome }: Claiming) => outcome.outcome === "completed";
    const unconfirmed = claims.filter(({ history }) => history !== undefined);
    try {
      // Nothing has run yet under a new claim. It is not worth a wait that holds up replays behind it.
      const patience = unconfirmed.every(isReplay) ? REPLAY_PATIENCE : 0;
      await replicas.confirm(historiesOf(unconfirmed), patience);
    } catch (error) {
      await Promise.allSettled(claims.map((claim) => this.#giveBack(claim)));
      throw error;
    }
    const replayed = unconfirmed.flatMap(({ request: { id }, outcome }) =>
      outcome.outcome === "completed" ? [{ ...outcome, id }] : [],
    );
    this.#mark(replayed);
    return claims.map(({ outcome }) => outcome);
  }

  /**
   * Gives back a claim that no caller will learn of. If that fails too, its lease lapses. An earlier call of
   * the same owner may have returned a claim that is not new.
   */
  async #giveBack({ request: { id, owner }, outcome, isNew }: Claiming): Promise<void> {
    if (outcome.outcome !== "claimed") return;
    const claim = { id, owner, token: outcome.token };
    // The work that it took over was open, and still is.
    if (outcome.takenOver) await this.renew([{ ...claim, leaseMs: 0 }]);
    else if (isNew) await this.release([claim]);
  }

  /**
   * Records that the replicas have these outcomes, so that no replay of them has to wait. Nothing waits for
   * it: if it fails, the next replay asks the replicas itself.
   */
  #mark(outcomes: readonly (Claim & { readonly status: Status })[]): void {
    const [first, ...others] = outcomes.filter(({ status }) => status !== "unknown");
    if (first === undefined) return;
    const keyOf = ({ id }: Claim) => this.#prefix + id.digest;
    const fences = [first, ...others].flatMap(({ owner, token }) => [owner, String(token)]);
    const marked = MARK.run(this.#client, [keyOf(first), ...others.map(keyOf)], fences);
    void marked.catch(() => undefined);
  }

  #run(
    script: Script,
    { digest }: Pick<RecordId, "digest">,
    values: readonly (string | number)[],
  ): Promise<unknown> {
    return script.run(this.#client, [this.#prefix + digest], values.map(String));
  }
}

function outcomeOf(request: ClaimRequest, answer: unknown): ClaimOutcome {
  const { record, nowMs, isGranted } = readClaim(answer, request.id.digest);
  // The script has granted it or has not; the rules say what that means, and grant nothing.
  const outcome = transition(record, "claim", request, nowMs).answer;
  if ((outcome.outcome === "claimed") === isGranted) return outcome;
  throw new Error("The script and the rules disagree about who has the record.");
}

/** Asks for all entries at once, and waits for all of them, whatever becomes of one. */
async function all<Entry, Answer>(
  entries: readonly Entry[],
  ask: (entry: Entry) => Promise<Answer>,
): Promise<readonly Answer[]> {
  const settled = await Promise.allSettled(entries.map(ask));
  return settled.map((each) => {
    if (each.status === "rejected") throw each.reason;
    return each.value;
  });
}

function historiesOf(
  answers: readonly { readonly history: string | undefined }[],
): readonly string[] {
  return answers.flatMap(({ history }) => history ?? []);
}

function flag(value: boolean): string {
  return value ? "1" : "0";
}

function optional(text: string | undefined): string {
  return text === undefined ? "" : `=${text}`;
}
