import { expect } from "vitest";
import { send } from "../client.ts";
import type { Row } from "../lab.ts";
import { counting, expectProblem, gate, row, until } from "./row.ts";

const ask = (key: string, user = "ada") =>
  ({
    method: "GET",
    path: `/status/${encodeURIComponent(key)}`,
    headers: { "x-user": user },
  }) as const;

export const statusRows: readonly Row[] = [
  {
    title: "the status of a key is in-progress, then completed",
    prove: async ({ serve }) => {
      const { opened, open } = gate();
      const { handler, runs } = counting(async (exchange) => {
        await opened;
        exchange.status(201);
        exchange.header("Location", "/orders/1");
        return exchange.send({ body: "of the response" });
      });
      const { origin } = await serve({ handler });
      const first = send(origin, { key: "a/b c" });
      await until(() => runs() === 1);
      const running = await send(origin, ask("a/b c"));
      expect(running.json).toEqual({ status: "in-progress", createdAt: expect.any(String) });
      expect(running.headers["retry-after"]).toBe("1");
      open();
      await first;
      const done = await send(origin, ask("a/b c"));
      expect(done.json).toEqual({
        status: "completed",
        createdAt: expect.any(String),
        expiresAt: expect.any(String),
        responseStatus: 201,
        location: "/orders/1",
      });
      expect(done.headers["cache-control"]).toBe("no-store");
      expect(done.headers["retry-after"]).toBeUndefined();
    },
  },
  row(
    "the status of an unknown key, and of another scope's key, is not found",
    {},
    async ({ post }) => {
      await post({ key: "secret-key" });
      expectProblem(await post(ask("secret-key", "bob")), 404, "not-found");
      expectProblem(await post(ask("other")), 404, "not-found");
    },
  ),
  row("a status is asked for by the same grammar of keys", {}, async ({ post }) => {
    await post({ key: "k" });
    expect((await post(ask('"k"'))).status).toBe(200);
    expectProblem(await post(ask('"k')), 400, "key-invalid");
  }),
  row(
    "the status of what failed, and of what is left open",
    {
      answer: (exchange, run) => {
        if (run === 1) return exchange.fail(402, "declined");
        exchange.idempotency?.hold();
        return exchange.send({});
      },
    },
    async ({ post, lab }) => {
      await post({ key: "failed" });
      await post({ key: "open" });
      // A framework that answers errors itself has recorded the answer.
      const status = lab.binding.name === "Koa" ? "failed" : "completed";
      expect((await post(ask("failed"))).json).toMatchObject({ status, responseStatus: 402 });
      expect((await post(ask("open"))).json).toMatchObject({ status: "unknown" });
    },
  ),
];
