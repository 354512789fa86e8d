import { describe } from "vitest";
import { promises } from "./promises.ts";

describe("on SQLite", () => {
  promises(async () => undefined);
});
