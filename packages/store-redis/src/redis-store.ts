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
import { type CheckOptions, recordInRow, transition, viewOf } from "@idemkit/engine/model";
import { type CheckReport, check } from "./check.ts";
import { checkClient, type RedisClient } from "./client.ts";
import { optionsOf, type RedisStoreOptions } from "./options.ts";
import { Replicas } from "./replicas.ts";
import { openDigests } from "./scan.ts";
import { Script } from "./script.ts";
import * as scripts from "./scripts.ts";

const CLAIM = new Script(scripts.CLAIM);
const RENEW = new Script(scripts.RENEW);
const COMPLETE = new Script(scripts.COMPLETE);
const RELEASE = new Script(scripts.RELEASE);
const REMOVE = new Script(scripts.REMOVE);
const READ = new Script(scripts.READ);

type Row = readonly (string | null)[];

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
  readonly #replicas: Replicas;

  constructor(
    client: RedisClient,
    { prefix, replicas, replicaTimeoutMs }: Required<RedisStoreOptions>,
  ) {
    this.#client = client;
    this.#prefix = prefix;
    this.#replicas = new Replicas(client, replicas, replicaTimeoutMs);
  }

  async claim(requests: readonly ClaimRequest[]): Promise<readonly ClaimOutcome[]> {
    return await this.#all(requests, async (request) => {
      const { id, owner, fingerprint, leaseMs, retentionMs, checkpoint } = request;
      const { takeOver, takeOverAfterMs = 0 } = request;
      const values = [owner, fingerprint, leaseMs, retentionMs, takeOver ? takeOverAfterMs : ""];
      const answer = await this.#run(CLAIM, id, [
        ...values,
        optional(checkpoint),
        id.scope,
        id.key,
      ]);
      const { record, nowMs, isGranted } = recordInRow(answer as Row);
      // The script has granted it or has not; the rules say what that means, and grant nothing.
      const outcome = transition(record, "claim", request, nowMs).answer;
      if ((outcome.outcome === "claimed") === isGranted) return outcome;
      throw new Error("The script and the rules disagree about who has the record.");
    });
  }

  async renew(renewals: readonly Renewal[]): Promise<readonly boolean[]> {
    return await all(renewals, async ({ id, owner, token, leaseMs = "", checkpoint }) => {
      const { revision = "", value = "" } = checkpoint ?? {};
      return isOne(await this.#run(RENEW, id, [owner, token, leaseMs, revision, value]));
    });
  }

  async complete(completions: readonly Completion[]): Promise<readonly boolean[]> {
    return await this.#all(completions, async (completion) => {
      const {
        id,
        owner,
        token,
        status,
        body,
        note,
        retentionMs = 0,
        ifLapsed = false,
      } = completion;
      const values = [owner, token, status, body, optional(note), retentionMs, flag(ifLapsed)];
      return isOne(await this.#run(COMPLETE, id, values));
    });
  }

  async release(claims: readonly Claim[]): Promise<readonly boolean[]> {
    return await all(claims, async ({ id, owner, token }) =>
      isOne(await this.#run(RELEASE, id, [owner, token])),
    );
  }

  async read(ids: readonly RecordId[]): Promise<readonly (RecordView | undefined)[]> {
    return await all(ids, async (id) => {
      const answer = await this.#run(READ, id, []);
      if (answer === null) return undefined;
      const { record, nowMs } = recordInRow(answer as Row);
      return transition(record, "read", id, nowMs).answer;
    });
  }

  async list({ state, after, limit }: ListQuery): Promise<RecordPage> {
    if (after !== undefined && !/^[0-9a-f]{32}$/.test(after)) {
      throw new TypeError("after: expected the `next` of a page before, or nothing.");
    }
    // One more than asked for tells whether there is a next page.
    const digests = await openDigests(this.#client, this.#prefix, state, after ?? "", limit + 1);
    const views = await all(digests, async (digest) => {
      const answer = await this.#run(READ, { digest }, []);
      if (answer === null) return [];
      const { record, nowMs } = recordInRow(answer as Row);
      const view = viewOf(record, nowMs);
      return view.state === state ? [view] : [];
    });
    const records = views.slice(0, limit).flat();
    const next = digests.length > limit ? digests[limit - 1] : undefined;
    return { records, ...(next !== undefined && { next }) };
  }

  async remove(id: RecordId, token: number): Promise<boolean> {
    return isOne(await this.#run(REMOVE, id, [token]));
  }

  /** Redis does it by itself. */
  async purge(): Promise<number> {
    return 0;
  }

  async check(options?: CheckOptions): Promise<CheckReport> {
    const checked = {
      ...{ client: this.#client, store: this, prefix: this.#prefix },
      replicasMin: this.#replicas.count,
    };
    return await check(checked, options);
  }

  /** What may not be forgotten: it counts once the replicas have it. */
  async #all<Entry, Answer>(
    entries: readonly Entry[],
    ask: (entry: Entry) => Promise<Answer>,
  ): Promise<readonly Answer[]> {
    return await this.#replicas.after(() => all(entries, ask));
  }

  async #run(
    script: Script,
    { digest }: Pick<RecordId, "digest">,
    values: readonly (string | number)[],
  ): Promise<unknown> {
    return await script.run(this.#client, this.#prefix + digest, values.map(String));
  }
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

function isOne(answer: unknown): boolean {
  return Number(answer) === 1;
}

function flag(value: boolean): string {
  return value ? "1" : "0";
}

function optional(text: string | undefined): string {
  return text === undefined ? "" : `=${text}`;
}
