import { headersSince, type StoredBody } from "@idemkit/http";
import type { FastifyReply } from "fastify";
import type { RunExchange } from "./exchange.ts";
import { seenPayload } from "./payload.ts";

/**
 * Writes the outcome of a handler that somebody has answered for, with a time-out say, while it ran. What
 * it has answered in the end is what duplicates get, where that can still be told.
 */
export async function endLate(
  exchange: RunExchange,
  reply: FastifyReply,
  value: unknown,
): Promise<void> {
  const { run, before, beforeError, sentEarly } = exchange;
  if (value === undefined || value === reply || beforeError === undefined) {
    return await run.endUnseen();
  }
  // A status that it has set since then is still there.
  const isSetLate = reply.statusCode !== sentEarly?.status;
  const status = isSetLate ? reply.statusCode : beforeError.status;
  const headers = headersSince(before, beforeError.headers, run.headerRules);
  try {
    const body = await bodyOf(reply, value, status, run.maxBody);
    const hasType = headers.some(([name]) => name === "content-type");
    const type = hasType || body === undefined ? [] : [["content-type", typeOf(body)] as const];
    await run.end({ status, headers: [...headers, ...type], ...(body && { body }) });
  } catch (error) {
    await run.endThrown(error, headers);
  }
}

async function bodyOf(
  reply: FastifyReply,
  value: unknown,
  status: number,
  maxBody: number,
): Promise<StoredBody | undefined> {
  const isSerialised =
    typeof value === "string" || value instanceof Uint8Array || isStreaming(value);
  if (isSerialised) return (await seenPayload(reply, value, maxBody)).body;
  // The route's serialiser goes by the status, and the response is out already.
  reply.raw.statusCode = status;
  const text = String(reply.serialize(value));
  return Buffer.byteLength(text) > maxBody ? undefined : { kind: "json", text };
}

function isStreaming(value: unknown): boolean {
  return (
    value instanceof ReadableStream || typeof (value as { pipe?: unknown })?.pipe === "function"
  );
}

/** As Fastify types what has no type. */
function typeOf({ kind }: StoredBody): string {
  if (kind === "json") return "application/json; charset=utf-8";
  return kind === "text" ? "text/plain; charset=utf-8" : "application/octet-stream";
}
