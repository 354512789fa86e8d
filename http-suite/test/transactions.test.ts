import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import {
  createEngine,
  type EngineOptions,
  memoryStore,
  StoreError,
  type TransactionalStore,
  UnclearCommitError,
} from "@idemkit/engine";
import * as fastifyModule from "@idemkit/fastify";
import * as koaModule from "@idemkit/koa";
import { migrate, openSqlite, sqliteStore } from "@idemkit/store-sqlite";
import type Database from "better-sqlite3";
import { describe, expect, onTestFinished, test } from "vitest";
import { fastifyBinding, koaBinding, send } from "../src/index.ts";
import type { Binding, Exchange, Plan } from "../src/lab.ts";
import { expectProblem, expectReplay } from "../src/rows/row.ts";

type Db = Database.Database;
type State = NonNullable<Exchange["idempotency"]>;
type Work = Parameters<State["transaction"]>[0];

const BINDINGS: readonly Binding[] = [fastifyBinding(fastifyModule), koaBinding(koaModule)];

for (const binding of BINDINGS) {
  describe(`transactions of ${binding.name} on SQLite`, () => {
    transactions(binding);
  });
}

/** An application whose handler gets the transaction of its request. */
async function serving(
  binding: Binding,
  handle: (state: State, exchange: Exchange, run: number) => unknown,
  options: Partial<EngineOptions> = {},
  plan: Partial<Plan> = {},
  around: (store: TransactionalStore<Db, true>) => TransactionalStore<Db, true> = (store) => store,
) {
  const db = openSqlite(":memory:");
  await migrate(db);
  db.exec("CREATE TABLE ledger (id INTEGER PRIMARY KEY, sku TEXT NOT NULL) STRICT");
  const store = around(sqliteStore(db));
  const engine = createEngine({ store, ...options });
  let runs = 0;
  const handler = (exchange: Exchange) => {
    const { idempotency } = exchange;
    if (idempotency === undefined) throw new Error("expected a protected request");
    runs += 1;
    return handle(idempotency, exchange, runs);
  };
  const app = await binding.start(engine as never, { ...plan, handler });
  onTestFinished(async () => {
    await app.close();
    await engine.close({ graceMs: 0 });
    db.close();
  });
  return {
    post: async () => await send(app.origin, { key: "k" }),
    rows: () => db.prepare("SELECT count(*) FROM ledger").pluck().get() as number,
    state: async () => (await engine.inspect("ada", "k"))?.state,
    runs: () => runs,
    reported: app.reported,
  };
}

/** Writes a row, and returns a response. */
function placing(status = 201): (tx: Db) => { status: number; headers: object; body: object } {
  return (tx) => {
    const { lastInsertRowid } = tx.prepare("INSERT INTO ledger (sku) VALUES ('mug')").run();
    const id = Number(lastInsertRowid);
    return { status, headers: { Location: `/orders/${id}` }, body: { order: id } };
  };
}

const place = (state: State, status = 201) => state.transaction(placing(status) as Work);

function transactions(binding: Binding): void {
  test("the response is committed with the writes, sent, and replayed", async () => {
    let committed: unknown;
    const { post, rows, runs } = await serving(binding, async (state) => {
      committed = await place(state);
      return undefined;
    });
    const first = await post();
    expect(first).toMatchObject({ status: 201, json: { order: 1 } });
    expect(committed).toMatchObject({ status: 201, body: { order: 1 } });
    expect(first.headers).toMatchObject({
      location: "/orders/1",
      "content-type": "application/json; charset=utf-8",
    });
    expectReplay(first, await post());
    expect([rows(), runs()]).toEqual([1, 1]);
  });

  for (const status of [200, 302, 401, 409, 429, 500, 503]) {
    test(`a committed ${status} is the outcome, under at-least-once too`, async () => {
      const { post, rows, runs } = await serving(binding, (state) => place(state, status), {
        guarantee: "at-least-once",
      });
      const first = await post();
      expect(first.status).toBe(status);
      expectReplay(first, await post());
      expect([rows(), runs()]).toEqual([1, 1]);
    });
  }

  test.each([
    ["text", "placed", "text/plain; charset=utf-8"],
    ["bytes", Buffer.from([1, 2, 255]), "application/octet-stream"],
    ["a list", [1, 2], "application/json; charset=utf-8"],
    ["a number", 7, "application/json; charset=utf-8"],
    ["nothing", undefined, undefined],
  ])("%s as body has its type", async (_name, body, type) => {
    const { post } = await serving(binding, (state) =>
      state.transaction(() => ({ status: 200, body })),
    );
    const first = await post();
    expect(first.headers["content-type"]).toBe(type);
    const text =
      typeof body === "string" || body === undefined ? (body ?? "") : JSON.stringify(body);
    const expected = body instanceof Uint8Array ? body : Buffer.from(text);
    expect(first.bytes).toEqual(expected);
    expectReplay(first, await post());
  });

  test("another response of the handler is not sent", async () => {
    const { post } = await serving(binding, async (state, exchange) => {
      await place(state);
      exchange.status(202);
      exchange.header("X-Late", "1");
      return exchange.send({ order: "another" });
    });
    const first = await post();
    expect(first).toMatchObject({ status: 201, json: { order: 1 } });
    expect(first.headers["x-late"]).toBeUndefined();
    expectReplay(first, await post());
  });

  test("neither a decision nor a second transaction changes what was committed", async () => {
    let second: unknown;
    const { post, rows, runs } = await serving(binding, async (state) => {
      await place(state);
      state.release();
      second = await place(state).catch((error: unknown) => error);
      throw new Error("after a second transaction");
    });
    const first = await post();
    expect(first).toMatchObject({ status: 201, json: { order: 1 } });
    expect(second).toBeInstanceOf(Error);
    expect(String(second)).toContain("ended by transaction()");
    expectReplay(first, await post());
    expect([rows(), runs()]).toEqual([1, 1]);
  });

  test("a transaction that the handler does not wait for counts", async () => {
    const { post, rows } = await serving(binding, (state, exchange) => {
      void place(state);
      return exchange.send({ order: "another" });
    });
    const first = await post();
    expect(first).toMatchObject({ status: 201, json: { order: 1 } });
    expectReplay(first, await post());
    expect(rows()).toBe(1);
  });

  test("a throw after the commit is reported, and the committed response is sent", async () => {
    const { post, rows, runs, reported } = await serving(
      binding,
      async (state, exchange) => {
        await place(state);
        return exchange.fail(401, "too late");
      },
      { onError: "release" },
      { formatsErrors: true },
    );
    const first = await post();
    expect(first).toMatchObject({ status: 201, json: { order: 1 } });
    expect(String(reported[0])).toContain("too late");
    expectReplay(first, await post());
    expect([rows(), runs()]).toEqual([1, 1]);
  });

  test("a handler that names its outcome and throws has that outcome", async () => {
    const { post, runs } = await serving(binding, (state) => {
      state.record({ status: 202, body: { queued: true } });
      throw new Error("after the outcome was named");
    });
    const first = await post();
    expect(first).toMatchObject({ status: 202, json: { queued: true } });
    expectReplay(first, await post());
    expect(runs()).toBe(1);
  });

  test("a throw inside undoes the writes, and is the outcome under at-most-once", async () => {
    const { post, rows, runs } = await serving(binding, (state) =>
      state.transaction((tx: Db) => {
        placing()(tx);
        throw new Error("no mugs");
      }),
    );
    const first = await post();
    expect(first.status).toBe(500);
    expectReplay(first, await post());
    expect([rows(), runs()]).toEqual([0, 1]);
  });

  test.each([
    ["at-least-once", { guarantee: "at-least-once" }],
    ["onError: release", { onError: "release" }],
    ["an onError function", { onError: () => "release" }],
  ] as const)("a throw inside gives the key back under %s", async (_name, options) => {
    const { post, rows, runs } = await serving(
      binding,
      (state, exchange, run) =>
        state.transaction((tx: Db) => {
          const response = placing()(tx);
          if (run === 1) exchange.fail(409, "no mugs");
          return response as ReturnType<Work>;
        }),
      options,
    );
    expect((await post()).status).toBe(409);
    expect(rows()).toBe(0);
    expect(await post()).toMatchObject({ status: 201, isReplayed: false, json: { order: 1 } });
    expect([rows(), runs()]).toEqual([1, 2]);
  });

  test("a throw inside leaves the outcome open with onError: hold", async () => {
    const { post, rows, state } = await serving(
      binding,
      (idempotency) =>
        idempotency.transaction((tx: Db) => {
          placing()(tx);
          throw new Error("no mugs");
        }),
      { onError: "hold" },
    );
    expect((await post()).status).toBe(500);
    expectProblem(await post(), 409, "outcome-unknown");
    expect([rows(), await state()]).toEqual([0, "unknown"]);
  });

  test("a framework's 401 inside of a transaction does not give the key back", async () => {
    const { post, runs } = await serving(binding, (state, exchange) =>
      state.transaction(() => exchange.fail(401, "who are you?")),
    );
    const first = await post();
    expect(first.status).toBe(401);
    expectReplay(first, await post());
    expect(runs()).toBe(1);
  });

  test("a handler goes on after a transaction that was rolled back", async () => {
    const { post, rows } = await serving(binding, async (state) => {
      const full = state.transaction((tx: Db) => {
        placing()(tx);
        throw new Error("the first shelf is empty");
      });
      await expect(full).rejects.toThrow("the first shelf");
      return await place(state);
    });
    const first = await post();
    expect(first).toMatchObject({ status: 201, json: { order: 1 } });
    expectReplay(first, await post());
    expect(rows()).toBe(1);
  });

  const refused: readonly (readonly [string, unknown, string])[] = [
    ["a stream", () => ({ status: 200, body: Readable.from(["a"]) }), "A stream cannot be"],
    ["a web stream", () => ({ status: 200, body: new Blob(["a"]).stream() }), "A stream cannot be"],
    ["a Blob", () => ({ status: 200, body: new Blob(["a"]) }), "A stream cannot be"],
    ["a web Response", () => ({ status: 200, body: new Response("a") }), "A stream cannot be"],
    ["a BigInt", () => ({ status: 200, body: 7n }), "a JSON value"],
    ["a large body", () => ({ status: 200, body: "a".repeat(2 ** 20 + 1) }), "maxBody"],
    ["no status", () => ({ body: "a" }), "status: expected a number"],
    ["headers as a list", () => ({ status: 200, headers: [["a", "b"]] as never }), "an object"],
    ["a number as a header", () => ({ status: 200, headers: { a: 5 as never } }), "text or a list"],
    ["a header with a line break", () => ({ status: 200, headers: { a: "b\nc" } }), "character"],
    ["nothing at all", () => undefined, "response: expected"],
  ];
  test.each(refused)("%s is refused before the commit", async (_name, make, message) => {
    let thrown: unknown;
    const { post, rows } = await serving(binding, async (state) => {
      const work = (tx: Db) => {
        placing()(tx);
        return (make as Work)(tx);
      };
      await state.transaction(work).catch((error: unknown) => {
        thrown = error;
        throw error;
      });
    });
    expect((await post()).status).toBe(500);
    expect(thrown).toBeInstanceOf(TypeError);
    expect(String(thrown)).toContain(message);
    expect(rows()).toBe(0);
  });

  test("work that returns a promise is refused on SQLite, and rolled back", async () => {
    let thrown: unknown;
    const { post, rows } = await serving(binding, async (state) => {
      const work = async (tx: Db) => {
        const response = placing()(tx) as Awaited<ReturnType<Work>>;
        await sleep(5);
        if (rows() > 0) return response;
        throw new Error("too late");
      };
      thrown = await state.transaction(work).catch((error: unknown) => error);
      await sleep(20);
      throw thrown;
    });
    expectProblem(await post(), 503, "store-unavailable");
    expect(thrown).toBeInstanceOf(StoreError);
    expect(String((thrown as StoreError).cause)).toMatch(/promise/i);
    expect(rows()).toBe(0);
  });

  test("a store without transactions is a TypeError", async () => {
    let thrown: unknown;
    const { post } = await serving(
      binding,
      async (state) => {
        thrown = await place(state).catch((error: unknown) => error);
        throw thrown;
      },
      { store: memoryStore() as never as TransactionalStore<Db, true> },
    );
    expect((await post()).status).toBe(500);
    expect(thrown).toBeInstanceOf(TypeError);
    expect(String(thrown)).toContain("no transactions");
  });

  test("a transaction that begins after the response is refused, or is the outcome of both requests", async () => {
    for (let turns = 0; turns < 8; turns += 1) {
      const { post, rows, runs } = await serving(binding, async (state, exchange) => {
        const sent = exchange.send({ from: "handler" });
        void (async () => {
          for (let turn = 0; turn < turns; turn += 1) await undefined;
          await place(state);
        })().catch(() => undefined);
        return sent;
      });
      const first = await post();
      const again = await post();
      expect([turns, again.status, again.text]).toEqual([turns, first.status, first.text]);
      expect([turns, rows(), runs()]).toEqual([turns, first.status === 201 ? 1 : 0, 1]);
    }
  });

  test("a step that is running refuses the transaction, and the outcome stays open", async () => {
    let thrown: unknown;
    const { post, rows } = await serving(
      binding,
      async (state, exchange, run) => {
        if (run === 1) {
          void state.step("charge", () => new Promise(() => undefined)).catch(() => undefined);
          thrown = await place(state).catch((error: unknown) => error);
          await new Promise(() => undefined);
        }
        return exchange.send();
      },
      { steps: true, leaseMs: 200, maxRunMs: 300 },
    );
    void post().catch(() => undefined);
    await expect
      .poll(async () => (await post()).text, { timeout: 10_000 })
      .toContain("outcome-unknown");
    expect(thrown).toBeInstanceOf(Error);
    expect(String(thrown)).toContain("a step is still running");
    expect(rows()).toBe(0);
  });

  test("if it is unclear whether it was committed, the callback's response is not sent", async () => {
    const unclear = (store: TransactionalStore<Db, true>) =>
      new Proxy(store, {
        get: (target, name) => {
          const member: unknown = Reflect.get(target, name);
          if (name !== "transact") {
            return typeof member === "function" ? member.bind(target) : member;
          }
          const transact: TransactionalStore<Db, true>["transact"] = async (...given) => {
            await target.transact(...given);
            throw new UnclearCommitError(new Error("the connection broke"));
          };
          return transact;
        },
      });
    const { post, rows, runs } = await serving(binding, (state) => place(state), {}, {}, unclear);
    expectProblem(await post(), 409, "outcome-unknown");
    expect(await post()).toMatchObject({ status: 201, json: { order: 1 }, isReplayed: true });
    expect([rows(), runs()]).toEqual([1, 1]);
  });

  test("an error of the database leaves the outcome open: 503", async () => {
    const { post, rows, runs } = await serving(
      binding,
      async (state) =>
        await state.transaction((tx: Db) => {
          const response = placing()(tx);
          tx.exec("ROLLBACK");
          return response as ReturnType<Work>;
        }),
      {},
      { formatsErrors: true },
    );
    const first = await post();
    expectProblem(first, 503, "store-unavailable");
    expectProblem(await post(), 409, "outcome-unknown");
    expect([rows(), runs()]).toEqual([0, 1]);
  });
}
