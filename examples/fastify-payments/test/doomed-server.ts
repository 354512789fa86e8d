import { type CardNetwork, PretendedNetwork } from "../src/card-network.ts";
import { openPayments } from "../src/open.ts";
import { ACCOUNTS } from "./accounts.ts";
import { type StopPoint, watchedNetwork } from "./stop-points.ts";

/** A server that kills itself when a request has got to a point. */
export interface Doomed {
  readonly database: string;
  readonly networkFile: string;
  readonly leaseMs: number;
  readonly diesAt: StopPoint;
}

const { database, networkFile, leaseMs, diesAt } = JSON.parse(process.argv[2] ?? "") as Doomed;

function watch(point: StopPoint): void {
  // In this very turn: no callback, no flush and no roll-back follows.
  if (point === diesAt) process.kill(process.pid, "SIGKILL");
}

const network: CardNetwork = watchedNetwork(new PretendedNetwork(networkFile), watch);
const { app } = await openPayments({
  durability: "process-kill",
  ...{ database, accounts: ACCOUNTS, leaseMs, logLevel: "silent", network, watch },
});
process.send?.(await app.listen({ port: 0, host: "127.0.0.1" }));
