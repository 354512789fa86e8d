import { describe } from "@idemkit/engine/model";
import type { RequestBody } from "./fingerprint.ts";
import type { HttpOptions } from "./options.ts";
import type { Report } from "./report.ts";

type Verify<Req> = HttpOptions<Req>["verify"] & {};

/**
 * Whether a request passes the option `verify`. An error that it throws is reported as a cause.
 *
 * @throws TypeError if it returns no boolean; Error if the parser has kept no text of the body
 */
export async function isVerified<Req>(
  verify: Verify<Req>,
  request: Req,
  body: RequestBody,
  report: Report,
): Promise<boolean> {
  const rawBody = bytesOf(body);
  let isAccepted: unknown;
  try {
    isAccepted = await verify(request, rawBody);
  } catch (cause) {
    report(new Error("A request was rejected with 401, because `verify` threw.", { cause }));
    return false;
  }
  if (typeof isAccepted === "boolean") return isAccepted;
  // A forgotten `return` must not let every request in.
  throw new TypeError(`verify: expected true or false, got ${describe(isAccepted)}.`);
}

function bytesOf(body: RequestBody): Buffer {
  if (!("raw" in body)) {
    throw new Error(
      "verify: the bytes of the request's body are missing. Mount idempotency() inside a body parser that " +
        "keeps ctx.request.rawBody, or before all body parsers.",
    );
  }
  const { raw } = body;
  if (typeof raw === "string") return Buffer.from(raw);
  return Buffer.from(raw.buffer, raw.byteOffset, raw.byteLength);
}
