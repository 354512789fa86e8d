import { AssertionError } from "node:assert/strict";
import { expect, test } from "vitest";
import { clauses } from "../src/index.ts";
import { clockMutants } from "./clock-mutants.ts";
import { lifeMutants } from "./life-mutants.ts";
import { listMutants } from "./list-mutants.ts";
import { mutants as otherMutants } from "./mutants.ts";

const mutants = [...otherMutants, ...listMutants, ...lifeMutants, ...clockMutants];

test("there are at least 25 mutants, each with a name of its own", () => {
  expect(new Set(mutants.map(({ name }) => name)).size).toBeGreaterThanOrEqual(25);
  expect(new Set(mutants.map(({ name }) => name)).size).toBe(mutants.length);
});

for (const { name, caughtBy, harness } of mutants) {
  test(`a store that ${name} is caught by ${caughtBy}`, async () => {
    const clause = clauses.find(({ id }) => id === caughtBy);
    await expect(clause?.check(harness())).rejects.toThrow(Error);
    const failure: unknown = await clause?.check(harness()).catch((error: unknown) => error);
    // A mutant that throws by itself would be caught by any clause; only one of them may.
    if (name !== "fails on an empty list") expect(failure).toBeInstanceOf(AssertionError);
  });
}
