import { setTimeout as sleep } from "node:timers/promises";
import { type Entry, type Pair, valuesOfList, valuesOfOne } from "./pairs.ts";
import type { Queries, TextRow, Written } from "./queries.ts";

const TRIES_MAX = 8;
const PAUSE_MS_MAX = 20;
const DEADLOCK = 1213;
const INTERRUPTED = 1317;
/** No such table, no such column. */
const SCHEMA_ERRORS = [1146, 1054];
const NOTHING_WRITTEN: Written = { count: 0, said: 0 };

/** The statements of one store, ready to run, each on any number of entries in one round trip. */
export class Statements {
  readonly #queries: Queries;

  constructor(queries: Queries) {
    this.#queries = queries;
  }

  async read(pair: Pair, entries: readonly Entry[]): Promise<readonly TextRow[]> {
    if (entries.length === 0) return [];
    const { text, values } = filled(pair, entries);
    return await repeated(() => this.#queries.read(text, values));
  }

  async write(pair: Pair, entries: readonly Entry[]): Promise<Written> {
    if (entries.length === 0) return NOTHING_WRITTEN;
    const { text, values } = filled(pair, entries);
    return await repeated(() => this.#queries.write(text, values));
  }

  async readAll(text: string): Promise<readonly TextRow[]> {
    return await repeated(() => this.#queries.read(text));
  }
}

function filled(pair: Pair, entries: readonly Entry[]) {
  const [only] = entries;
  return entries.length === 1 && only !== undefined
    ? { text: pair.one, values: valuesOfOne(pair, only) }
    : { text: pair.list, values: valuesOfList(pair, entries) };
}

/** A deadlock undoes the whole statement, which then may be repeated. */
async function repeated<T>(run: () => Promise<T>): Promise<T> {
  for (let tried = 1; ; tried += 1) {
    try {
      return await run();
    } catch (error) {
      const number = numberOf(error);
      if (SCHEMA_ERRORS.includes(number)) throw withoutTables(error);
      if (number !== DEADLOCK || tried === TRIES_MAX) throw error;
    }
    await sleep(PAUSE_MS_MAX * Math.random());
  }
}

/** Whether a statement was ended because it took too long. */
export function isInterrupted(error: unknown): boolean {
  return numberOf(error) === INTERRUPTED;
}

function numberOf(error: unknown): number {
  return error instanceof Error && "errno" in error ? Number(error.errno) : 0;
}

function withoutTables(cause: unknown): Error {
  return new Error(
    "idemkit's tables are missing or of an older version: call `await migrate(client)` once before " +
      "the store is used.",
    { cause },
  );
}
