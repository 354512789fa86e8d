import { Agent, request as httpRequest, type IncomingHttpHeaders } from "node:http";

export interface Sent {
  readonly method?: string;
  readonly path?: string;
  /** Quoted before it is sent. */
  readonly key?: string;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  /** Objects are sent as JSON. */
  readonly body?: unknown;
  readonly signal?: AbortSignal;
}

export interface Received {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly bytes: Buffer;
  readonly text: string;
  /** What JSON the body is. Throws where it is none. */
  readonly json: unknown;
  readonly isReplayed: boolean;
}

/** No connection is shared: what one row leaves behind must not reach another. */
const agent = new Agent({ keepAlive: false });
const ANSWER_MS_MAX = 10_000;

/** Sends one request over a socket. Each element of a list of header values is a line of its own. */
export function send(origin: string, sent: Sent = {}): Promise<Received> {
  const { method = "POST", path = "/orders", key, body = { sku: "a", quantity: 1 } } = sent;
  const isJson = typeof body === "object" && body !== null && !(body instanceof Uint8Array);
  const payload = isJson ? JSON.stringify(body) : (body as string | Uint8Array | null);
  const isBodiless = payload === null || method === "GET" || method === "OPTIONS";
  const headers = {
    ...(!isBodiless && { "content-type": "application/json" }),
    ...(!isBodiless && { "content-length": String(Buffer.byteLength(payload as string)) }),
    ...(key !== undefined && { "idempotency-key": JSON.stringify(key) }),
    "x-user": "ada",
    ...sent.headers,
  };
  const received = new Promise<Received>((resolve, reject) => {
    const request = httpRequest(
      new URL(path, origin),
      {
        method,
        headers: headers as Record<string, string | string[]>,
        agent,
        timeout: ANSWER_MS_MAX,
        ...(sent.signal !== undefined && { signal: sent.signal }),
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("error", reject);
        response.on("end", () => {
          const bytes = Buffer.concat(chunks);
          const text = bytes.toString();
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            bytes,
            text,
            get json() {
              return JSON.parse(text) as unknown;
            },
            isReplayed: response.headers["idempotency-replayed"] === "true",
          });
        });
      },
    );
    request.on("error", reject);
    request.on("timeout", () => request.destroy(new Error("No answer came in time.")));
    request.end(isBodiless ? undefined : payload);
  });
  // A row that fails before it has waited for the answer is told as that alone.
  received.catch(() => undefined);
  return received;
}
