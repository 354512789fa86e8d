import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Database from "better-sqlite3";
import pg from "pg";
import { onTestFinished } from "vitest";
import { PretendedNetwork } from "../src/card-network.ts";
import { type OpenOptions, openPayments } from "../src/open.ts";
import { ACCOUNTS } from "./accounts.ts";

/** A charge as its row has it. */
export interface ChargeRow {
  readonly id: string;
  readonly orderId: string;
  readonly status: string;
}

const LIST = "SELECT id, metadata, status FROM charges ORDER BY created_s, id";

/** A request that the card network has received. */
export interface Authorisation {
  readonly verdict: string;
  readonly timesAsked: number;
}

const AUTHORISATIONS =
  "SELECT verdict, times_asked AS timesAsked FROM authorisations ORDER BY idempotency_key";

/** A folder that ends with the test. */
export function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "idemkit-payments-test-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** The API on databases of its own, listening. */
export async function listening(options: Partial<Options> = {}) {
  const folder = newFolder();
  const { database = join(folder, "payments.db"), networkFile = join(folder, "network.db") } =
    options;
  const { networkMs, networkFile: _, ...rest } = options;
  const network = options.network ?? new PretendedNetwork(networkFile, networkMs);
  const payments = await openPayments({
    ...{ accounts: ACCOUNTS, logLevel: "silent", durability: "process-kill" },
    ...{ ...rest, database, network },
  });
  onTestFinished(() => payments.app.close());
  const origin = await payments.app.listen({ port: 0, host: "127.0.0.1" });
  return {
    ...{ ...payments, origin, database },
    rows: async () => await rowsOf(database),
    authorisations: () => authorisationsOf(networkFile),
  };
}

interface Options extends OpenOptions {
  readonly networkFile: string;
  readonly networkMs: number;
}

export async function rowsOf(database: string): Promise<readonly ChargeRow[]> {
  return (await listed(database)).map(({ metadata, ...row }) => {
    const { order_id: orderId = "" } = JSON.parse(metadata) as { readonly order_id?: string };
    return { ...row, orderId };
  });
}

interface Listed extends Pick<ChargeRow, "id" | "status"> {
  readonly metadata: string;
}

async function listed(database: string): Promise<readonly Listed[]> {
  if (!database.startsWith("postgres")) return read<Listed>(database, LIST);
  const client = new pg.Client({ connectionString: database });
  await client.connect();
  const { rows } = await client.query<Listed>(LIST);
  await client.end();
  return rows;
}

/** The requests that the card network has received. */
export function authorisationsOf(networkFile: string): readonly Authorisation[] {
  return read<Authorisation>(networkFile, AUTHORISATIONS);
}

function read<T>(path: string, sql: string): readonly T[] {
  const db = new Database(path, { readonly: true });
  try {
    return db.prepare(sql).all() as T[];
  } finally {
    db.close();
  }
}
