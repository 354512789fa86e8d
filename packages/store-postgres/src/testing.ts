import { databaseOf, type PostgresClient } from "./client.ts";

const ELAPSE = `
  UPDATE idemkit_records SET
    lease_ends_at = lease_ends_at - $1::text::bigint,
    expires_at = expires_at - $1::text::bigint,
    created_at = created_at - $1::text::bigint,
    completed_at = completed_at - $1::text::bigint`;

/**
 * Lets time pass for the records of a test, without waiting for it: every stored time moves back.
 *
 * @param ms milliseconds
 * @param digests of these records; without it, of all
 */
export async function elapse(
  client: PostgresClient,
  ms: number,
  digests?: readonly string[],
): Promise<void> {
  const queries = databaseOf(client);
  if (digests === undefined) {
    await queries.run(ELAPSE, [String(ms)]);
    return;
  }
  const ofThese = `${ELAPSE} WHERE digest IN (
    SELECT value::uuid FROM jsonb_array_elements_text($2::text::jsonb))`;
  await queries.run(ofThese, [String(ms), JSON.stringify(digests)]);
}
