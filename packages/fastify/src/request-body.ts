import { IncomingMessage } from "node:http";
import { Readable } from "node:stream";
import { drain, peekBody, type RequestBody } from "@idemkit/http";
import type { FastifyRequest, RequestPayload } from "fastify";

/** The bodies of requests as they came, which Fastify's parsers do not keep. */
export class RequestBodies {
  readonly #bodies = new WeakMap<FastifyRequest, RequestBody>();

  /** What is compared. Nothing where it is larger than the route's `bodyLimit`. */
  of(request: FastifyRequest): RequestBody | undefined {
    return this.#bodies.get(request);
  }

  /** Listens to a body that is being read. */
  overhear(request: FastifyRequest, payload: RequestPayload): void {
    const limit = request.routeOptions.bodyLimit;
    const chunks: Buffer[] = [];
    let size = 0;
    payload.on("data", (chunk: Uint8Array | string) => {
      const bytes = Buffer.from(chunk as string);
      size += bytes.length;
      if (size <= limit) chunks.push(bytes);
    });
    payload.once("end", () => {
      if (size <= limit) this.#bodies.set(request, { raw: Buffer.concat(chunks) });
    });
  }

  /** Reads a request's body, and answers the stream that its parser is to read. */
  async keep(request: FastifyRequest, payload: RequestPayload): Promise<RequestPayload> {
    const limit = request.routeOptions.bodyLimit;
    if (payload instanceof IncomingMessage) {
      const raw = await peekBody(payload, limit);
      if (raw !== undefined) this.#bodies.set(request, { raw });
      return payload;
    }
    // What another hook has made of it, such as the unpacked form of a compressed one.
    const drained = await drain(payload as Readable, limit);
    if ("rest" in drained) return withLength(drained.rest, payload);
    this.#bodies.set(request, { raw: drained.bytes });
    return withLength(Readable.from([drained.bytes], { objectMode: false }), payload);
  }
}

/** Fastify compares it with Content-Length. */
function withLength(stream: Readable, { receivedEncodedLength }: RequestPayload): RequestPayload {
  return receivedEncodedLength === undefined
    ? stream
    : Object.assign(stream, { receivedEncodedLength });
}
