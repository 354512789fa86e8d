import { StatusEndpoint, type StatusOptions } from "@idemkit/http";
import type { Context, Middleware } from "koa";
import { respond } from "./body.ts";

export interface KoaStatusOptions extends StatusOptions<Context> {}

/**
 * A handler for `GET …/:key` that tells what has become of a key: mount it behind your own
 * authentication. The key is `ctx.params.key`, or the last part of the path.
 *
 * @throws TypeError for an option that is none
 */
export function idempotencyStatus(options: KoaStatusOptions): Middleware {
  const endpoint = new StatusEndpoint<Context>(options);
  return async function idempotencyStatus(ctx) {
    const { params } = ctx as { readonly params?: Readonly<Record<string, string>> };
    const key = params?.key ?? lastPart(ctx.path);
    const report = (error: unknown) => ctx.app.emit("error", error, ctx);
    respond(ctx, await endpoint.answer(ctx, key, report));
  };
}

function lastPart(path: string): string {
  const part = path.slice(path.lastIndexOf("/") + 1);
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
