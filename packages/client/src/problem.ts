/** The members of an error's body that decide on a retry. */
export interface Problem {
  readonly code?: unknown;
  readonly retryable?: unknown;
}

/** A longer body is not read to its end, and counts as a body without these members. */
const PROBLEM_BYTES_MAX = 65_536;

/** The draft's problem for a request in progress has no code of its own, and an example's URL as type. */
const DRAFT_TITLE = "A request is outstanding for this Idempotency-Key";

/**
 * Reads a problem (RFC 9457), or the error of a 409 in the form of Stripe's API. The response itself
 * stays unread.
 *
 * @throws the connection's error while the body is read
 */
export async function problemOf(response: Response): Promise<Problem | undefined> {
  const { status, headers } = response;
  const [mediaType = ""] = (headers.get("content-type") ?? "").split(";");
  const type = mediaType.trim().toLowerCase();
  const isProblem = type === "application/problem+json";
  if (!isProblem && !(type === "application/json" && status === 409)) return undefined;
  if (Number(headers.get("content-length")) > PROBLEM_BYTES_MAX) return undefined;
  const members = membersOf(parsed((await beginningOf(response.clone())) ?? ""));
  if (!isProblem) return { code: membersOf(members.error).code };
  const { title, retryable, code = title === DRAFT_TITLE ? "in-progress" : undefined } = members;
  return { code, retryable };
}

function membersOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? { ...value } : {};
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The text of a body; undefined where there is none or it is too long. */
async function beginningOf({ body }: Response): Promise<string | undefined> {
  if (body === null) return undefined;
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  while (bytes <= PROBLEM_BYTES_MAX) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    bytes += value.byteLength;
    text += decoder.decode(value, { stream: true });
  }
  reader.cancel().catch(() => undefined);
  return undefined;
}
