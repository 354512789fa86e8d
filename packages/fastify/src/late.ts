import { isJson, mediaTypeOf, type StoredBody } from "@idemkit/http";
import type { FastifyReply } from "fastify";
import type { RunExchange } from "./exchange.ts";
import { isStreaming, isWebResponse, seenPayload } from "./payload.ts";

/**
 * Writes what a handler has answered after somebody else had answered for it, with a time-out say. It is
 * its outcome, and duplicates get it.
 */
export async function endLate(
  { run, own }: Pick<RunExchange, "own" | "run">,
  reply: FastifyReply,
  value: unknown,
): Promise<void> {
  try {
    // It has set nothing that was noticed: what it meant to answer is not known.
    const isSilent = value === undefined || value === reply;
    if (isSilent && own.status === undefined) return await run.endUnseen();
    if (value instanceof Error) {
      return await run.endThrown(value, run.keptHeaders({}, own.headers));
    }
    if (isWebResponse(value)) {
      own.status = value.status;
      for (const [name, each] of value.headers) own.headers[name] = each;
      return await endLate({ run, own }, reply, value.body);
    }
    const body = await bodyOf({ run, own }, reply, value);
    await run.endLate({ status: own.status ?? 200, headers: own.headers }, body);
  } catch (error) {
    await run.endThrown(error, run.keptHeaders({}, own.headers));
  }
}

async function bodyOf(
  { run, own }: Pick<RunExchange, "own" | "run">,
  reply: FastifyReply,
  value: unknown,
): Promise<StoredBody | undefined> {
  if (value === undefined || value === null || value === reply) return { kind: "none" };
  const type = mediaTypeOf(String(own.headers["content-type"] ?? ""));
  if (typeof value === "string") {
    const isTooLarge = Buffer.byteLength(value) > run.maxBody;
    return isTooLarge ? undefined : { kind: isJson(type) ? "json" : "text", text: value };
  }
  if (value instanceof Uint8Array || isStreaming(value)) {
    return (await seenPayload(reply, value, run.maxBody)).body;
  }
  // The route's serialiser goes by the status, and the response is out already.
  reply.raw.statusCode = own.status ?? 200;
  const text = String(reply.serialize(value));
  return Buffer.byteLength(text) > run.maxBody ? undefined : { kind: "json", text };
}
