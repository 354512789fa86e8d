export {
  CUTS,
  type CutExchange,
  type CuttingProxy,
  drawFates,
  type Fate,
  startCuttingProxy,
} from "./cutting-proxy.ts";
export { DISAGREEMENTS, killLoop, workUntilKilled } from "./kill-loop.ts";
export type { TestServer } from "./local-server.ts";
export { type MixedUpScenario, mixedUpRows } from "./mixed-up-rows.ts";
export { startMariaDb, startMysql } from "./mysql.ts";
export { serveStore, storeInAnotherProcess } from "./other-process.ts";
export { type Outliving, outliveConnections } from "./outlive-connections.ts";
export { startPgBouncer } from "./pgbouncer.ts";
export { startPostgres } from "./postgres.ts";
export { loseAnswers, loseCommit, roundTrips, roundTripsOfTransaction } from "./probes.ts";
export { startProxy, type TestProxy } from "./proxy.ts";
export { race } from "./race.ts";
export { randomOf } from "./random.ts";
export { SENTINEL_GROUP, startRedis, startRedisSentinel } from "./redis.ts";
export { claimed, requestOf } from "./requests.ts";
export {
  type TransactionScenario,
  type TransactionSetting,
  transactionScenarios,
} from "./transaction-scenarios.ts";
export { beZombie, outliveZombie, type StoppedAt } from "./zombie.ts";
