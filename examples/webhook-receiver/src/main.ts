import { fileURLToPath } from "node:url";
import { openReceiver } from "./receiver.ts";

const RATES: ReadonlyMap<string, number> = new Map([
  ["EUR", 1],
  ["USD", 0.9],
]);

const OWN_FILE = fileURLToPath(new URL("../receiver.db", import.meta.url));

const {
  RECEIVER_DATABASE = OWN_FILE,
  RECEIVER_PORT = "8081",
  RECEIVER_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
  RECEIVER_ACCOUNTS = "ann,bob",
} = process.env;

const { app, accounts } = await openReceiver({
  database: RECEIVER_DATABASE,
  secret: RECEIVER_SECRET,
  rateOf: async (currency) => {
    const rate = RATES.get(currency);
    if (rate !== undefined) return rate;
    throw Object.assign(new Error("There is no rate for this currency."), { statusCode: 503 });
  },
});
for (const account of RECEIVER_ACCOUNTS.split(",")) accounts.open(account);
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => void app.close());
}
const listening = app.listen({ port: Number(RECEIVER_PORT), host: "127.0.0.1" });
const origin = await listening.catch((error: unknown): never => {
  if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
  process.stderr.write(
    `Port ${RECEIVER_PORT} is in use. Set RECEIVER_PORT to another one, or to 0 for any free one.\n`,
  );
  process.exit(1);
});
process.stdout.write(`Listening on ${origin}\nBalances and records are in ${RECEIVER_DATABASE}\n`);
