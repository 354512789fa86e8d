import { Pool } from "undici";
import { PAYLOAD } from "./subject.ts";

/** One kind of request, sent over and over. */
export interface HttpCase {
  readonly name: string;
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly body?: string;
  /** Whether each request has a key of its own; otherwise all have the same. */
  readonly isFresh: boolean;
}

const LARGE_BYTES = 64 * 1024;
const LINE = { sku: "teapot-blue", quantity: 2, priceCents: 2400, note: "gift wrapped, no card" };
const LINE_BYTES = JSON.stringify(LINE).length + 1;
const LARGE = { ...PAYLOAD, lines: Array(Math.ceil(LARGE_BYTES / LINE_BYTES)).fill(LINE) };

const post = { method: "POST", path: "/orders" } as const;
const small = JSON.stringify(PAYLOAD);
const large = JSON.stringify(LARGE);

export const HTTP_CASES: readonly HttpCase[] = [
  { name: "get", method: "GET", path: "/orders/1", isFresh: false },
  { name: "fresh 200 B", ...post, body: small, isFresh: true },
  { name: "replay 200 B", ...post, body: small, isFresh: false },
  { name: "fresh 64 KiB", ...post, body: large, isFresh: true },
  { name: "replay 64 KiB", ...post, body: large, isFresh: false },
];

/** What a client has seen. */
export interface Load {
  readonly requests: number;
  readonly perSecond: number;
  readonly p50Us: number;
  readonly p99Us: number;
}

/** A client of one server: sockets that are kept alive, with one request at a time on each. */
export class LoadClient {
  readonly #pool: Pool;
  readonly #connections: number;
  /** The same for all clients of a server would be no fresh key for the second of them. */
  readonly #name: string;
  #sent = 0;

  constructor(port: number, connections: number) {
    this.#pool = new Pool(`http://127.0.0.1:${port}`, { connections, pipelining: 1 });
    this.#connections = connections;
    this.#name = `${connections}-${Math.random().toString(36).slice(2)}`;
  }

  /** Sends until the time is over, or so many requests are answered. */
  async run(of: HttpCase, durationMs: number, requestsMax = Infinity): Promise<Load> {
    const latenciesUs: number[] = [];
    const startedAtMs = performance.now();
    const untilMs = startedAtMs + durationMs;
    const loop = async () => {
      for (let atMs = startedAtMs; atMs < untilMs && latenciesUs.length < requestsMax; ) {
        await this.#send(of);
        const nowMs = performance.now();
        latenciesUs.push((nowMs - atMs) * 1000);
        atMs = nowMs;
      }
    };
    await Promise.all(Array.from({ length: this.#connections }, loop));
    const elapsedMs = performance.now() - startedAtMs;
    const sorted = latenciesUs.sort((a, b) => a - b);
    const at = (share: number) => sorted[Math.floor(sorted.length * share)] ?? 0;
    const requests = sorted.length;
    return {
      ...{ requests, perSecond: (requests / elapsedMs) * 1000 },
      ...{ p50Us: at(0.5), p99Us: at(0.99) },
    };
  }

  /** @throws an Error where the handler runs for a replay, or does not run for a fresh key */
  async prove(of: HttpCase, isProtected: boolean): Promise<void> {
    if (of.method === "GET") return;
    const first = await this.#send(of);
    const second = await this.#send(of);
    const isFresh = of.isFresh || !isProtected;
    if ((first === second) === isFresh) throw new Error(`${of.name}: got ${first}, ${second}`);
  }

  close(): Promise<void> {
    return this.#pool.close();
  }

  async #send({ name, method, path, body, isFresh }: HttpCase): Promise<string> {
    this.#sent += 1;
    const key = isFresh ? `${this.#name}-${this.#sent}` : `${this.#name}-${name}`;
    const headers = {
      ...{ accept: "application/json", "user-agent": "bench", "x-tenant": "tenant-1" },
      ...(body !== undefined && { "content-type": "application/json", "idempotency-key": key }),
    };
    const answer = await this.#pool.request({ path, method, headers, body: body ?? null });
    const text = await answer.body.text();
    const expected = method === "GET" ? 200 : 201;
    if (answer.statusCode !== expected) throw new Error(`${answer.statusCode}: ${text}`);
    return text;
  }
}
