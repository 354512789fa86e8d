import { setTimeout as pause } from "node:timers/promises";
import type { Store } from "@idemkit/engine";
import { expect } from "vitest";
import { type Received, type Sent, send } from "../client.ts";
import type { Exchange, Handler, Lab, Plan, Row } from "../lab.ts";

/** A handler that counts how often it runs, and answers what it is told. */
export function counting(answer: (exchange: Exchange, run: number) => unknown = created): {
  readonly handler: Handler;
  readonly runs: () => number;
} {
  let runs = 0;
  return {
    handler: (exchange) => {
      runs += 1;
      return answer(exchange, runs);
    },
    runs: () => runs,
  };
}

function created(exchange: Exchange, run: number): unknown {
  exchange.status(201);
  exchange.header("Location", `/orders/${run}`);
  return exchange.send({ order: run });
}

/** A row that sends requests to one app whose handler counts. */
export function row(
  title: string,
  plan: Omit<Plan, "handler"> & { readonly answer?: (exchange: Exchange, run: number) => unknown },
  steps: (at: At) => Promise<void>,
): Row {
  return {
    title,
    prove: async (lab) => {
      const { handler, runs } = counting(plan.answer);
      const app = await lab.serve({ ...plan, handler });
      const post = async (sent: Sent = {}) => await send(app.origin, sent);
      await steps({ lab, post, runs, reported: app.reported, origin: app.origin });
    },
  };
}

interface At {
  readonly lab: Lab;
  readonly post: (sent?: Sent) => Promise<Received>;
  readonly runs: () => number;
  readonly reported: readonly unknown[];
  readonly origin: string;
}

/** Expects a problem as RFC 9457 has it, and nothing in it that it should not tell. */
export function expectProblem(received: Received, status: number, code: string): void {
  const { headers, json, text } = received;
  expect({ status: received.status, code: (json as { code?: string }).code }).toEqual({
    status,
    code,
  });
  expect(headers["content-type"]).toMatch(/^application\/problem\+json/);
  expect(headers["cache-control"]).toBe("no-store");
  expect(headers.link).toMatch(/^<https?:[^>]+>; rel="describedby"/);
  const problem = json as Record<string, unknown>;
  expect(problem).toMatchObject({
    status,
    type: expect.stringMatching(/^https?:/),
    title: expect.any(String),
    detail: expect.any(String),
    retryable: code === "in-progress" || code === "store-unavailable",
  });
  expect(text).not.toContain("secret-key");
}

/** Expects the second response to be the first one again. */
export function expectReplay(first: Received, second: Received): void {
  expect(second.isReplayed).toBe(true);
  expect(first.isReplayed).toBe(false);
  expect({ status: second.status, text: second.text }).toEqual({
    status: first.status,
    text: first.text,
  });
  expect(second.bytes.equals(first.bytes)).toBe(true);
  for (const name of ["content-type", "location", "etag", "link", "cache-control"]) {
    expect([name, second.headers[name]]).toEqual([name, first.headers[name]]);
  }
}

/** Waits until something holds, as long as a test may take. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  await expect.poll(holds, { timeout: 10_000, interval: 10 }).toBe(true);
}

/** A request to a provider that has charged and does not respond: it ends when the engine aborts the handler. */
export function hanging({ idempotency }: Exchange): Promise<never> {
  if (idempotency === undefined) throw new Error("expected a protected request");
  const { signal } = idempotency;
  return new Promise((_resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason));
  });
}

/** A promise, and what settles it. */
export function gate<T = void>(): {
  readonly opened: Promise<T>;
  readonly open: (value: T) => void;
} {
  let open: (value: T) => void = () => undefined;
  const opened = new Promise<T>((resolve) => {
    open = resolve;
  });
  return { opened, open: (value) => open(value) };
}

/**
 * The same records behind another object: an engine on it knows no more of the other's calls than one
 * in another process.
 *
 * @param before called before each call
 */
export function viewOf(store: Store, before: () => void = () => undefined): Store {
  return new Proxy(store, {
    get: (target, name) => {
      const member: unknown = Reflect.get(target, name);
      if (typeof member !== "function") return member;
      return (...args: unknown[]) => {
        before();
        return member.apply(target, args);
      };
    },
  });
}

/** The same records behind a store that takes its time for each call. */
export function slowStore(store: Store, ms: number): Store {
  return new Proxy(store, {
    get: (target, name) => {
      const member: unknown = Reflect.get(target, name);
      if (typeof member !== "function") return member;
      return async (...args: unknown[]) => {
        await pause(ms);
        return member.apply(target, args);
      };
    },
  });
}
