import { migrate, openSqlite, sqliteStore } from "@idemkit/store-sqlite";
import { expect } from "vitest";
import { send } from "../client.ts";
import type { Exchange, Row } from "../lab.ts";
import { counting, expectReplay, row } from "./row.ts";

/** Statuses that clients of other services put on their errors. */
const FOREIGN = [401, 403, 408, 412, 413, 425, 429];
/** Those of them that give the key back if the framework's own error has them. */
const RELEASING = [401, 403, 412, 413, 429];
const POSTS = 5;

/** An error as the client of another service throws it. */
function foreign(status: number): Error {
  const members = { status, statusCode: status, expose: true, headers: { "x-service": "other" } };
  return Object.assign(new Error(`The service responded with ${status}.`), members);
}

function counted(
  title: string,
  answer: (exchange: Exchange, run: number) => unknown,
  runsWanted: number,
  plan: Parameters<typeof row>[1] = {},
): Row {
  return row(title, { ...plan, answer }, async ({ post, runs }) => {
    const first = await post({ key: "k" });
    for (let posts = 1; posts < POSTS; posts += 1) {
      const again = await post({ key: "k" });
      expect(again.status).toBe(first.status);
      expect(again.isReplayed).toBe(runsWanted === 1);
    }
    expect(runs()).toBe(runsWanted);
  });
}

/** A row whose handler does something under its key before it responds with 429. */
function answered429(what: string, begin: (exchange: Exchange) => unknown): Row {
  return {
    title: `429 does not give the key back after ${what}`,
    prove: async ({ serve, createEngine }) => {
      const db = openSqlite(":memory:");
      await migrate(db);
      const engine = createEngine({ store: sqliteStore(db), steps: true });
      for (const key of ["responded", "thrown"]) {
        const { handler, runs } = counting(async (exchange) => {
          await begin(exchange);
          if (key === "thrown") return exchange.fail(429, "slower");
          exchange.status(429);
          return exchange.send({ slower: true });
        });
        const { origin } = await serve({ handler }, engine);
        const first = await send(origin, { key });
        expect(first.status).toBe(429);
        expectReplay(first, await send(origin, { key }));
        expect(runs()).toBe(1);
      }
      await engine.close();
    },
  };
}

export const thrownRows: readonly Row[] = [
  ...FOREIGN.map((status) =>
    counted(
      `a thrown error of another library never gives the key back: ${status}`,
      () => {
        throw foreign(status);
      },
      1,
    ),
  ),
  ...FOREIGN.map((status) =>
    counted(
      `an error of another library with the framework's status never gives the key back: ${status}`,
      (exchange) => exchange.decorate(status, new Error("refused by the service")),
      1,
      { around: ["sensible"] },
    ),
  ),
  counted(
    "an error of another library that passes on its own status never gives the key back",
    (exchange) => exchange.decorate(429, foreign(429)),
    1,
    { around: ["sensible"] },
  ),
  counted(
    "an error handler does not make an error of another library give the key back",
    () => {
      throw foreign(429);
    },
    1,
    { formatsErrors: true },
  ),
  ...RELEASING.map((status) =>
    counted(
      `a thrown error of the framework gives the key back: ${status}`,
      (exchange) => exchange.fail(status, "not yet"),
      POSTS,
    ),
  ),
  ...RELEASING.map((status) =>
    counted(
      `a thrown error of the framework's plugin gives the key back: ${status}`,
      (exchange) => exchange.failByPlugin(status, "not yet"),
      POSTS,
      { around: ["sensible"] },
    ),
  ),
  ...[408, 425].map((status) =>
    counted(
      `a thrown error of the framework does not give the key back: ${status}`,
      (exchange) => exchange.fail(status, "not yet"),
      1,
    ),
  ),
  ...[408, 425].map((status) =>
    counted(
      `a response does not give the key back: ${status}`,
      (exchange) => {
        exchange.status(status);
        return exchange.send({ status });
      },
      1,
    ),
  ),
  answered429("a step", async ({ idempotency }) => {
    await idempotency?.step("charge", async () => "charged");
  }),
  answered429("a step that failed", async ({ idempotency }) => {
    const refused = async () => {
      throw new Error("refused");
    };
    await idempotency?.step("charge", refused).catch(() => undefined);
  }),
  answered429("a derived key", ({ idempotency }) => idempotency?.deriveKey("charge")),
  answered429("a transaction that was rolled back", async ({ idempotency }) => {
    const failing = () => {
      throw new Error("no stock");
    };
    await idempotency?.transaction(failing).catch(() => undefined);
  }),
  row(
    "classify gets the error that the handler has thrown",
    {
      options: {
        classify: ({ error }) => (error instanceof RangeError ? "release" : undefined),
      },
      answer: (_exchange, run) => {
        throw run === 1 ? new RangeError("not yet") : new TypeError("broken");
      },
    },
    async ({ post, runs }) => {
      await post({ key: "k" });
      await post({ key: "k" });
      expect((await post({ key: "k" })).isReplayed).toBe(true);
      expect(runs()).toBe(2);
    },
  ),
  counted(
    "the handler's own decision comes before the class of its error",
    (exchange) => {
      exchange.idempotency?.record();
      return exchange.fail(429, "charged already");
    },
    1,
  ),
];
