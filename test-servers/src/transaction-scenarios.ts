import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import {
  type CallOptions,
  createEngine,
  type EventName,
  type LineResult,
  type NewLine,
  type Store,
  type TransactionalEngine,
  type TransactionalStore,
} from "@idemkit/engine";

/** What an engine's transactions are tried with: two stores on one database, and a table to write to. */
export interface TransactionSetting<Tx> {
  readonly stores: readonly [TransactionalStore<Tx>, TransactionalStore<Tx>];
  write(tx: Tx, label: string): unknown;
  count(label: string): Promise<number>;
  /** Opens a transaction as an application does, commits it, and rolls back where the work rejects. */
  transaction(work: (tx: Tx, bound: Store) => Promise<void>): Promise<void>;
}

/** A promise of an engine's that holds on every store with transactions. */
export interface TransactionScenario {
  /** What an engine does, in the present tense. */
  readonly title: string;
  run(setting: TransactionSetting<never>): Promise<void>;
}

const DUPLICATES = 40;
const WAIT_MS = 20_000;
const BATCHES = 4;
/** Longer than the column of the effects' table takes. */
const UNWRITABLE = "x".repeat(200);
const BATCH_LINES = 80;

type AnyEngine = TransactionalEngine<unknown, false>;

/** Two engines, as in two processes, and a label for the effects of one scenario. */
class Scene {
  readonly #setting: TransactionSetting<unknown>;
  readonly key: string = randomUUID();
  readonly engine: AnyEngine;
  readonly other: AnyEngine;
  readonly events: EventName[] = [];
  runs = 0;

  constructor(setting: TransactionSetting<unknown>) {
    this.#setting = setting;
    const [first, second] = setting.stores as unknown as readonly TransactionalStore<
      unknown,
      false
    >[];
    assert.ok(first !== undefined && second !== undefined);
    this.engine = createEngine({ store: first });
    this.other = createEngine({ store: second });
    for (const name of ["claimed", "completed", "failed", "released", "replayed"] as const) {
      this.engine.on(name, () => this.events.push(name));
    }
  }

  /** Writes an effect, and answers the value, or throws it where it is an error. */
  work<T>(tx: unknown, value: T, label = this.key): T {
    this.runs += 1;
    const written = this.#setting.write(tx, label);
    const end = () => {
      if (value instanceof Error) throw value;
      return value;
    };
    return (isLater(written) ? written.then(end) : end()) as T;
  }

  transaction(
    value: unknown,
    { through = this.engine, ...options }: CallOptions & { readonly through?: AnyEngine } = {},
  ) {
    const work = (tx: unknown) => this.work(tx, value);
    return through.transaction(["orders"], this.key, { sku: 1 }, work, options);
  }

  effects(label = this.key): Promise<number> {
    return this.#setting.count(label);
  }

  /** Does lines in one transaction of the application's, with an effect for each new one. */
  async batch(
    keys: readonly string[],
    results = (fresh: readonly NewLine<string>[]): readonly LineResult<string>[] =>
      fresh.map(({ key }) => ({ key, value: key })),
  ): Promise<readonly string[]> {
    let verdicts: readonly string[] = [];
    await this.#setting.transaction(async (tx, bound) => {
      const engine = createEngine({ store: bound });
      const lines = keys.map((key) => ({ key, payload: key }));
      const done = await engine.executeMany(["lines", this.key], lines, async (fresh) => {
        for (const { key } of fresh) await this.work(tx, key, key);
        return results(fresh);
      });
      verdicts = done.map(({ verdict }) => verdict);
    });
    return verdicts;
  }

  inspect() {
    return this.engine.inspect(["orders"], this.key);
  }
}

function scenario(title: string, run: (scene: Scene) => Promise<void>): TransactionScenario {
  return {
    title,
    run: (setting) => run(new Scene(setting as unknown as TransactionSetting<unknown>)),
  };
}

const code = (expected: string) => (error: unknown) =>
  (error as { readonly code?: unknown }).code === expected;

export const transactionScenarios: readonly TransactionScenario[] = [
  scenario("records a result in the commit of its effects, and replays it", async (scene) => {
    const first = await scene.transaction({ id: 7 });
    const { value, replayed, recorded, attempt } = first;
    assert.deepEqual([value, replayed, recorded, attempt], [{ id: 7 }, false, true, 1]);
    const again = await scene.transaction({ id: 8 }, { through: scene.other });
    assert.deepEqual([again.value, again.replayed, again.token], [{ id: 7 }, true, first.token]);
    assert.deepEqual([await scene.effects(), scene.runs], [1, 1]);
    assert.deepEqual(scene.events, ["claimed", "completed"]);
  }),
  scenario("records nothing where the work throws, and runs again", async (scene) => {
    const declined = new Error("declined");
    await assert.rejects(scene.transaction(declined), (error) => error === declined);
    assert.deepEqual([await scene.effects(), await scene.inspect()], [0, undefined]);
    assert.equal((await scene.transaction(1)).attempt, 1);
    assert.equal(await scene.effects(), 1);
    assert.deepEqual(scene.events, ["claimed", "released", "claimed", "completed"]);
  }),
  scenario(
    "records a failure in the commit where it is told to, without effects",
    async (scene) => {
      const declined = new Error("declined");
      const onError = "record";
      await assert.rejects(scene.transaction(declined, { onError }), (error) => error === declined);
      await assert.rejects(scene.transaction(1), code("REPLAYED_FAILURE"));
      assert.deepEqual([await scene.effects(), scene.runs], [0, 1]);
    },
  ),
  scenario("records a failure that a statement of the work has met", async (scene) => {
    await scene.transaction(1);
    const twice = randomUUID();
    const failing = scene.engine.transaction(
      ["orders"],
      twice,
      1,
      (tx) => scene.work(tx, 1, UNWRITABLE),
      { onError: "record" },
    );
    await assert.rejects(failing, (error) => code("STORE_FAILED")(error) === false);
    assert.equal((await scene.engine.inspect(["orders"], twice))?.status, "failed");
  }),
  scenario("asks a policy that is a function, and rolls back what it releases", async (scene) => {
    const onError = (error: unknown) =>
      (error as Error).message === "declined" ? "record" : ("release" as const);
    await assert.rejects(scene.transaction(new Error("busy"), { onError }), /busy/);
    assert.equal(await scene.inspect(), undefined);
    await assert.rejects(scene.transaction(new Error("declined"), { onError }), /declined/);
    assert.equal((await scene.inspect())?.status, "failed");
    assert.equal(await scene.effects(), 0);
  }),
  scenario("refuses another payload, and runs nothing", async (scene) => {
    await scene.transaction(1);
    const other = scene.other.transaction(["orders"], scene.key, { sku: 2 }, (tx) =>
      scene.work(tx, 2),
    );
    await assert.rejects(other, code("PAYLOAD_CONFLICT"));
    assert.deepEqual([await scene.effects(), scene.runs], [1, 1]);
  }),
  scenario(`runs once for ${DUPLICATES} duplicates in two processes`, async (scene) => {
    const outcomes = await Promise.all(
      Array.from({ length: DUPLICATES }, (_, index) => {
        const through = index % 2 === 0 ? scene.engine : scene.other;
        return scene.transaction(index, { through, onDuplicate: { waitMs: WAIT_MS } });
      }),
    );
    assert.deepEqual([await scene.effects(), scene.runs], [1, 1]);
    assert.equal(new Set(outcomes.map(({ value }) => value)).size, 1);
    assert.equal(outcomes.filter(({ replayed }) => !replayed).length, 1);
  }),
  scenario("gives the work its token, attempt and derived keys", async (scene) => {
    const { engine, key } = scene;
    const seen: unknown[] = [];
    const { token } = await engine.transaction(["orders"], key, 1, (_, context) => {
      seen.push(context.token, context.attempt, context.signal.aborted, context.deriveKey("mail"));
      return null;
    });
    assert.deepEqual(seen.slice(0, 3), [token, 1, false]);
    assert.match(String(seen[3]), /^[0-9a-f]{64}$/);
  }),
  scenario("keeps what was executed from running in a transaction, and back", async (scene) => {
    await scene.engine.execute(["orders"], scene.key, { sku: 1 }, () => "executed");
    assert.equal((await scene.transaction("transacted")).value, "executed");
    assert.deepEqual([await scene.effects(), scene.runs], [0, 0]);
  }),
  scenario("commits the outcome of an execution with its effects", async (scene) => {
    const { engine, key } = scene;
    const run = (value: string) =>
      engine.execute(["orders"], key, 1, async ({ transaction }) => {
        await transaction((tx) => scene.work(tx, value));
        return "something else";
      });
    const first = await run("first");
    assert.deepEqual([first.value, first.recorded], ["first", true]);
    assert.equal((await run("second")).value, "first");
    assert.deepEqual([await scene.effects(), scene.runs], [1, 1]);
    assert.deepEqual(scene.events, ["claimed", "completed", "replayed"]);
  }),
  scenario("lets nothing after that commit change the outcome", async (scene) => {
    const { engine, key } = scene;
    const late: unknown[] = [];
    engine.on("late-error", ({ error }) => late.push(error));
    const lost = new Error("the queue is down");
    const { value } = await engine.execute(["orders"], key, 1, async (context) => {
      await context.transaction((tx) => scene.work(tx, "done"));
      await assert.rejects(
        context.transaction((tx) => scene.work(tx, "twice")),
        /ended by/,
      );
      throw lost;
    });
    assert.deepEqual([value, late], ["done", [lost]]);
    assert.equal((await scene.inspect())?.value, "done");
    assert.equal(await scene.effects(), 1);
  }),
  scenario("waits for a transaction that the function did not wait for", async (scene) => {
    const { engine, key } = scene;
    const { value } = await engine.execute(["orders"], key, 1, ({ transaction }) => {
      void transaction((tx) => scene.work(tx, "in the background"));
      return "early";
    });
    assert.equal(value, "in the background");
    assert.equal(await scene.effects(), 1);
  }),
  scenario(
    "keeps the claim where work under it throws, so that it may try again",
    async (scene) => {
      const { engine, key } = scene;
      const { value } = await engine.execute(["orders"], key, 1, async ({ transaction }) => {
        await assert.rejects(
          transaction((tx) => scene.work(tx, new Error("declined") as unknown)),
          /declined/,
        );
        assert.equal((await scene.inspect())?.state, "in-progress");
        return await transaction((tx) => scene.work(tx, "second"));
      });
      assert.equal(value, "second");
      assert.deepEqual([await scene.effects(), scene.runs], [1, 2]);
    },
  ),
  scenario("rolls back what a claim that was lost has written", async (scene) => {
    const { engine, other, key } = scene;
    const late = engine.execute(["orders"], key, 1, async ({ transaction }) => {
      assert.equal(await other.remove(["orders"], key), true);
      await other.execute(["orders"], key, 1, () => "somebody else");
      return await transaction((tx) => scene.work(tx, "late"));
    });
    await assert.rejects(late, code("LEASE_LOST"));
    assert.equal((await scene.inspect())?.value, "somebody else");
    assert.equal(await scene.effects(), 0);
  }),
  scenario(
    "does the lines of a batch exactly once in an application's transaction",
    async (scene) => {
      const [a, b, c] = [randomUUID(), randomUUID(), randomUUID()];
      assert.deepEqual(await scene.batch([a, b]), ["executed", "executed"]);
      assert.deepEqual(await scene.batch([b, c]), ["replayed", "executed"]);
      const effects = [a, b, c].map((label) => scene.effects(label));
      assert.deepEqual(await Promise.all(effects), [1, 1, 1]);
    },
  ),
  scenario("takes nothing of a batch for done that was rolled back", async (scene) => {
    const [a, b] = [randomUUID(), randomUUID()];
    const failing = scene.batch([a, b], () => {
      throw new Error("half-way");
    });
    await assert.rejects(failing, /half-way/);
    assert.deepEqual(await Promise.all([scene.effects(a), scene.effects(b)]), [0, 0]);
    assert.deepEqual(await scene.batch([a, b]), ["executed", "executed"]);
  }),
  scenario("applies overlapping batches that come at once a single time", async (scene) => {
    const keys = Array.from({ length: BATCH_LINES }, () => randomUUID());
    const batches = Array.from({ length: BATCHES }, (_, index) => {
      const from = (index * BATCH_LINES) / BATCHES / 2;
      return scene.batch(keys.slice(from, from + BATCH_LINES / 2).reverse());
    });
    const verdicts = (await Promise.all(batches)).flat();
    assert.ok(verdicts.every((verdict) => verdict === "executed" || verdict === "replayed"));
    const effects = await Promise.all(keys.map((key) => scene.effects(key)));
    assert.ok(effects.every((count) => count <= 1));
    const executed = verdicts.filter((verdict) => verdict === "executed").length;
    assert.equal(executed, effects.filter((count) => count === 1).length);
  }),
  scenario("goes from steps to a transaction, once they are over", async (scene) => {
    const { engine, key } = scene;
    const run = engine.execute(
      ["orders"],
      key,
      1,
      async ({ step, transaction }) => {
        const inside = step("inside", () => transaction((tx) => scene.work(tx, 0)));
        await assert.rejects(inside, /a step is still running/);
        const charged = await step("charge", () => "charged");
        return await transaction((tx) => scene.work(tx, charged));
      },
      { steps: true },
    );
    assert.equal((await run).value, "charged");
    assert.equal(await scene.effects(), 1);
  }),
];

/** Some drivers' queries are sent only once somebody asks for what came of them. */
function isLater(written: unknown): written is PromiseLike<unknown> {
  return typeof written === "object" && written !== null && "then" in written;
}
