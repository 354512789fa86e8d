import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Database from "better-sqlite3";
import { onTestFinished } from "vitest";
import { type OpenOptions, openPayments } from "../src/open.ts";

export const ANN = "sk_test_ann";
export const BOB = "sk_test_bob";

const ACCOUNTS = new Map([
  [ANN, "ann"],
  [BOB, "bob"],
]);

/** A charge as it stands in the database, whatever the API says. */
export interface ChargeRow {
  readonly id: string;
  readonly orderId: string;
  readonly status: string;
  /** How often a handler has begun with it. */
  readonly timesBegun: number;
}

const LIST = `
  SELECT id, metadata ->> 'order_id' AS orderId, status, times_begun AS timesBegun
  FROM charges ORDER BY created_s, id`;

/** A folder that ends with the test. */
export function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "idemkit-payments-test-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** The API on a database of its own, listening. */
export async function listening(options: Partial<OpenOptions> = {}) {
  const database = join(newFolder(), "payments.db");
  const payments = await openPayments({
    ...{ database, accounts: ACCOUNTS, logLevel: "silent" },
    ...options,
  });
  onTestFinished(() => payments.app.close());
  const origin = await payments.app.listen({ port: 0, host: "127.0.0.1" });
  return { ...payments, origin, database, rows: () => rowsOf(database) };
}

export function rowsOf(database: string): readonly ChargeRow[] {
  const db = new Database(database, { readonly: true });
  try {
    return db.prepare(LIST).all() as ChargeRow[];
  } finally {
    db.close();
  }
}
