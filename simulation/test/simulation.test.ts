import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { bugs } from "../src/bugs/bugs.ts";
import { check } from "../src/check/checker.ts";
import { INVARIANTS } from "../src/check/invariants.ts";
import { explore } from "../src/explore.ts";
import { print } from "../src/print.ts";
import { simulate } from "../src/simulate.ts";

const SEEDS = 2_000;

/** Worlds that found a fault of the engine, its rules or the checker which is no seeded bug. */
const PAST = [
  67, 211, 1173, 8343, 9705, 15762, 39855, 55254, 55816, 74972, 92881, 101541, 128677, 153390,
  168181, 200587, 322198, 393211, 437994, 530130, 713186, 915007,
];

const page = readFileSync(new URL("../../docs/testing.md", import.meta.url), "utf8");

/** The table of docs/testing.md: at which seed each bug was found first, and what it broke. */
const found = page
  .split("\n")
  .map((line) =>
    /^\| `([a-z-]+)` \| (engine|front|store) \| .* \| (\d+) \| .* \| ([A-Z0-9 ]+) \|$/.exec(line),
  )
  .filter((row) => row !== null)
  .map(([, name = "", , seed = "", broken = ""]) => ({
    name,
    seed: Number(seed),
    broken: broken.split(" "),
  }));

describe("a simulated world", () => {
  test("has the same history for the same seed", async () => {
    for (const seed of [3, 14, 159]) {
      const [once, again] = [await simulate(seed), await simulate(seed)];
      expect(print(again)).toBe(print(once));
    }
    expect(print(await simulate(4))).not.toBe(print(await simulate(3)));
  });

  test("keeps every invariant at the seeds that found a fault before", async () => {
    for (const seed of new Set([...PAST, ...found.map((each) => each.seed)])) {
      expect(check(await simulate(seed)), `seed ${seed}`).toEqual([]);
    }
  });

  test(`keeps every invariant over ${SEEDS} seeds`, async () => {
    const { done, failures } = await explore({ from: 1, seeds: SEEDS });
    expect(failures).toEqual([]);
    expect(done).toBe(SEEDS);
  }, 60_000);
});

test("the invariants stand in docs/testing.md as they are checked", () => {
  const listed = [...page.matchAll(/^\| ([CFIL]\d+) \| (.*) \|$/gm)].map(([, id, title]) => [
    id,
    title,
  ]);
  expect(listed).toEqual(Object.entries(INVARIANTS));
});

describe("a seeded bug", () => {
  test("stands in the table, each with the seed that found it", () => {
    expect(found.map(({ name }) => name)).toEqual(bugs.map(({ name }) => name));
  });

  for (const bug of bugs) {
    test(`is found: ${bug.name}`, async () => {
      const { seed = 0, broken = [] } = found.find(({ name }) => name === bug.name) ?? {};
      const { failures } = await explore({ from: seed, seeds: 1, bug });
      expect(failures.map(({ invariant }) => invariant)).toHaveLength(1);
      expect(broken).toContain(failures[0]?.invariant);
    });
  }
});
