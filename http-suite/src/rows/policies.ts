import type { EngineOptions } from "@idemkit/engine";
import type { ResponseError } from "@idemkit/http";
import { expect } from "vitest";
import { send } from "../client.ts";
import type { Exchange, Plan, Row } from "../lab.ts";
import { counting, expectProblem, until } from "./row.ts";

type Policies = Pick<EngineOptions, "onError" | "guarantee">;

const throwing = () => {
  throw new Error("the database is full");
};

const responding = (exchange: Exchange) => {
  exchange.status(502);
  return exchange.send({ failed: true });
};

const failures = [
  ["a thrown error", 500, throwing],
  ["a 502 response", 502, responding],
] as const;

/** A row whose engine has policies: the outcome of a failure by them. */
function by(
  title: string,
  { policies, options = {} }: { policies: Policies; options?: NonNullable<Plan["options"]> },
  [answer, status]: readonly [(exchange: Exchange) => unknown, number],
  end: "record" | "release" | "hold",
): Row {
  return {
    title,
    prove: async ({ serve, store, createEngine }) => {
      const engine = createEngine({ store, ...policies });
      const { handler, runs } = counting(answer);
      const { origin } = await serve({ handler, options }, engine);
      expect((await send(origin, { key: "k" })).status).toBe(status);
      const second = await send(origin, { key: "k" });
      if (end === "hold") expectProblem(second, 409, "outcome-unknown");
      else expect(second).toMatchObject({ status, isReplayed: end === "record" });
      expect(runs()).toBe(end === "release" ? 2 : 1);
      await engine.close();
    },
  };
}

const webhook = { preset: "webhook", key: () => "k", verify: () => true } as const;

/** Presets with what they do about thrown errors and 5xx, and a policy of the engine that says otherwise. */
const presets = [
  [{ preset: "stripe", replayHeader: "Idempotency-Replayed" }, "record", "release"],
  [{ preset: "retryable" }, "release", "hold"],
  [webhook, "release", "hold"],
] as const;

export const policyRows: readonly Row[] = [
  ...presets.flatMap(([options, usual, onError]) =>
    failures.flatMap(([what, status, answer]) => {
      const end = [answer, status] as const;
      const { preset } = options;
      return [
        by(
          `the preset ${preset} decides about ${what}, whatever the guarantee is`,
          {
            policies: { guarantee: usual === "record" ? "at-least-once" : "at-most-once" },
            options,
          },
          end,
          usual,
        ),
        by(
          `onError of the engine comes before the preset ${preset} for ${what}`,
          { policies: { onError }, options },
          end,
          onError,
        ),
        by(
          `on5xx comes before the preset ${preset} for ${what}`,
          { policies: {}, options: { ...options, on5xx: onError } },
          end,
          onError,
        ),
      ];
    }),
  ),
  ...failures.flatMap(([what, status, answer]) =>
    (["record", "release", "hold"] as const).map((onError) =>
      by(
        `onError of the engine decides about ${what}: ${onError}`,
        { policies: { onError } },
        [answer, status],
        onError,
      ),
    ),
  ),
  by(
    "a function as onError gets the error that was thrown",
    { policies: { onError: (error) => (isFull(error) ? "release" : "record") } },
    [throwing, 500],
    "release",
  ),
  by(
    "a function as onError gets a ResponseError for a 5xx response",
    {
      policies: {
        onError: (error) => (isResponseError(error) && error.status === 502 ? "hold" : "record"),
      },
    },
    [responding, 502],
    "hold",
  ),
  by(
    "a function as onError that throws holds the outcome",
    { policies: { onError: throwing } },
    [responding, 502],
    "hold",
  ),
  by(
    "onError of the engine comes before on5xx",
    { policies: { onError: "hold" }, options: { on5xx: "release" } },
    [responding, 502],
    "hold",
  ),
  by(
    "on5xx comes before the default of the guarantee",
    { policies: { guarantee: "at-least-once" }, options: { on5xx: "record" } },
    [responding, 502],
    "record",
  ),
  by(
    "classify comes before onError of the engine",
    { policies: { onError: "hold" }, options: { classify: () => "release" } },
    [throwing, 500],
    "release",
  ),
  by(
    "an error of the framework that says that nothing was done comes before onError of the engine",
    { policies: { onError: "hold" } },
    [(exchange) => exchange.fail(401, "not yet"), 401],
    "release",
  ),
  {
    title: "an engine whose `exclude` would not apply is refused",
    prove: async ({ serve, store, createEngine }) => {
      const engine = createEngine({ store, exclude: ["/sentAt"] });
      const { handler } = counting();
      const refused: unknown = await serve({ handler }, engine).catch((error: unknown) => error);
      expect(refused).toBeInstanceOf(TypeError);
      expect(String(refused)).toContain("`exclude`");
      await serve({ handler }, engine.with({ exclude: [] }));
      await engine.close();
    },
  },
  {
    title: "a 5xx that the handler sends after the engine's abort leaves its key open",
    prove: async ({ serve, store, createEngine }) => {
      const engine = createEngine({ store, leaseMs: 300 });
      const { handler, runs } = counting(async (exchange) => {
        const { signal } = exchange.idempotency ?? {};
        await new Promise((resolve) => signal?.addEventListener("abort", resolve));
        return responding(exchange);
      });
      const { origin } = await serve({ handler }, engine);
      const first = send(origin, { key: "k" });
      await until(() => runs() === 1);
      await engine.close({ graceMs: 0 });
      await first;
      const next = createEngine({ store });
      const restarted = await serve({ handler }, next);
      const again = async () => await send(restarted.origin, { key: "k" });
      await until(async () => !(await again()).text.includes("in-progress"));
      expectProblem(await again(), 409, "outcome-unknown");
      expect(runs()).toBe(1);
      await next.close();
    },
  },
];

function isFull(error: unknown): boolean {
  return error instanceof Error && error.message === "the database is full";
}

/** By its name: a binding that is bundled has a class of its own. */
function isResponseError(error: unknown): error is ResponseError {
  return error instanceof Error && error.name === "ResponseError";
}
