import { type PostgresClient, queriesOf } from "./client.ts";
import { listOf } from "./parameters.ts";

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
  const queries = queriesOf(client);
  if (digests === undefined) {
    await queries.run(ELAPSE, [String(ms)]);
    return;
  }
  const [list = "{}"] = listOf(digests.map((digest) => [digest]));
  const ofThese = `${ELAPSE} WHERE digest = ANY ($2::text::uuid[])`;
  await queries.run(ofThese, [String(ms), list]);
}
