import { shown } from "./describe.ts";
import { ShouldRetryError } from "./errors.ts";
import type { Attempt, Settings } from "./options.ts";
import { pause } from "./timing.ts";

/**
 * Calls the option `shouldRetry` with a copy of the response.
 *
 * @returns undefined if the default rule decides
 * @throws ShouldRetryError if it throws, or returns anything but a boolean or undefined
 * @throws the connection's error if that broke while the copy was read
 */
export async function askShouldRetry(
  shouldRetry: NonNullable<Settings["shouldRetry"]>,
  response: Response,
  attempt: Attempt,
): Promise<boolean | undefined> {
  const copy = response.clone();
  try {
    const decision = await shouldRetry(copy, Object.freeze(attempt));
    if (decision === undefined || typeof decision === "boolean") return decision;
    throw new TypeError(`shouldRetry: expected true, false or undefined, got ${shown(decision)}.`);
  } catch (cause) {
    if (await isBroken(response)) throw cause;
    const details = { key: attempt.key, attempts: attempt.attempt, lastStatus: response.status };
    throw new ShouldRetryError({ ...details, cause });
  } finally {
    // An unread copy would be buffered while the caller reads the response. A locked one stays.
    copy.body?.cancel().catch(() => undefined);
  }
}

/** Whether the connection of a body broke. The body is dropped. */
async function isBroken({ body }: Response): Promise<boolean> {
  if (body === null) return false;
  const reader = body.getReader();
  const failed = reader.closed.then(
    () => false,
    () => true,
  );
  // A break fails both copies of a body at once.
  const isFailed = await Promise.race([failed, pause(0, undefined).then(() => false)]);
  reader.cancel().catch(() => undefined);
  return isFailed;
}
