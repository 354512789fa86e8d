import { setTimeout as sleep } from "node:timers/promises";
import type { TransactingDatabase } from "@idemkit/engine/model";
import { type Entry, type Pair, valuesOfList, valuesOfOne } from "./pairs.ts";
import type { Queries, TextRow, Written } from "./queries.ts";

const TRIES_MAX = 8;
const PAUSE_MS_MAX = 20;
const DEADLOCK = 1213;
const INTERRUPTED = 1317;
const LOCK_WAIT_TIMEOUT = 1205;
/** Shut down, killed, or idle for too long: what was under way may have happened. */
const ENDED_BY_SERVER = [1053, 1927, 3169, 4031];
const CAUSES_MAX = 4;
/** No such table, no such column. */
const SCHEMA_ERRORS = [1146, 1054];
const NOTHING_WRITTEN: Written = { count: 0, said: 0 };

/** The statements of one store, ready to run, each on any number of entries in one round trip. */
export class Statements {
  readonly #queries: Queries;
  readonly #triesMax: number;

  /** @param triesMax how often a statement is sent that was undone by a deadlock */
  constructor(queries: Queries, triesMax = TRIES_MAX) {
    this.#queries = queries;
    this.#triesMax = triesMax;
  }

  async read(pair: Pair, entries: readonly Entry[]): Promise<readonly TextRow[]> {
    if (entries.length === 0) return [];
    const { text, values } = filled(pair, entries);
    return await this.#repeated(() => this.#queries.read(text, values));
  }

  async write(pair: Pair, entries: readonly Entry[]): Promise<Written> {
    if (entries.length === 0) return NOTHING_WRITTEN;
    const { text, values } = filled(pair, entries);
    return await this.#repeated(() => this.#queries.write(text, values));
  }

  async readAll(text: string): Promise<readonly TextRow[]> {
    return await this.#repeated(() => this.#queries.read(text));
  }

  /** A deadlock undoes the whole statement, which then may be repeated. */
  async #repeated<T>(run: () => Promise<T>): Promise<T> {
    for (let tried = 1; ; tried += 1) {
      try {
        return await run();
      } catch (error) {
        const number = numberOf(error);
        if (SCHEMA_ERRORS.includes(number)) throw withoutTables(error);
        if (number !== DEADLOCK || tried >= this.#triesMax) throw error;
      }
      await sleep(PAUSE_MS_MAX * Math.random());
    }
  }
}

function filled(pair: Pair, entries: readonly Entry[]) {
  const [only] = entries;
  return entries.length === 1 && only !== undefined
    ? { text: pair.one, values: valuesOfOne(pair, only) }
    : { text: pair.list, values: valuesOfList(pair, entries) };
}

/** Whether a statement was ended because it took too long. */
export function isInterrupted(error: unknown): boolean {
  return numberOf(error) === INTERRUPTED;
}

/** What is known of errors in transactions. */
export const ERRORS: Omit<TransactingDatabase<unknown>, "transaction"> = {
  isRepeatable: (error) => numberOf(error) === DEADLOCK,
  isAnswer: (error) => numberOf(error) > 0 && !ENDED_BY_SERVER.includes(numberOf(error)),
  isBlocked: (error) => numberOf(error) === LOCK_WAIT_TIMEOUT,
};

/** Some clients wrap the driver's errors. Those of the connection have numbers below zero, or none. */
function numberOf(error: unknown): number {
  let inner = error;
  for (let depth = 0; depth < CAUSES_MAX && inner instanceof Error; depth += 1) {
    if ("errno" in inner) return Number(inner.errno);
    inner = inner.cause;
  }
  return 0;
}

function withoutTables(cause: unknown): Error {
  return new Error(
    "idemkit's tables are missing or of an older version: call `await migrate(client)` once before " +
      "the store is used.",
    { cause },
  );
}
