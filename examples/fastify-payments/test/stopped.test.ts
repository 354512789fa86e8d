import { join } from "node:path";
import { describe } from "vitest";
import { stoppedCharges } from "./stopped.ts";

describe("charges on SQLite", () => {
  stoppedCharges(async (folder) => join(folder, "payments.db"));
});
