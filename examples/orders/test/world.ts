import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { InProgressError } from "@idemkit/engine";
import { onTestFinished } from "vitest";
import { killed } from "../src/doom.ts";
import type { Doomed } from "../src/doomed-process.ts";
import { type OpenOptions, type OpenShop, openShop, type Places } from "../src/open.ts";

/** Short, as tests wait for the leases of processes that were killed. */
const LEASE_MS = 500;
const CLI = fileURLToPath(new URL("../src/cli.ts", import.meta.url));
const TRIES_MAX = 100;
const PAUSE_MS = 100;

/** One shop with a provider and a broker of its own, to be opened by as many processes as one likes. */
export class World {
  readonly folder: string;
  readonly #places: Places;

  /** @param database makes the address of a database, given a folder that ends with the test */
  constructor(database: (folder: string) => string) {
    const folder = mkdtempSync(join(tmpdir(), "idemkit-orders-test-"));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    this.folder = folder;
    this.#places = {
      database: database(folder),
      ledger: join(folder, "ledger.db"),
      messages: join(folder, "messages.db"),
    };
  }

  async open(options: OpenOptions = {}): Promise<OpenShop> {
    const shop = await openShop(this.#places, { leaseMs: LEASE_MS, ...options });
    onTestFinished(() => shop.close());
    return shop;
  }

  /** The command line on this shop. */
  async command(...args: readonly string[]) {
    const { database } = this.#places;
    return await commanded(args, { ORDERS_DATABASE: database, ORDERS_FOLDER: this.folder });
  }

  async killAt(diesAt: string, order?: Doomed["order"], leaseMs = LEASE_MS): Promise<void> {
    const work = order === undefined ? {} : { order };
    await killed({ places: this.#places, leaseMs, diesAt, ...work });
  }
}

/** The command as somebody types it, and what it said. */
async function commanded(args: readonly string[], own: Readonly<Record<string, string>>) {
  const node = ["--conditions=@idemkit/source", "--import", "tsx", CLI, ...args];
  const env = { ...process.env, ...own };
  return await promisify(execFile)(process.execPath, node, { env }).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    ({ code, stdout, stderr }: { code: number; stdout: string; stderr: string }) => ({
      code,
      stdout,
      stderr,
    }),
  );
}

/** What a client does: it comes again with the same key while it is told that work goes on. */
export async function persistently<T>(call: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof InProgressError) || tries === TRIES_MAX) throw error;
    }
    await sleep(PAUSE_MS);
  }
}

/** Everything that an order leaves behind, in the shop and at its partners. */
export async function traces({ database, provider, broker }: OpenShop, sku = "mug") {
  const count = async (sql: string) => Number((await database.rows(sql, []))[0]?.count);
  const [stock] = await database.rows("SELECT available FROM stock WHERE sku = ?", [sku]);
  return {
    orders: await count("SELECT count(*) AS count FROM orders"),
    events: await count("SELECT count(*) AS count FROM outbox"),
    unpublished: await count("SELECT count(*) AS count FROM outbox WHERE published = 0"),
    reservations: await count("SELECT count(*) AS count FROM reservations"),
    available: Number(stock?.available),
    /** How often each charge in the ledger was asked for. */
    charges: provider.ledger.map(({ timesAsked }) => timesAsked),
    sent: broker.sent.map(({ id }) => id),
  };
}
