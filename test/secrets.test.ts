import { inspect } from "node:util";
import { createClient } from "@idemkit/client";
import { batchedStore, createEngine, memoryStore } from "@idemkit/engine";
import { durabilityProblems } from "@idemkit/engine/model";
import * as fastifyBinding from "@idemkit/fastify";
import { Guard, StatusEndpoint } from "@idemkit/http";
import * as koaBinding from "@idemkit/koa";
import { mysqlStore } from "@idemkit/store-mysql";
import { postgresStore } from "@idemkit/store-postgres";
import { redisStore } from "@idemkit/store-redis";
import { migrate, openSqlite, sqliteStore } from "@idemkit/store-sqlite";
import Fastify from "fastify";
import { describe, expect, test } from "vitest";
import { CALL_OPTIONS } from "../packages/engine/src/options.ts";
import { NAMES as HTTP_OPTIONS } from "../packages/http/src/options.ts";

/** Texts that stand in the wrong place of a program now and then, and that no error may show. */
const SECRETS: Readonly<Record<string, string>> = {
  "an API key": "sk_live_51HqLyjWDarjtT1zdp7dc",
  "a short API key": "sk_live_1",
  "a UUID": "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
  "an e-mail address": "ada.lovelace@example.com",
  "a bearer token": "Bearer Zm9vYmFyYmF6",
  "a JWT": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
  "a card number": "4242 4242 4242 4242",
  "a long word": "correcthorsebatterystaple",
  "a text of two lines": "first line\nsecond line",
};

const store = memoryStore();
const engine = createEngine({ store });
const scope = () => "s";

/** What a secret may stand in: as it is, in a list, in an object, as its member's name, in a class. */
function shapesOf(secret: string): readonly unknown[] {
  const config = { constructor: { name: secret }, [Symbol.toStringTag]: secret };
  const instance = Object.assign(new (class Config {})(), config);
  return [secret, [secret], { waitMs: secret }, { [secret]: 1 }, instance];
}

/** A public function, and its options. `call` passes the options on to it. */
interface Subject {
  readonly name: string;
  readonly options: readonly string[];
  readonly call: (options: never) => unknown;
}

const onClaim =
  (use: (claim: Awaited<ReturnType<typeof claimOf>>, options: never) => unknown) =>
  async (options: never) => {
    const claim = await claimOf();
    try {
      await use(claim, options);
    } finally {
      await claim.release();
    }
  };

async function claimOf() {
  const begun = await engine.begin("s", "claimed", null, { steps: true });
  if (begun.kind !== "execute") throw new Error("The key is free before each test.");
  return begun.claim;
}

const httpOptions = { engine, scope };
const sends = (async () => new Response()) as typeof fetch;
const client = createClient({ fetch: sends });
const order = { method: "POST", body: "{}" };
const run = () => 1;
const lines = [{ key: "k", payload: 1 }];
const statusOptions = ["engine", "scope", "preset", "keyFormat", "strict", "docsUrl"];

const subjects: readonly Subject[] = [
  {
    name: "createEngine",
    options: [...CALL_OPTIONS, "store", "runtime"],
    call: (options: object) => createEngine({ store, ...options }),
  },
  { name: "engine.with", options: CALL_OPTIONS, call: (options) => engine.with(options) },
  {
    name: "engine.execute",
    options: CALL_OPTIONS,
    call: (options) => engine.execute("s", "k", null, run, options),
  },
  {
    name: "engine.begin",
    options: CALL_OPTIONS,
    call: async (options) => {
      const begun = await engine.begin("s", "begun", null, options);
      if (begun.kind === "execute") await begun.claim.release();
    },
  },
  {
    name: "engine.executeMany",
    options: CALL_OPTIONS,
    call: (options) =>
      engine.executeMany("s", lines, (news) => news.map(({ key }) => ({ key, value: 1 })), options),
  },
  {
    name: "engine.transaction",
    options: CALL_OPTIONS,
    call: async (options) => {
      const db = openSqlite(":memory:");
      await migrate(db);
      await createEngine({ store: sqliteStore(db) }).transaction("s", "k", null, run, options);
    },
  },
  {
    name: "engine.settle",
    options: ["as", "by", "why", "value", "error"],
    call: (options: object) =>
      engine.settle("s", "k", { as: "released", by: "ann", why: "test", ...options }),
  },
  {
    name: "engine.list",
    options: ["state", "after", "limit"],
    call: (options: object) => engine.list({ state: "unknown", ...options }),
  },
  { name: "engine.purge", options: ["limit"], call: (options) => engine.purge(options) },
  {
    name: "engine.close",
    options: ["graceMs"],
    call: (options) => createEngine({ store }).close(options),
  },
  {
    name: "engine.inspect",
    options: ["digest"],
    call: (options: { readonly digest: string }) => engine.inspect(options),
  },
  {
    name: "engine.deriveKey",
    options: ["format", "length"],
    call: (options) => engine.deriveKey("s", "k", "charge", options),
  },
  {
    name: "context.deriveKey",
    options: ["format", "length"],
    call: onClaim((claim, options) => claim.deriveKey("charge", options)),
  },
  {
    name: "context.step",
    options: ["reconcile"],
    call: onClaim((claim, options) => claim.step("charge", run, options)),
  },
  {
    name: "memoryStore",
    options: ["clock"],
    call: (options) => createEngine({ store: memoryStore(options) }).execute("s", "k", 1, run),
  },
  {
    name: "store.check",
    options: ["durability"],
    call: (options) => durabilityProblems(options, "none", "use a file"),
  },
  {
    name: "Guard",
    options: HTTP_OPTIONS,
    call: (options: object) => new Guard({ ...httpOptions, ...options }),
  },
  {
    name: "StatusEndpoint",
    options: statusOptions,
    call: (options: object) => new StatusEndpoint({ ...httpOptions, ...options }),
  },
  {
    name: "koa: idempotency",
    options: HTTP_OPTIONS,
    call: (options: object) => koaBinding.idempotency({ ...httpOptions, ...options }),
  },
  {
    name: "koa: idempotencyStatus",
    options: statusOptions,
    call: (options: object) => koaBinding.idempotencyStatus({ ...httpOptions, ...options }),
  },
  {
    name: "describeOperation",
    options: HTTP_OPTIONS,
    call: (options: object) => koaBinding.describeOperation({ ...httpOptions, ...options }),
  },
  {
    name: "corsHeaders",
    options: ["headers", "replayHeader", "preset"],
    call: (options) => koaBinding.corsHeaders(options),
  },
  {
    name: "encodeResponse",
    options: ["status", "headers", "body"],
    call: (options: object) => koaBinding.encodeResponse({ status: 200, headers: [], ...options }),
  },
  {
    name: "fastify: idempotency",
    options: HTTP_OPTIONS,
    call: (options: object) =>
      Fastify().register(fastifyBinding.idempotency, { ...httpOptions, ...options }),
  },
  {
    name: "fastify: config.idempotency",
    options: HTTP_OPTIONS,
    call: async (options) => {
      const app = Fastify();
      await app.register(fastifyBinding.idempotency, httpOptions);
      app.post("/orders", { config: { idempotency: options } }, async () => "");
      await app.ready();
    },
  },
  {
    name: "fastify: idempotencyStatus",
    options: statusOptions,
    call: (options: object) => fastifyBinding.idempotencyStatus({ ...httpOptions, ...options }),
  },
  {
    name: "createClient",
    options: [
      ...["fetch", "header", "keyFormat", "methods", "onRetry", "deadlineMs", "attemptTimeoutMs"],
    ],
    call: async (options: object) => {
      const other = createClient({ fetch: sends, ...options });
      await other.fetch("http://localhost:1/", { method: "GET" });
    },
  },
  {
    name: "client.fetch",
    options: ["key", "deadlineMs", "attemptTimeoutMs"],
    call: (options) => client.fetch("http://localhost:1/", order, options),
  },
  {
    name: "client.fetch's init",
    options: ["method", "body", "signal", "mode"],
    call: (options: object) => client.fetch("http://localhost:1/", { ...order, ...options }),
  },
  {
    name: "client.operation",
    options: ["key", "deadlineMs", "attemptTimeoutMs"],
    call: (options) => client.operation(options),
  },
];

/** The public functions whose arguments are no options. */
const positional: Readonly<Record<string, (value: never) => unknown>> = {
  "createEngine's store": (value) => createEngine({ store: value }),
  "engine.execute's fn": (value) => engine.execute("s", "k", null, value),
  "engine.executeMany's lines": (value) => engine.executeMany("s", value, () => []),
  "engine.executeMany's fn": (value) => engine.executeMany("s", lines, value),
  "engine.on's event": (value) => engine.on(value, () => undefined),
  "engine.on's listener": (value) => engine.on("claimed", value),
  "engine.deriveKey's name": (value) => engine.deriveKey("s", "k", ["", value].at(1) as never),
  "a step's fn": onClaim((claim, value) => claim.step("charge", value)),
  "batchedStore's store": (value) => batchedStore(value).read([]),
  sqliteStore: (value) => sqliteStore(value),
  postgresStore: (value) => postgresStore(value),
  mysqlStore: (value) => mysqlStore(value),
  redisStore: (value) => redisStore(value),
  "fastify: config.idempotency": async (value) => {
    const app = Fastify();
    await app.register(fastifyBinding.idempotency, httpOptions);
    app.post("/orders", { config: { idempotency: value } }, async () => "");
    await app.ready();
  },
};

/** What is thrown; undefined if nothing is. */
async function thrownBy(call: () => unknown): Promise<unknown> {
  try {
    await call();
    return undefined;
  } catch (error) {
    return error;
  }
}

/** Everything that a log may write of an error, in lower case, as some texts are written in capitals. */
function writtenOf(error: unknown): string {
  const { message, stack } = error as Error;
  const whole = inspect(error, { depth: 10, showHidden: true, maxStringLength: null });
  return `${message}\n${stack}\n${whole}`.toLowerCase();
}

function expectNoneOf(secret: string, error: unknown): void {
  expect(writtenOf(error)).not.toContain(secret.toLowerCase());
  for (const line of secret.toLowerCase().split("\n")) expect(writtenOf(error)).not.toContain(line);
}

describe.each(Object.entries(SECRETS))("%s as an option is in no error of", (_kind, secret) => {
  for (const { name, options, call } of subjects) {
    test(name, async () => {
      const given = [
        ...shapesOf(secret),
        ...options.flatMap((option) => shapesOf(secret).map((value) => ({ [option]: value }))),
      ];
      const errors: unknown[] = [];
      for (const each of given) errors.push(await thrownBy(() => call(each as never)));
      expect(errors.filter((error) => error !== undefined)).not.toEqual([]);
      for (const error of errors) if (error !== undefined) expectNoneOf(secret, error);
    });
  }

  for (const [name, call] of Object.entries(positional)) {
    test(name, async () => {
      for (const value of shapesOf(secret)) {
        const error = await thrownBy(() => call(value as never));
        if (error !== undefined) expectNoneOf(secret, error);
      }
    });
  }
});

describe("a word as an option is in the error of", () => {
  const bad = { guarantee: "exactly-once", preset: "paypal", keyFormat: "raw", deadline: 5 };
  const subject = (name: string) => subjects.find((each) => each.name === name) as Subject;
  test.each([
    ["createEngine", { guarantee: bad.guarantee }, "got 'exactly-once'"],
    ["koa: idempotency", { preset: bad.preset }, "got 'paypal'"],
    ["createClient", { keyFormat: bad.keyFormat }, "got 'raw'"],
    ["createClient", { deadline: 5 }, "deadline: no such option"],
    ["engine.with", { lease: 5 }, "lease: no such option"],
  ])("%s: %j", async (name, options, message) => {
    const error = await thrownBy(() => subject(name).call(options as never));
    expect((error as Error).message).toContain(message);
  });
});
