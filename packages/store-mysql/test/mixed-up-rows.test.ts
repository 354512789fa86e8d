import { mixedUpRows } from "@idemkit/test-servers";
import { describe, onTestFinished, test } from "vitest";
import { migrate, mysqlStore } from "../src/index.ts";
import { pool } from "./clients.ts";
import { database, servers } from "./database.ts";
import { intercepting } from "./intercepting.ts";

type Rows = readonly unknown[];

describe.each(servers)("on %s", (_version, server) => {
  for (const { title, run } of mixedUpRows) {
    test(title, async () => {
      const client = pool(await database(server), onTestFinished);
      await migrate(client);
      let change = (rows: Rows) => rows;
      const mixing = intercepting(
        client,
        () => undefined,
        (rows) => change(rows),
      );
      await run({
        store: mysqlStore(mixing) as never,
        change: (how) => {
          change = how;
        },
      });
    });
  }
});
