import { fileURLToPath } from "node:url";
import { startService } from "./service.ts";

const GRACE_MS = 10_000;

const OWN_FILE = fileURLToPath(new URL("../orders.db", import.meta.url));

const { ORDERS_DATABASE = OWN_FILE, PORT = "3000" } = process.env;

const service = await startService(ORDERS_DATABASE, Number(PORT)).catch((error: unknown): never => {
  if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
  process.stderr.write(
    `Port ${PORT} is in use. Set PORT to another one, or to 0 for any free one.\n`,
  );
  process.exit(1);
});
process.stdout.write(`Orders on http://localhost:${service.port}, kept in ${ORDERS_DATABASE}\n`);

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  process.once(signal, () => {
    service.close(GRACE_MS).catch((error: unknown) => {
      process.stderr.write(`${error}\n`);
      process.exitCode = 1;
    });
  });
}
