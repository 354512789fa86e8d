import { headersSince, type StoredBody, typeOf } from "@idemkit/http";
import type { FastifyReply } from "fastify";
import { headOf, type RunExchange } from "./exchange.ts";
import { seenPayload } from "./payload.ts";

/**
 * Writes the outcome of a handler that somebody has answered for, with a time-out say, while it ran. What
 * it has answered in the end is what duplicates get, where that can still be told: it has to be a value,
 * and its status known.
 */
export async function endLate(
  { run, before, beforeError, sentEarly }: RunExchange,
  reply: FastifyReply,
  value: unknown,
): Promise<void> {
  const now = headOf(reply);
  // What the handler has set since then is there beside what was sent.
  const isSetLate = now.status !== sentEarly?.head.status;
  const status = isSetLate ? now.status : beforeError?.status;
  if (status === undefined || value === undefined || value === reply) return await run.endUnseen();
  const early = headersSince(before, beforeError?.headers ?? before, run.headerRules);
  const late = headersSince(sentEarly?.head.headers ?? before, now.headers, run.headerRules);
  const headers = [...new Map([...early, ...late])];
  try {
    const body = await bodyOf(reply, value, status, run.maxBody);
    const hasType = headers.some(([name]) => name === "content-type");
    const type = hasType || body === undefined ? undefined : typeOf(body);
    await run.end({
      status,
      headers: type === undefined ? headers : [...headers, ["content-type", type]],
      ...(body && { body }),
    });
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
