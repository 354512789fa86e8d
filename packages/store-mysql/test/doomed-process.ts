import { beZombie, type StoppedAt, workUntilKilled } from "@idemkit/test-servers";
import type { PoolConnection } from "mysql2/promise";
import { mysqlStore } from "../src/index.ts";
import { pool } from "./clients.ts";

// Works in transactions until it is killed; or is stopped in the middle of one.
const store = mysqlStore(pool(process.argv[2] ?? "", () => undefined));
const write = (tx: PoolConnection, label: string) =>
  tx.execute("INSERT INTO effects (label) VALUES (?)", [label]);
const stoppedAt = process.argv[3];
if (stoppedAt === undefined) await workUntilKilled(store, write);
else await beZombie(stoppedAt as StoppedAt, store, write);
