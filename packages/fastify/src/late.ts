import { isJson, mediaTypeOf, type StoredBody } from "@idemkit/http";
import type { RunExchange } from "./exchange.ts";
import { isStreaming, isWebResponse, seenPayload } from "./payload.ts";

/**
 * Writes what a handler has answered after somebody else had answered for it, with a time-out say. It is
 * its outcome, and duplicates get it.
 */
export async function endLate(exchange: RunExchange, value: unknown): Promise<void> {
  const { run, own } = exchange;
  try {
    // It has set nothing that was noticed: what it meant to answer is not known.
    if (value === undefined && own.status === undefined) return await run.endUnseen();
    if (value instanceof Error) return await endLateError(exchange, value);
    if (isWebResponse(value)) {
      own.status = value.status;
      for (const [name, each] of value.headers) own.headers[name] = each;
      return await endLate(exchange, value.body);
    }
    const body = await bodyOf(exchange, value);
    await run.endLate({ status: own.status ?? 200, headers: own.headers }, body);
  } catch (error) {
    await endLateError(exchange, error);
  }
}

/** As Fastify does: an error without a status has that of the reply, where it is one of errors. */
export async function endLateError({ run, own }: RunExchange, error: unknown): Promise<void> {
  const status = own.status !== undefined && own.status >= 400 ? own.status : undefined;
  await run.endThrown(error, run.keptHeaders({}, own.headers), status);
}

async function bodyOf(
  { run, own, reply }: RunExchange,
  value: unknown,
): Promise<StoredBody | undefined> {
  if (value === undefined || value === null) return { kind: "none" };
  const type = mediaTypeOf(String(own.headers["content-type"] ?? ""));
  if (typeof value === "string") {
    const isTooLarge = Buffer.byteLength(value) > run.maxBody;
    return isTooLarge ? undefined : { kind: isJson(type) ? "json" : "text", text: value };
  }
  if (value instanceof Uint8Array || isStreaming(value)) {
    const { body, payload } = await seenPayload(reply, value, run.maxBody);
    // Nobody will read what is left of it.
    if (body === undefined) (payload as { destroy?: () => void }).destroy?.();
    return body;
  }
  const status = String(own.status ?? 200);
  const serialize = reply.getSerializationFunction(status) ?? JSON.stringify;
  const text = serialize(value as Record<string, unknown>);
  return Buffer.byteLength(text) > run.maxBody ? undefined : { kind: "json", text };
}
