import { beZombie, type StoppedAt, workUntilKilled } from "@idemkit/test-servers";
import type { PoolClient } from "pg";
import { postgresStore } from "../src/index.ts";
import { pool } from "./clients.ts";

// Works in transactions until it is killed; or is stopped in the middle of one.
const store = postgresStore(pool(process.argv[2] ?? "", () => undefined));
const write = (tx: PoolClient, label: string) =>
  tx.query("INSERT INTO effects (label) VALUES ($1)", [label]);
const stoppedAt = process.argv[3];
if (stoppedAt === undefined) await workUntilKilled(store, write);
else await beZombie(stoppedAt as StoppedAt, store, write);
