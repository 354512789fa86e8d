/** The members of a problem (RFC 9457) that decide on a retry. */
export interface Problem {
  readonly code?: unknown;
  readonly retryable?: unknown;
}

/** What is longer is no problem of ours, and is not read. */
const PROBLEM_BYTES_MAX = 65_536;

/**
 * Reads the problem in a response, and leaves the response itself unread.
 *
 * @throws what the connection throws while the body is read
 */
export async function problemOf(response: Response): Promise<Problem | undefined> {
  const [type = ""] = (response.headers.get("content-type") ?? "").split(";");
  if (type.trim().toLowerCase() !== "application/problem+json") return undefined;
  if (Number(response.headers.get("content-length")) > PROBLEM_BYTES_MAX) return undefined;
  const text = await beginningOf(response.clone());
  if (text === undefined) return undefined;
  try {
    const problem: unknown = JSON.parse(text);
    return typeof problem === "object" && problem !== null ? problem : undefined;
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
