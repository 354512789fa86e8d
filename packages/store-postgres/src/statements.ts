import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { TransactingDatabase } from "@idemkit/engine/model";
import { asItIsSet } from "./pairs.ts";
import { listOf, oneOf, type Value } from "./parameters.ts";
import type { Queries, TextRow } from "./queries.ts";
import * as sql from "./sql.ts";

const PAIRS = {
  claim: sql.CLAIM,
  claimFound: sql.CLAIM_FOUND,
  claimAgain: sql.CLAIM_AGAIN,
  renew: sql.RENEW,
  complete: sql.COMPLETE,
  completeHere: sql.COMPLETE_HERE,
  release: sql.RELEASE,
  read: sql.READ,
  remove: sql.REMOVE,
} as const;

export type PairName = keyof typeof PAIRS;

const TRIES_MAX = 4;
const PAUSE_MS_MAX = 20;
/** Deadlock, and what rivals get where the default isolation is stricter than READ COMMITTED. */
const REPEATABLE_CODES = ["40P01", "40001"];
/** No such table, no such column. */
const SCHEMA_CODES = ["42P01", "42703"];
/** No such prepared statement, one of that name already, or other parameters than those of its name. */
const NAME_CODES = ["26000", "42P05", "08P01"];
const MS_PER_SECOND = 1_000;
const LOCK_NOT_AVAILABLE = "55P03";
const HASH_LENGTH = 12;
const CAUSES_MAX = 4;

export interface StatementOptions {
  readonly schema: string | undefined;
  readonly prepare: boolean;
  /** Whether they run inside somebody's transaction, whose time-outs are theirs. */
  readonly isBound: boolean;
}

/** The texts and names of one store's statements. */
export class Texts {
  readonly #options: StatementOptions;
  readonly #madeAtMs = performance.now();
  readonly #made = new Map<string, { readonly text: string; readonly hash: string }>();
  #claims = 0;

  constructor(options: StatementOptions) {
    this.#options = options;
  }

  noteClaims(count: number): void {
    this.#claims += count;
  }

  /** The whole text, and what the server may keep its plan under. */
  of(text: string, name?: string): { readonly text: string; readonly keptAs: string | undefined } {
    const statement = this.#statement(text);
    const isKept = name !== undefined && this.#options.prepare;
    const keptAs = isKept ? `idemkit-${name}-${statement.hash}-${this.#generation}` : undefined;
    return { text: statement.text, keptAs };
  }

  /**
   * A kept plan is only as good as the table was when it was made, and the worst is one that reads all
   * of a table that was small then. So the name changes each time the store's age has grown eightfold, or
   * the number of its claims, and the few plans of the past are left to the connection. Not more often:
   * the server plans a new name's first five runs one by one, on each connection.
   */
  get #generation(): string {
    const ageSeconds = (performance.now() - this.#madeAtMs) / MS_PER_SECOND;
    return `${eightfolds(ageSeconds)}.${eightfolds(this.#claims)}`;
  }

  #statement(text: string): { readonly text: string; readonly hash: string } {
    const known = this.#made.get(text);
    if (known !== undefined) return known;
    const { schema, isBound } = this.#options;
    const whole = inSchema(isBound ? asItIsSet(text) : text, schema);
    // Two stores on one pool, of other schemas or versions, must not meet under one name.
    const hash = createHash("sha256").update(whole).digest("hex").slice(0, HASH_LENGTH);
    const made = { text: whole, hash };
    this.#made.set(text, made);
    return made;
  }
}

/** The statements of one store, ready to run. */
export class Statements {
  readonly #queries: Queries;
  readonly #texts: Texts;
  readonly #triesMax: number;

  /** @param triesMax how often a statement is sent that was undone by a deadlock */
  constructor(queries: Queries, texts: Texts, triesMax = TRIES_MAX) {
    this.#queries = queries;
    this.#texts = texts;
    this.#triesMax = triesMax;
  }

  /** Runs one of the statements on each entry, in one round trip for all of them. */
  async each(name: PairName, entries: readonly (readonly Value[])[]): Promise<readonly TextRow[]> {
    const pair = PAIRS[name];
    const [only] = entries;
    if (only === undefined) return [];
    if (name === "claim") this.#texts.noteClaims(entries.length);
    return entries.length === 1
      ? await this.#run(pair.one, oneOf(only), name)
      : await this.#run(pair.list, listOf(entries), `${name}-list`);
  }

  async list(values: readonly Value[]): Promise<readonly TextRow[]> {
    return await this.#run(sql.LIST, oneOf(values));
  }

  async purge(limit: number): Promise<readonly TextRow[]> {
    return await this.#run(sql.PURGE, oneOf([limit]));
  }

  async #run(
    text: string,
    parameters: readonly (string | null)[],
    name?: string,
  ): Promise<readonly TextRow[]> {
    const statement = this.#texts.of(text, name);
    for (let tried = 1; ; tried += 1) {
      try {
        return await this.#queries.run(statement.text, parameters, statement.keptAs);
      } catch (error) {
        const code = codeOf(error);
        if (SCHEMA_CODES.includes(code)) throw withoutTables(error);
        if (statement.keptAs !== undefined && isAboutName(error)) throw withoutName(error);
        if (!REPEATABLE_CODES.includes(code) || tried >= this.#triesMax) throw error;
      }
      await sleep(PAUSE_MS_MAX * Math.random());
    }
  }
}

/** How often one has grown eightfold to become so many. */
function eightfolds(count: number): number {
  return Math.floor(Math.log2(count + 1) / 3);
}

/** The text with its tables in the schema, where there is one. */
export function inSchema(text: string, schema: string | undefined): string {
  if (schema === undefined) return text;
  const quoted = `"${schema.replaceAll('"', '""')}"`;
  return text.replaceAll(/\bidemkit_(records|migrations)\b/g, (table) => `${quoted}.${table}`);
}

/** Some clients wrap the driver's errors. */
function codeOf(error: unknown): string {
  let inner = error;
  for (let depth = 0; depth < CAUSES_MAX && inner instanceof Error; depth += 1) {
    if ("code" in inner) return String(inner.code);
    inner = inner.cause;
  }
  return "";
}

/** What is known of errors in transactions. */
export const ERRORS: Omit<TransactingDatabase<unknown>, "transaction"> = {
  isRepeatable: (error) => REPEATABLE_CODES.includes(codeOf(error)),
  isAnswer: (error) => /^(?!08|57)(?=.*\d)[0-9A-Z]{5}$/.test(codeOf(error)),
  isBlocked: (error) => codeOf(error) === LOCK_NOT_AVAILABLE,
};

/** Whether the server may not know a prepared statement's name. */
export function isAboutName(error: unknown): boolean {
  return NAME_CODES.includes(codeOf(error));
}

/** What to do where that is so. */
export const NAME_ADVICE =
  "If a pooler shares its connections between transactions, as PgBouncer does in transaction mode, say " +
  "`postgresStore(client, { prepare: false })`.";

function withoutName(cause: unknown): Error {
  return new Error(`Postgres refused a prepared statement (${codeOf(cause)}). ${NAME_ADVICE}`, {
    cause,
  });
}

function withoutTables(cause: unknown): Error {
  return new Error(
    "idemkit's tables are missing or of an older version: call `await migrate(client)` once before " +
      "the store is used.",
    { cause },
  );
}
