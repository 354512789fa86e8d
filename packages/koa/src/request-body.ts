import { IncomingMessage } from "node:http";
import { peekBody, type RequestBody } from "@idemkit/http";
import type { Context } from "koa";

/**
 * A request's body: the text that a parser has kept, or what nobody has read yet, which stays to be
 * read. Only where neither can be had, what a parser has made of it.
 *
 * @returns nothing where an unread body has more than `maxBody` bytes
 */
export async function readBody(ctx: Context, maxBody: number): Promise<RequestBody | undefined> {
  const { rawBody, body } = ctx.request as { readonly rawBody?: unknown; readonly body?: unknown };
  if (typeof rawBody === "string" || rawBody instanceof Uint8Array) return { raw: rawBody };
  const { readableDidRead } = ctx.req;
  if (!readableDidRead && ctx.req instanceof IncomingMessage) {
    const bytes = await peekBody(ctx.req, maxBody);
    // Node lets go of what nobody has begun to read, and of nothing else.
    if (bytes === undefined) ctx.req.resume();
    return bytes && { raw: bytes };
  }
  if (!readableDidRead && isHttp2WithoutBody(ctx)) return { raw: "" };
  if (readableDidRead && body !== undefined) return { parsed: body };
  throw new Error(
    "The request's body cannot be compared: ctx.request.rawBody is missing. Mount idempotency() inside " +
      "a body parser that keeps it. Only with HTTP/1.1 a body may also be unread.",
  );
}

function isHttp2WithoutBody({ req }: Context): boolean {
  const { stream } = req as { readonly stream?: { readonly endAfterHeaders?: boolean } };
  return stream?.endAfterHeaders === true;
}
