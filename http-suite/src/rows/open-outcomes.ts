import { type Engine, OutcomeUnknownError } from "@idemkit/engine";
import { expect } from "vitest";
import { send } from "../client.ts";
import type { Exchange, Lab, Plan, Row } from "../lab.ts";
import { counting, expectProblem, until, viewOf } from "./row.ts";

const LEASE_MS = 300;

const errorHandlers: readonly (readonly [string, Pick<Plan, "formatsErrors">])[] = [
  ["no error handler", {}],
  ["an error handler that formats errors", { formatsErrors: true }],
  ["an error handler that hides errors", { formatsErrors: "as-success" }],
];

/** A row whose handler lets an error through that says that the outcome is open. */
function leftOpen(
  what: string,
  [where, plan]: (typeof errorHandlers)[number],
  answer: (
    exchange: Exchange,
    lab: { readonly engine: Engine; readonly fail: () => void },
  ) => unknown,
  expected: readonly [status: number, code: "outcome-unknown" | "store-unavailable"],
): Row {
  return {
    title: `${what} that leaves the handler decides nothing, with ${where}`,
    prove: async ({ serve, store, createEngine }: Lab) => {
      let isDown = false;
      const failing = viewOf(store, () => {
        if (isDown) throw Object.assign(new Error("refused"), { code: "ECONNREFUSED" });
      });
      const options = {
        ...{ leaseMs: LEASE_MS, steps: true, storeTimeoutMs: 100 },
        onLapsed: "block",
      } as const;
      const engine = createEngine({ ...options, store: failing });
      const fail = () => {
        isDown = true;
      };
      const { handler, runs } = counting((exchange) => answer(exchange, { engine, fail }));
      const { origin } = await serve({ handler, ...plan }, engine);
      const first = await send(origin, { key: "k" });
      expectProblem(first, ...expected);
      expect(first.headers["retry-after"]).toBe(expected[0] === 503 ? "1" : undefined);
      isDown = false;
      await engine.close({ graceMs: 0 });
      const next = createEngine({ ...options, store });
      const { state } = (await next.inspect("ada", "k")) ?? {};
      expect(["in-progress", "lapsed"]).toContain(state);
      const after = await serve({ handler, ...plan }, next);
      const again = async () => await send(after.origin, { key: "k" });
      await until(async () => !(await again()).text.includes("in-progress"));
      expectProblem(await again(), 409, "outcome-unknown");
      expect(runs()).toBe(1);
      await next.close();
    },
  };
}

/** A call of another operation whose outcome is unknown. */
async function unknownCall(engine: Engine): Promise<never> {
  const held = engine.with({ onError: "hold", steps: false });
  const key = `other-${Math.random()}`;
  const call = async () =>
    await held.execute("ada", key, {}, async () => {
      throw new Error("no response");
    });
  await call().catch(() => undefined);
  const error = await call().then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(OutcomeUnknownError);
  throw error;
}

const stepOf = (exchange: Exchange, fn: () => Promise<unknown>): Promise<unknown> => {
  if (exchange.idempotency === undefined) throw new Error("expected a protected request");
  return exchange.idempotency.step("charge", fn as () => Promise<never>);
};

export const openOutcomeRows: readonly Row[] = errorHandlers.flatMap((around) => [
  leftOpen(
    "the StoreError of a step",
    around,
    async (exchange, { fail }) => {
      fail();
      return await stepOf(exchange, async () => "charged");
    },
    [503, "store-unavailable"],
  ),
  leftOpen(
    "the OutcomeUnknownError of a step",
    around,
    async (exchange, { engine }) => await stepOf(exchange, async () => await unknownCall(engine)),
    [409, "outcome-unknown"],
  ),
  leftOpen(
    "the OutcomeUnknownError of another call",
    around,
    async (_exchange, { engine }) => await unknownCall(engine),
    [409, "outcome-unknown"],
  ),
  leftOpen(
    "a response after a step in doubt",
    around,
    async (exchange, { engine }) => {
      await stepOf(exchange, async () => await unknownCall(engine)).catch(() => undefined);
      return exchange.send({ charged: "perhaps" });
    },
    [409, "outcome-unknown"],
  ),
]);
