import { fileURLToPath } from "node:url";
import { PretendedNetwork } from "./card-network.ts";
import { openPayments } from "./open.ts";

const USAGE = `Serves the payment API until it is told to stop. Settings, by environment:

PAYMENTS_DATABASE    the path of a SQLite file, or postgres://… (payments.db of this example)
PAYMENTS_PORT        where it listens; 0 for any that is free (8080)
PAYMENTS_ACCOUNTS    tokens with their accounts (sk_test_ann=ann,sk_test_bob=bob)
PAYMENTS_LEASE_MS    how long a request of a dead process keeps its key (15000)
PAYMENTS_NETWORK     the path of the card network's own SQLite file (card-network.db of this example)
PAYMENTS_NETWORK_MS  how long the card network takes (50)
`;

/** @throws TypeError where it is no whole number */
function wholeNumber(name: string, byDefault: number): number {
  const text = process.env[name] ?? String(byDefault);
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new TypeError(`${name}: expected a whole number, got ${text}.\n\n${USAGE}`);
}

function accounts(): ReadonlyMap<string, string> {
  const { PAYMENTS_ACCOUNTS: text = "sk_test_ann=ann,sk_test_bob=bob" } = process.env;
  return new Map(
    text.split(",").map((pair) => {
      const [token = "", account = ""] = pair.split("=", 2);
      if (token !== "" && account !== "") return [token, account];
      throw new TypeError(`PAYMENTS_ACCOUNTS: expected token=account, got ${pair}.\n\n${USAGE}`);
    }),
  );
}

/** A file in the folder of this example. */
function ownFile(name: string): string {
  return fileURLToPath(new URL(`../${name}`, import.meta.url));
}

const {
  PAYMENTS_DATABASE: database = ownFile("payments.db"),
  PAYMENTS_NETWORK: networkFile = ownFile("card-network.db"),
} = process.env;
const port = wholeNumber("PAYMENTS_PORT", 8080);
const { app } = await openPayments({
  database,
  accounts: accounts(),
  leaseMs: wholeNumber("PAYMENTS_LEASE_MS", 15_000),
  network: new PretendedNetwork(networkFile, wholeNumber("PAYMENTS_NETWORK_MS", 50)),
});
const origin = await app.listen({ port, host: "127.0.0.1" }).catch((error: unknown): never => {
  if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
  process.stderr.write(
    `Port ${port} is in use. Set PAYMENTS_PORT to another one, or to 0 for any free one.\n`,
  );
  process.exit(1);
});
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  // What runs is answered and recorded first.
  process.once(signal, () => void app.close());
}
process.stdout.write(`Listening on ${origin}\n`);
// The URL of a Postgres database may have a password in it.
const charges = /^postgres(ql)?:/.test(database) ? "Postgres" : database;
process.stdout.write(`Charges are in ${charges}, the card network's records in ${networkFile}\n`);
