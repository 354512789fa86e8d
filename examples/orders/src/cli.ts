import { mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ConflictError, InProgressError, ReplayedError } from "@idemkit/engine";
import { openShop, type Places, UnknownDatabaseError } from "./open.ts";
import { InvalidOrderError, OutOfStockError } from "./order.ts";
import { CardDeclinedError } from "./payment-provider.ts";

const USAGE = `Usage:
  place --customer ann --key k1 --sku mug --quantity 2 --card 4242 [--wait-ms 5000]
  publish

Exit codes: 0 done; 2 wrong input, the key is not used up; 3 in progress, come back; 4 failed, and so
does every retry with this key; 5 not known or not decided: the same key again tells.

ORDERS_DATABASE  sqlite:path, postgres://… or mysql://…; without it a SQLite file in ORDERS_FOLDER
ORDERS_FOLDER    where the files of the payment provider and the broker are
`;

const EXIT = { done: 0, invalid: 2, inProgress: 3, failed: 4, unknown: 5 } as const;

const OPTIONS = {
  customer: { type: "string" },
  key: { type: "string" },
  sku: { type: "string" },
  quantity: { type: "string" },
  card: { type: "string" },
  "wait-ms": { type: "string" },
} as const;

/** What cannot be understood, so that nothing was started. */
class UsageError extends Error {
  override readonly name = "UsageError";
}

type Options = Readonly<Partial<Record<keyof typeof OPTIONS, string>>>;

async function run(args: readonly string[]): Promise<unknown> {
  const { command, options } = understood(args);
  const { "wait-ms": wait } = options;
  if (wait !== undefined && !/^[1-9]\d{0,6}$/.test(wait)) throw new UsageError(USAGE);
  const shop = await openShop(places(), wait === undefined ? {} : { waitMs: Number(wait) });
  try {
    if (command === "publish") return { published: await shop.publisher.publish() };
    const { customer = "", key = "", sku = "", quantity, card = "" } = options;
    const request = { sku, quantity: Number(quantity), card };
    const { value, replayed, attempt } = await shop.orders.placeOrder(customer, key, request);
    return { ...value, replayed, attempt };
  } finally {
    await shop.close();
  }
}

function understood(args: readonly string[]) {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: OPTIONS,
      allowPositionals: true,
    });
    const [command, ...others] = positionals;
    if (others.length === 0 && (command === "place" || command === "publish")) {
      return { command, options: values as Options };
    }
  } catch (error) {
    throw new UsageError(`${error instanceof Error ? error.message : error}\n\n${USAGE}`);
  }
  throw new UsageError(USAGE);
}

function places(): Places {
  const { ORDERS_FOLDER: folder = join(tmpdir(), "idemkit-orders"), ORDERS_DATABASE } = process.env;
  mkdirSync(folder, { recursive: true });
  return {
    database: ORDERS_DATABASE ?? `sqlite:${join(folder, "shop.db")}`,
    ledger: join(folder, "ledger.db"),
    messages: join(folder, "messages.db"),
  };
}

function exitCodeOf(error: unknown): number {
  const is = (...kinds: readonly (abstract new (...given: never) => Error)[]) =>
    kinds.some((kind) => error instanceof kind);
  if (is(UsageError, UnknownDatabaseError, InvalidOrderError)) return EXIT.invalid;
  if (is(InProgressError)) return EXIT.inProgress;
  if (is(ConflictError, ReplayedError, CardDeclinedError, OutOfStockError)) return EXIT.failed;
  return EXIT.unknown;
}

function told(error: unknown): string {
  if (error instanceof UsageError) return error.message;
  if (!(error instanceof Error)) return String(error);
  const { name, message } = error;
  const cause = error.cause instanceof Error ? { cause: error.cause.message } : {};
  return `${JSON.stringify({ error: name, message, ...cause, ...adviceOn(error) })}\n`;
}

function adviceOn(error: Error): Readonly<Record<string, unknown>> {
  if (error instanceof InProgressError) return { retryAfterMs: error.retryAfterMs };
  if (error instanceof ReplayedError) return { advice: "Use a new key." };
  if (exitCodeOf(error) === EXIT.unknown) return { advice: "Ask again with the same key." };
  return {};
}

try {
  process.stdout.write(`${JSON.stringify(await run(process.argv.slice(2)))}\n`);
  process.exitCode = EXIT.done;
} catch (error) {
  process.stderr.write(told(error));
  process.exitCode = exitCodeOf(error);
}
