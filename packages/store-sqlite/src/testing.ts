import type { SqliteHandle } from "./handle.ts";

const ELAPSE = `
  UPDATE idemkit_records SET
    lease_ends_at = lease_ends_at - @ms,
    expires_at = expires_at - @ms,
    created_at = created_at - @ms,
    completed_at = completed_at - @ms`;

/**
 * Lets time pass for the records of a test, without waiting for it: every stored time moves back.
 *
 * @param ms milliseconds
 * @param digests of these records; without it, of all
 */
export function elapse(db: SqliteHandle, ms: number, digests?: readonly string[]): void {
  if (digests === undefined) {
    db.prepare(ELAPSE).run({ ms });
    return;
  }
  const statement = db.prepare(`${ELAPSE} WHERE digest = @digest`);
  for (const digest of digests) statement.run({ ms, digest: Buffer.from(digest, "hex") });
}
