export type { CheckOptions, Durability } from "@idemkit/engine/model";
export type { CheckReport } from "./check.ts";
export type { RedisClient } from "./client.ts";
export type { RedisStoreOptions } from "./options.ts";
export { type RedisStore, redisStore } from "./redis-store.ts";
export type { RedisWaitClient } from "./replicas.ts";
