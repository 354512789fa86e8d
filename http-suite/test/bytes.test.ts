import * as fastifyModule from "@idemkit/fastify";
import * as koaModule from "@idemkit/koa";
import { describe, expect, test } from "vitest";
import { inParallel } from "../src/in-parallel.ts";
import { fastifyBinding, koaBinding, prove, type Received, type Row, send } from "../src/index.ts";
import type { Surrounding } from "../src/lab.ts";
import { leaveEarly } from "../src/leaving.ts";
import { until } from "../src/rows/row.ts";

const TEXT = "0123456789".repeat(10);
/** How many clients are there at a time. */
const PARALLEL = 16;
/** More than any of these responses has. */
const BYTES_MAX = 1_000;
const RUN_MS = 3;

const bindings = { "Koa 3": koaBinding(koaModule), "Fastify 5": fastifyBinding(fastifyModule) };

const surroundings: Readonly<Record<string, readonly Surrounding[]>> = {
  "no layer": [],
  compression: ["compress"],
  "a slow layer": ["slow"],
};

const sentWith = (key: string) => ({ key, headers: { "accept-encoding": "gzip" } });

/** A row whose clients leave after each number of bytes, of a first response or of a replay. */
function cutting(which: "first" | "replay", around: readonly Surrounding[]): Row {
  return {
    title: which,
    prove: async ({ serve }) => {
      const runs = new Map<string, number>();
      const { origin } = await serve({
        handler: async (exchange) => {
          const { key = "" } = exchange.idempotency ?? {};
          runs.set(key, (runs.get(key) ?? 0) + 1);
          await new Promise((resolve) => setTimeout(resolve, RUN_MS));
          exchange.status(201);
          return exchange.send({ key: key.padEnd(20), text: TEXT });
        },
        around,
      });
      const post = async (key: string) => await send(origin, sentWith(key));
      const whole = await leaveEarly(origin, sentWith("length"), { afterBytes: BYTES_MAX });
      const { length } = whole.received;
      expect(length).toBeGreaterThan(200);
      expect(length).toBeLessThan(BYTES_MAX);
      let cuts = 0;
      await inParallel(PARALLEL, length + 1, async (afterBytes) => {
        const key = `k${afterBytes}`;
        if (which === "replay") expect((await post(key)).status).toBe(201);
        const { hasLeft } = await leaveEarly(origin, sentWith(key), { afterBytes });
        cuts += Number(hasLeft);
        let again: Received | undefined;
        await until(async () => {
          again = await post(key);
          return again.status !== 409;
        });
        const plain = await send(origin, { key, headers: { "accept-encoding": "identity" } });
        expect(plain).toMatchObject({ status: 201, isReplayed: true });
        expect(plain.json).toEqual({ key: key.padEnd(20), text: TEXT });
        // A request that was cut off before it was read has run at the next one.
        if (afterBytes > 0) expect(again?.isReplayed).toBe(true);
        expect(runs.get(key)).toBe(1);
      });
      expect(cuts).toBeGreaterThan(length * 0.9);
    },
  };
}

for (const [name, binding] of Object.entries(bindings)) {
  describe(`${name}: a client that leaves after each byte, and comes back`, () => {
    for (const [where, around] of Object.entries(surroundings)) {
      for (const which of ["first", "replay"] as const) {
        const what = which === "first" ? "the first response" : "a replay";
        test(`of ${what}, with ${where}`, async () => {
          await prove(cutting(which, around), binding);
        }, 60_000);
      }
    }
  });
}
