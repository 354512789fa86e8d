import type { ClaimOutcome } from "@idemkit/engine";
import { storeInAnotherProcess } from "@idemkit/test-servers";
import { expect, onTestFinished, test } from "vitest";
import { migrate, postgresStore } from "../src/index.ts";
import { elapse } from "../src/testing.ts";
import { pool } from "./clients.ts";
import { database } from "./database.ts";
import { requestOf } from "./requests.ts";

const KEYS = 500;
const ROUNDS = 3;

for (const name of ["pg", "postgres.js"]) {
  test(`two processes with four connections each on ${name}: one winner for each of ${KEYS} keys`, async () => {
    const url = await database();
    const client = pool(url, onTestFinished);
    await migrate(client);
    const script = new URL("store-process.ts", import.meta.url);
    const processes = await Promise.all(
      [1, 2].map(() => storeInAnotherProcess(script, [name, url, "4"], onTestFinished)),
    );
    const lastTokens = new Map<string, number>();
    for (let round = 0; round < ROUNDS; round += 1) {
      const keys = Array.from({ length: KEYS }, (_, index) => `k${index}`);
      // Each process asks for every key four times, in lists and alone.
      const asked = processes.flatMap((store) => [
        ...keys.map((key) => [store, [requestOf(key, { takeOver: true })]] as const),
        ...keys.map((key) => [store, [requestOf(key, { takeOver: true })]] as const),
        ...Array.from({ length: 10 }, (_, part) => {
          const some = keys.filter((__, index) => index % 10 === part);
          return [store, some.map((key) => requestOf(key, { takeOver: true }))] as const;
        }),
      ]);
      const outcomes = await Promise.all(
        asked.map(async ([store, requests]) => [requests, await store.claim(requests)] as const),
      );
      const won = new Map<string, { owner: string; outcome: ClaimOutcome }[]>();
      for (const [requests, answers] of outcomes) {
        for (const [index, { id, owner }] of requests.entries()) {
          const outcome = answers[index];
          if (outcome?.outcome !== "claimed") continue;
          won.set(id.key, [...(won.get(id.key) ?? []), { owner, outcome }]);
        }
      }
      expect([...won.values()].map((winners) => winners.length)).toEqual(
        Array.from({ length: KEYS }, () => 1),
      );
      for (const [key, [winner]] of won) {
        if (winner?.outcome.outcome !== "claimed") throw new Error("expected a winner");
        expect(winner.outcome.token).toBeGreaterThan(lastTokens.get(key) ?? 0);
        lastTokens.set(key, winner.outcome.token);
      }
      // The next round takes all of them over, and stale owners are refused.
      const stale = [...won].map(([key, [winner]]) => ({
        id: requestOf(key).id,
        owner: winner?.owner ?? "",
        token: (lastTokens.get(key) ?? 0) - 1,
      }));
      const refused = await processes[0]?.complete(
        stale.map((claim) => ({ ...claim, status: "succeeded", body: "stale" })),
      );
      expect(refused?.some((each) => each)).toBe(false);
      await elapse(client, 60_000);
    }
    const { rows } = await client.query("SELECT DISTINCT status, attempt FROM idemkit_records");
    expect(rows).toEqual([{ status: "claimed", attempt: ROUNDS }]);
    await postgresStore(client).check({ durability: "process-kill" });
  }, 120_000);
}
