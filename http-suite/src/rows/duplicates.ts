import { setTimeout as pause } from "node:timers/promises";
import { expect } from "vitest";
import { send } from "../client.ts";
import type { Row } from "../lab.ts";
import { counting, expectProblem, expectReplay, gate, row, until, viewOf } from "./row.ts";

const PARALLEL = 50;

/** A request whose handler is held until the gate is opened. */
function held() {
  const { opened, open } = gate();
  return {
    open,
    answer: async (exchange: { status(code: number): void; send(body: unknown): unknown }) => {
      await opened;
      exchange.status(201);
      return exchange.send({ done: true });
    },
  };
}

export const duplicateRows: readonly Row[] = [
  row("a duplicate gets the first response", {}, async ({ post, runs }) => {
    const first = await post({ key: "k" });
    expect(first.status).toBe(201);
    expectReplay(first, await post({ key: "k" }));
    expectReplay(first, await post({ key: "k" }));
    expect(runs()).toBe(1);
  }),
  {
    title: "a duplicate of what still runs is told so, and gets the outcome later",
    prove: async ({ serve }) => {
      const { open, answer } = held();
      const { handler, runs } = counting(answer);
      const { origin } = await serve({ handler });
      const first = send(origin, { key: "secret-key" });
      await until(() => runs() === 1);
      const second = await send(origin, { key: "secret-key" });
      expectProblem(second, 409, "in-progress");
      expect(second.json).toMatchObject({
        title: "A request is outstanding for this Idempotency-Key",
      });
      expect(Number(second.headers["retry-after"])).toBeGreaterThanOrEqual(1);
      open();
      expectReplay(await first, await send(origin, { key: "secret-key" }));
      expect(runs()).toBe(1);
    },
  },
  {
    title: "another request under a key that still runs is refused as such",
    prove: async ({ serve }) => {
      const { open, answer } = held();
      const { handler, runs } = counting(answer);
      const { origin } = await serve({ handler });
      const first = send(origin, { key: "k", body: { a: 1 } });
      await until(() => runs() === 1);
      expectProblem(await send(origin, { key: "k", body: { a: 2 } }), 422, "key-reused");
      open();
      expect((await first).status).toBe(201);
    },
  },
  {
    title: "a duplicate waits where that was asked for",
    prove: async ({ serve }) => {
      const { open, answer } = held();
      const { handler, runs } = counting(answer);
      const { origin } = await serve({ handler, options: { onDuplicate: { waitMs: 8_000 } } });
      const first = send(origin, { key: "k" });
      await until(() => runs() === 1);
      const second = send(origin, { key: "k" });
      await pause(50);
      open();
      expectReplay(await first, await second);
      expect(runs()).toBe(1);
    },
  },
  {
    title: "a duplicate is told where to ask, where that was asked for",
    prove: async ({ serve }) => {
      const { open, answer } = held();
      const { handler, runs } = counting(answer);
      const statusUrl = (key: string) => `/status/${encodeURIComponent(key)}`;
      const { origin } = await serve({ handler, options: { onDuplicate: "accepted", statusUrl } });
      const first = send(origin, { key: "a/b" });
      await until(() => runs() === 1);
      const second = await send(origin, { key: "a/b" });
      expect(second.status).toBe(202);
      expect(Number(second.headers["retry-after"])).toBeGreaterThanOrEqual(1);
      expect(second.headers.location).toBe("/status/a%2Fb");
      expect(second.headers["cache-control"]).toBe("no-store");
      open();
      expectReplay(await first, await send(origin, { key: "a/b" }));
    },
  },
  {
    title:
      "fifty parallel duplicates are one run, and each gets the outcome or is told that it runs",
    prove: async ({ serve }) => {
      const { handler, runs } = counting(async (exchange, run) => {
        await pause(100);
        return exchange.send({ run });
      });
      const { origin } = await serve({ handler });
      const sent = Array.from({ length: PARALLEL }, async () => await send(origin, { key: "k" }));
      const answers = await Promise.all(sent);
      expect(runs()).toBe(1);
      const own = answers.filter(({ status, isReplayed }) => status === 200 && !isReplayed);
      expect(own).toHaveLength(1);
      for (const answer of answers) {
        if (answer.status === 200) expect(answer.json).toEqual({ run: 1 });
        else expectProblem(answer, 409, "in-progress");
      }
    },
  },
  {
    title: "fifty parallel duplicates that wait all get the one outcome",
    prove: async ({ serve }) => {
      const { handler, runs } = counting(async (exchange, run) => {
        await pause(100);
        return exchange.send({ run });
      });
      const { origin } = await serve({ handler, options: { onDuplicate: { waitMs: 8_000 } } });
      const sent = Array.from({ length: PARALLEL }, async () => await send(origin, { key: "k" }));
      const answers = await Promise.all(sent);
      expect(runs()).toBe(1);
      expect(answers.map(({ status, text }) => ({ status, text }))).toEqual(
        answers.map(() => ({ status: 200, text: '{"run":1}' })),
      );
      expect(answers.filter(({ isReplayed }) => !isReplayed)).toHaveLength(1);
    },
  },
  {
    title: "a handler keeps its key for as long as it runs",
    prove: async ({ serve, store, createEngine }) => {
      const options = { leaseMs: 150, guarantee: "at-least-once" } as const;
      const { opened, open } = gate();
      const { handler, runs } = counting(async (exchange) => {
        await opened;
        return exchange.send({ done: true });
      });
      const { origin } = await serve({ handler }, createEngine({ ...options, store }));
      const other = createEngine({ ...options, store: viewOf(store) });
      const elsewhere = await serve({ handler }, other);
      const first = send(origin, { key: "k" });
      await until(() => runs() === 1);
      await pause(600);
      expectProblem(await send(elsewhere.origin, { key: "k" }), 409, "in-progress");
      open();
      expectReplay(await first, await send(elsewhere.origin, { key: "k" }));
      expect(runs()).toBe(1);
    },
  },
  {
    title: "work that its process has left open is reported as unknown, and does not run again",
    prove: async ({ serve, store, createEngine }) => {
      const lost = createEngine({ store, leaseMs: 100 });
      const { handler, runs } = counting(async () => await new Promise(() => undefined));
      const before = await serve({ handler }, lost);
      void send(before.origin, { key: "secret-key" }).catch(() => undefined);
      await until(() => runs() === 1);
      await lost.close({ graceMs: 0 });
      await pause(250);
      const after = await serve({ handler });
      const answer = await send(after.origin, { key: "secret-key" });
      expectProblem(answer, 409, "outcome-unknown");
      expect(answer.headers["retry-after"]).toBeUndefined();
      expect(runs()).toBe(1);
    },
  },
];
