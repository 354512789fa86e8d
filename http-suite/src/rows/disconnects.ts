import { setTimeout as pause } from "node:timers/promises";
import { expect } from "vitest";
import { type Sent, send } from "../client.ts";
import { type Row, SLOW_MS, type Surrounding } from "../lab.ts";
import { type Leave, leaveEarly } from "../leaving.ts";
import { counting, expectReplay, gate, slowStore, until } from "./row.ts";

const LEAVES: readonly Leave[] = [
  ...[0, 1, 20].map((afterBytes) => ({ afterBytes })),
  ...[1, 5, SLOW_MS / 2, SLOW_MS - 2].map((afterMs) => ({ afterMs })),
];

/** Compressed in more than one turn. */
const LARGE = "x".repeat(20_000);

const surroundings: readonly (readonly [string, readonly Surrounding[]])[] = [
  ["without a layer", []],
  ["with compression", ["compress"]],
  ["with a slow layer", ["slow"]],
];

const GZIP = { "accept-encoding": "gzip" };
const AUTHORIZED = { ...GZIP, authorization: "Bearer a" };

const refusals: readonly (readonly [string, number, Sent])[] = [
  ["a replay", 200, { key: "k", headers: AUTHORIZED }],
  ["422", 422, { key: "k", body: { other: 1 }, headers: AUTHORIZED }],
  ["400", 400, { headers: AUTHORIZED }],
  ["401", 401, { key: "k", headers: GZIP }],
  ["409", 409, { key: "running", headers: AUTHORIZED }],
];

/** A row whose clients leave while they get a response that is not the handler's. */
function leaving(
  [what, status, sent]: (typeof refusals)[number],
  [where, around]: (typeof surroundings)[number],
): Row {
  return {
    title: `the handler does not run for a client that leaves while it gets ${what}, ${where}`,
    prove: async ({ serve }) => {
      const { opened, open } = gate();
      const { handler, runs } = counting(async (exchange, run) => {
        if (run > 1) await opened;
        return exchange.send({ run, text: LARGE });
      });
      const { origin } = await serve({ handler, around, authenticates: true });
      const first = await send(origin, { key: "k", headers: AUTHORIZED });
      const running = send(origin, { key: "running", headers: AUTHORIZED });
      await until(() => runs() === 2);
      expect((await send(origin, sent)).status).toBe(status);
      await Promise.all(LEAVES.map((leave) => leaveEarly(origin, sent, leave)));
      await pause(2 * SLOW_MS);
      expect(runs()).toBe(2);
      open();
      expect((await running).status).toBe(200);
      expectReplay(first, await send(origin, { key: "k", headers: AUTHORIZED }));
      expect(runs()).toBe(2);
    },
  };
}

export const disconnectRows: readonly Row[] = [
  ...surroundings.flatMap((where) => refusals.map((refusal) => leaving(refusal, where))),
  {
    title:
      "a request that got a response while its key was claimed does not run, and frees its key",
    prove: async ({ serve, store, createEngine }) => {
      const { handler, runs } = counting();
      const engine = createEngine({ store: slowStore(store, 250) });
      const timed = await serve({ handler, timeoutMs: 50 }, engine);
      expect((await send(timed.origin, { key: "k" })).status).toBe(503);
      await pause(400);
      expect(runs()).toBe(0);
      const { origin } = await serve({ handler });
      await until(async () => (await send(origin, { key: "k" })).status === 201);
      expect(runs()).toBe(1);
      await engine.close();
    },
  },
];
