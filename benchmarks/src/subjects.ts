import { memorySubjects } from "./memory.ts";
import { mysqlSubjects } from "./mysql.ts";
import { postgresSubjects } from "./postgres.ts";
import { redisSubjects } from "./redis.ts";
import { sqliteSubjects } from "./sqlite.ts";
import type { Subjects } from "./subject.ts";

/** Everything that can be measured. */
export const subjects: Subjects = {
  ...sqliteSubjects,
  ...postgresSubjects,
  ...mysqlSubjects,
  ...redisSubjects,
  ...memorySubjects,
};
