import assert from "node:assert/strict";
import { setImmediate as turn } from "node:timers/promises";
import { createEngine, StoreError, type TransactionalStore } from "@idemkit/engine";
import type { TestProxy } from "./proxy.ts";

/** More than any driver gets for one transaction on a new connection. */
const ANSWERS_MAX = 40;
/** More than are sent until a client has noticed the end of its connection. */
const STATEMENTS_MAX = 10_000;

/** A client of one kind, by way of the proxy. */
export interface Outliving {
  readonly store: TransactionalStore<never>;
  /**
   * Takes an idle connection out of the client's pool, so that a transaction opens a new one.
   *
   * @returns gives the connection back
   */
  hold(): Promise<() => void>;
  /** Sends a statement in a transaction. */
  ask(tx: never): PromiseLike<unknown>;
  /** Sends one on a savepoint, where the driver has savepoints. */
  askOnSavepoint?(tx: never): PromiseLike<unknown>;
  end(): Promise<unknown>;
}

/**
 * Commits transactions while the server ends their connections, and works on afterwards. A process whose driver
 * emits an error that has no listener does not get that far.
 *
 * @param lastWords the error that the server sends before it closes a connection
 * @param connect makes a client
 */
export async function outliveConnections(
  proxy: TestProxy,
  lastWords: Uint8Array,
  connect: () => Outliving,
): Promise<void> {
  const ends = [
    ["behind the next", lastWords],
    ["instead of the next", lastWords],
    ["instead of the next", new Uint8Array()],
  ] as const;
  for (const [where, words] of ends) {
    let isThrough = false;
    for (let answers = 0; !isThrough; answers += 1) {
      assert.ok(answers < ANSWERS_MAX, "no transaction has got through");
      const client = connect();
      const endNext = () => proxy.endAfter(answers, words, where);
      const error = await outliveTransaction(
        client,
        `${where}, ${words.length}, ${answers}`,
        endNext,
      );
      isThrough = error === undefined;
      const isFirst = answers === 0 && where === "behind the next";
      assert.ok(!isFirst || error instanceof StoreError, String(error));
    }
  }
  await outliveWork(connect(), () => proxy.endAfter(0, lastWords, "behind the next"));
}

/** @returns the error of a transaction on a new connection; undefined if it was committed without an end */
async function outliveTransaction(
  { store, hold, ask, askOnSavepoint = ask, end }: Outliving,
  key: string,
  endNext: () => () => boolean,
): Promise<unknown> {
  const engine = createEngine({ store });
  let hasEnded = false;
  const run = engine.execute("s", key, null, async ({ transaction }) => {
    const giveBack = await hold();
    const callOff = endNext();
    try {
      return await transaction(async (tx) => {
        await askOnSavepoint(tx);
      });
    } finally {
      hasEnded = callOff();
      giveBack();
    }
  });
  const error = await run.then(
    () => (hasEnded ? "committed" : undefined),
    (reason: unknown) => reason,
  );
  await end();
  return error;
}

/** The connection is ended while the work does something else, and the work then goes on. */
async function outliveWork({ store, ask, end }: Outliving, endNext: () => unknown): Promise<void> {
  const engine = createEngine({ store });
  const run = engine.transaction("s", "idle", null, async (tx) => {
    endNext();
    for (let asked = 0; asked < STATEMENTS_MAX; asked += 1) {
      try {
        await ask(tx);
      } catch {
        break;
      }
      await turn();
    }
    await turn();
    await ask(tx);
  });
  await assert.rejects(run);
  const { value } = await engine.execute("s", "afterwards", null, () => "alive");
  assert.equal(value, "alive");
  await end();
}
