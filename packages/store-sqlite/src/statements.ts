import { expectAsked } from "@idemkit/engine/model";
import type { SqliteHandle, SqliteStatement } from "./handle.ts";
import type { ClaimedRow, Row } from "./rows.ts";
import * as sql from "./sql.ts";

type Parameters = Readonly<Record<string, string | number | Buffer | null>>;
/** Those of a statement on one record. */
type OfRecord = Parameters & { readonly digest: Buffer };

/** The prepared statements of one handle, as functions. */
export interface Statements {
  now(): number;
  read(digest: Buffer): Row | undefined;
  claimAbsent(parameters: Parameters): boolean;
  claimAgain(parameters: OfRecord): ClaimedRow | undefined;
  claimPresent(parameters: OfRecord): ClaimedRow | undefined;
  renew(parameters: Parameters): boolean;
  complete(parameters: Parameters): boolean;
  isCompleted(parameters: Parameters): boolean;
  release(parameters: Parameters): boolean;
  isReleased(parameters: Parameters): boolean;
  remove(parameters: Parameters): boolean;
  list(parameters: Parameters): readonly Row[];
  /** Where the next step of a list begins, unless this is the last one. */
  listStep(parameters: Parameters): Buffer | undefined;
  purge(parameters: Parameters): number;
}

const known = new WeakMap<SqliteHandle, Statements>();

/**
 * The statements of a handle, which are prepared once, however many stores are made on it.
 *
 * @throws Error with advice where the tables are not there, its cause being the driver's
 */
export function statementsOf(db: SqliteHandle): Statements {
  const statements = known.get(db) ?? prepareAll(db);
  known.set(db, statements);
  return statements;
}

function prepareAll(db: SqliteHandle): Statements {
  // A handle may be set to answer BigInts; tokens and times are safe integers.
  const prepare = (text: string) => prepared(db, text).safeIntegers(false);
  const one = <T extends Pick<Row, "digest">>(text: string) => {
    const statement = prepare(text);
    return (parameters: OfRecord) => {
      const row = statement.get(parameters) as T | undefined;
      if (row !== undefined) expectAsked(row.digest.equals(parameters.digest));
      return row;
    };
  };
  const is = (text: string) => {
    const statement = prepare(text);
    return (parameters: Parameters) => statement.get(parameters) !== undefined;
  };
  const changes = (text: string) => {
    const statement = prepare(text);
    return (parameters: Parameters) => statement.run(parameters).changes;
  };
  const hasChanged = (text: string) => {
    const change = changes(text);
    return (parameters: Parameters) => change(parameters) === 1;
  };
  const now = prepare(sql.NOW);
  const read = one<Row>(sql.READ);
  const list = prepare(sql.LIST);
  const listStep = prepare(sql.LIST_STEP);
  return {
    now: () => (now.get() as { readonly now: number }).now,
    read: (digest) => read({ digest }),
    claimAbsent: hasChanged(sql.CLAIM_ABSENT),
    claimAgain: one(sql.CLAIM_AGAIN),
    claimPresent: one(sql.CLAIM_PRESENT),
    renew: hasChanged(sql.RENEW),
    complete: hasChanged(sql.COMPLETE),
    isCompleted: is(sql.IS_COMPLETED),
    release: hasChanged(sql.RELEASE),
    isReleased: is(sql.IS_RELEASED),
    remove: hasChanged(sql.REMOVE),
    list: (parameters) => list.all(parameters) as Row[],
    listStep: (parameters) => (listStep.get(parameters) as Pick<Row, "digest"> | undefined)?.digest,
    purge: changes(sql.PURGE),
  };
}

function prepared(db: SqliteHandle, text: string): SqliteStatement {
  try {
    return db.prepare(text);
  } catch (error) {
    if (!(error instanceof Error && /no such (table|column)/.test(error.message))) throw error;
    throw new Error(
      "idemkit's tables are missing or of an older version: call `await migrate(db)` once " +
        "before the store is used.",
      { cause: error },
    );
  }
}
