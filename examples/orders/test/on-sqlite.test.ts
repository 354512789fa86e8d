import { join } from "node:path";
import { describe } from "vitest";
import { orderPromises } from "./order-promises.ts";
import { World } from "./world.ts";

describe("on SQLite", () => {
  orderPromises(async () => new World((folder) => `sqlite:${join(folder, "shop.db")}`));
});
