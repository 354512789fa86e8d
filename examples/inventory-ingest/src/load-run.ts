import { setTimeout as sleep } from "node:timers/promises";
import { openDatabase, type Queries } from "./database.ts";
import { type Plan, planOf } from "./load-plan.ts";
import { WorkerDiedError, Workers } from "./load-workers.ts";
import { type DeltaAnswer, type DeltaBatch, placeOf } from "./stock.ts";

export interface LoadOptions {
  readonly database: string;
  readonly lines: number;
  readonly clients: number;
  readonly workers: number;
}

/** What was done, and what of it is in the database at the end. */
export interface LoadReport {
  readonly lines: number;
  readonly batches: number;
  readonly sends: number;
  readonly kills: number;
  /** Batches that a worker was at when it was killed. */
  readonly interrupted: number;
  /** By the answers that came; what a killed worker has committed is only seen by its resend. */
  readonly applied: number;
  readonly deduped: number;
  /** Lines that are not in the log of the stock, or more than once. */
  readonly lost: number;
  readonly doubled: number;
  /** Places whose stock is not the sum of their distinct lines. */
  readonly wrongPlaces: number;
  readonly seconds: number;
}

const TRIES_MAX = 1_000;
const SENDS_PER_KILL = 100;
const KILLS_MIN = 4;
const KILLS_MAX = 40;
const KILL_DELAY_MS_MAX = 20;

const LOGGED = `
  SELECT batch, product, location, count(*) AS times FROM stock_log
  WHERE shop = $1 AND mode = 'delta' GROUP BY batch, product, location`;

const STOCK = "SELECT product, location, quantity FROM stock WHERE shop = $1";

/** The counts that grow while the clients are at it. */
interface Counts {
  sends: number;
  answered: number;
  kills: number;
  interrupted: number;
  applied: number;
  deduped: number;
}

/** Lets the clients send all they have, kills workers meanwhile, and compares stock and log with the plan. */
export async function load(options: LoadOptions): Promise<LoadReport> {
  const plan = planOf(options.lines, options.clients);
  // A shop of its own, as the database may have been used before.
  const shop = `load-${Date.now()}`;
  const database = await openDatabase(options.database);
  const workers = await Workers.start(options.database, options.workers);
  const counts = { sends: 0, answered: 0, kills: 0, interrupted: 0, applied: 0, deduped: 0 };
  const begunAtMs = performance.now();
  try {
    const clients = plan.clients.map((sends) => client(workers, shop, sends, counts));
    await Promise.all([...clients, killer(workers, plan, counts)]);
    const seconds = (performance.now() - begunAtMs) / 1_000;
    const { lines, batches } = plan;
    const found = await compared(database, shop, plan);
    const { answered: _, ...counted } = counts;
    return { lines: lines.length, batches, ...counted, ...found, seconds };
  } finally {
    workers.stop();
    await database.close();
  }
}

/** Sends one batch after the other, each until it is answered, as every client that cares does. */
async function client(
  workers: Workers,
  shop: string,
  sends: readonly DeltaBatch[],
  counts: Counts,
): Promise<void> {
  for (const batch of sends) {
    const { lines_applied, lines_deduped, lines_conflicting } = await untilAnswered(() => {
      counts.sends += 1;
      return workers.ask(shop, batch);
    });
    counts.answered += 1;
    counts.applied += lines_applied;
    counts.deduped += lines_deduped;
    if (lines_conflicting > 0) throw new Error("Equal lines were taken for different ones.");
  }
}

async function untilAnswered(send: () => Promise<DeltaAnswer>): Promise<DeltaAnswer> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await send();
    } catch (error) {
      if (tries === TRIES_MAX || !(error instanceof WorkerDiedError)) throw error;
    }
  }
}

/** Kills at random moments, spread over the whole of what is sent. */
async function killer(workers: Workers, { clients }: Plan, counts: Counts): Promise<void> {
  const planned = clients.reduce((sum, sends) => sum + sends.length, 0);
  const kills = Math.min(Math.max(Math.floor(planned / SENDS_PER_KILL), KILLS_MIN), KILLS_MAX);
  for (let kill = 0; kill < kills; kill += 1) {
    const dueAt = Math.floor(((kill + Math.random()) * planned) / (kills + 1));
    while (counts.answered < dueAt) await sleep(1);
    await sleep(Math.random() * KILL_DELAY_MS_MAX);
    counts.kills += 1;
    counts.interrupted += workers.kill();
  }
}

/** Every line of the plan has to be in the log once, and every place to have the sum of its lines. */
async function compared(queries: Queries, shop: string, { lines }: Plan) {
  const logged = await queries.all<{
    readonly batch: string;
    readonly product: string;
    readonly location: string;
    readonly times: number;
  }>(LOGGED, shop);
  const times = new Map(
    logged.map((row) => [JSON.stringify([row.batch, row.product, row.location]), row.times]),
  );
  const sums = new Map<string, number>();
  for (const line of lines) {
    const place = placeOf(line);
    sums.set(place, (sums.get(place) ?? 0) + line.quantity);
  }
  const stock = await queries.all<{ product: string; location: string; quantity: number }>(
    STOCK,
    shop,
  );
  const rights = stock.filter((row) => sums.get(placeOf(row)) === row.quantity);
  const timesOf = lines.map(
    (line) => times.get(JSON.stringify([line.batch, line.product, line.location])) ?? 0,
  );
  return {
    lost: timesOf.filter((each) => each === 0).length,
    doubled: timesOf.filter((each) => each > 1).length,
    wrongPlaces: Math.max(sums.size, stock.length) - rights.length,
  };
}
