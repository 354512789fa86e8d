import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Database, Queries } from "./queries.ts";
import { ERRORS, isAboutName, NAME_ADVICE } from "./statements.ts";

/** postgres.js prepares only statements with parameters. */
const PROBE = "SELECT $1::text";
const PARAMETERS = [""];
/** A pool of one connection never gives a second one. */
const SECOND_CONNECTION_MS_MAX = 1_000;
/** Some poolers go round their connections. */
const PROBES = 4;

/**
 * Looks for a pooler that gives each transaction another of its connections, and does not follow named statements. On
 * one connection at a time it is not seen: such a pooler prefers the connection that was used last. So a statement
 * is prepared on one connection while a transaction keeps the pooler's other one busy, and is sent again when
 * that one is free.
 *
 * @returns a problem and its remedy, or nothing; nothing as well where no second connection can be had
 */
export async function poolerProblem(database: Database): Promise<string | undefined> {
  const name = `idemkit-check-${randomBytes(6).toString("hex")}`;
  return await database.session(async (queries) => {
    try {
      const isPrepared = await prepareDuringTransaction(database, queries, name);
      for (let sent = 0; isPrepared && sent < PROBES; sent += 1) await probe(queries, name);
      return undefined;
    } catch (error) {
      if (!isAboutName(error)) throw error;
      return `Prepared statements do not stay with their connection. ${NAME_ADVICE}`;
    }
  });
}

/** @returns whether there was a second connection */
async function prepareDuringTransaction(
  database: Database,
  queries: Queries,
  name: string,
): Promise<boolean> {
  const state = { hasBegun: false, isLate: false };
  const waiting = new AbortController();
  const prepared = database.transaction(async () => {
    if (state.isLate) return;
    state.hasBegun = true;
    waiting.abort();
    await queries.run(PROBE, PARAMETERS, name);
  }, {});
  const waited = sleep(SECOND_CONNECTION_MS_MAX, undefined, { signal: waiting.signal });
  await Promise.race([prepared, waited]).catch(() => undefined);
  waiting.abort();
  waited.catch(() => undefined);
  if (state.hasBegun) {
    await prepared;
    return true;
  }
  state.isLate = true;
  // It ends by itself, once the first connection is given back.
  prepared.catch(() => undefined);
  return false;
}

/** In a transaction, as postgres.js prepares a statement again that has failed outside of one. */
async function probe(queries: Queries, name: string): Promise<void> {
  await queries.run("BEGIN", []);
  try {
    await queries.run(PROBE, PARAMETERS, name);
  } catch (error) {
    // On a connection that was lost, postgres.js would write to nothing.
    if (ERRORS.isAnswer(error)) await queries.run("ROLLBACK", []);
    throw error;
  }
  await queries.run("ROLLBACK", []);
}
