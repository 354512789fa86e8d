import { tmpdir } from "node:os";
import { join } from "node:path";
import { startService } from "./service.ts";

const GRACE_MS = 10_000;

const { ORDERS_DATABASE = join(tmpdir(), "idemkit-koa-orders.db"), PORT = "3000" } = process.env;

const service = await startService(ORDERS_DATABASE, Number(PORT));
process.stdout.write(`Orders on http://localhost:${service.port}, kept in ${ORDERS_DATABASE}\n`);

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  process.once(signal, () => {
    service.close(GRACE_MS).catch((error: unknown) => {
      process.stderr.write(`${error}\n`);
      process.exitCode = 1;
    });
  });
}
