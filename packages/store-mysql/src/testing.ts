import { databaseOf, type MysqlClient } from "./client.ts";

const ELAPSE = `
  UPDATE idemkit_records AS record SET
    record.lease_ends_at = record.lease_ends_at - CAST(? AS SIGNED),
    record.expires_at = record.expires_at - CAST(? AS SIGNED),
    record.created_at = record.created_at - CAST(? AS SIGNED),
    record.completed_at = record.completed_at - CAST(? AS SIGNED)`;
const OF_THESE = `
  WHERE record.digest IN (
    SELECT UNHEX(given.digest) FROM JSON_TABLE(?, '$[*]' COLUMNS (digest VARCHAR(32) CHARACTER SET utf8mb4 PATH '$')) AS given)`;

/**
 * Lets time pass for the records of a test, without waiting for it: every stored time moves back.
 *
 * @param ms milliseconds
 * @param digests of these records; without it, of all
 */
export async function elapse(
  client: MysqlClient,
  ms: number,
  digests?: readonly string[],
): Promise<void> {
  const queries = databaseOf(client);
  const times = Array.from({ length: 4 }, () => String(ms));
  if (digests === undefined) await queries.write(ELAPSE, times);
  else await queries.write(ELAPSE + OF_THESE, [...times, JSON.stringify(digests)]);
}
