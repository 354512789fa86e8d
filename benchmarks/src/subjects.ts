import { memorySubjects } from "./memory.ts";
import { postgresSubjects } from "./postgres.ts";
import { sqliteSubjects } from "./sqlite.ts";
import type { Subjects } from "./subject.ts";

/** Everything that can be measured. */
export const subjects: Subjects = { ...sqliteSubjects, ...postgresSubjects, ...memorySubjects };
