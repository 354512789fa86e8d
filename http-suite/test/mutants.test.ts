import type * as Engine from "@idemkit/engine";
import { memoryStore } from "@idemkit/engine";
import type * as Fastify from "@idemkit/fastify";
import type * as Koa from "@idemkit/koa";
import * as koa from "@idemkit/koa";
import { describe, expect, test } from "vitest";
import { fastifyBinding, koaBinding, prove, type Row, TABLE } from "../src/index.ts";
import { MUTANTS, type Mutant, mutated } from "../src/mutants.ts";

const built = {
  koa: async (mutant?: Mutant) => koaBinding(await mutated<typeof Koa>("koa", mutant)),
  fastify: async (mutant?: Mutant) =>
    fastifyBinding(await mutated<typeof Fastify>("fastify", mutant)),
};

const rows = new Map(Object.values(TABLE).flatMap((each) => each.map((row) => [row.title, row])));

function rowNamed(title: string): Row {
  const row = rows.get(title);
  if (row === undefined) throw new Error(`There is no row "${title}".`);
  return row;
}

const titlesIn = (mutants: readonly Mutant[]) => [
  ...new Set(mutants.map(({ caughtBy }) => caughtBy)),
];

for (const name of ["koa", "fastify"] as const) {
  describe(`a broken ${name} binding is found out`, () => {
    for (const mutant of MUTANTS[name]) {
      test(mutant.name, async () => {
        const binding = await built[name](mutant);
        await expect(prove(rowNamed(mutant.caughtBy), binding)).rejects.toThrow();
      });
    }
  });

  // Otherwise the way of building it could be why a row fails.
  test(`a bundle of the ${name} binding without a fault passes the same rows`, async () => {
    const binding = await built[name]();
    for (const title of titlesIn(MUTANTS[name])) await prove(rowNamed(title), binding);
  });
}

describe("a broken engine is found out", () => {
  for (const mutant of MUTANTS.engine) {
    test(mutant.name, async () => {
      const { createEngine } = await mutated<typeof Engine>("engine", mutant);
      const proof = prove(rowNamed(mutant.caughtBy), koaBinding(koa), memoryStore(), createEngine);
      await expect(proof).rejects.toThrow();
    });
  }

  test("a bundle of the engine without a fault passes the same rows", async () => {
    const { createEngine } = await mutated<typeof Engine>("engine", undefined);
    for (const title of titlesIn(MUTANTS.engine)) {
      await prove(rowNamed(title), koaBinding(koa), memoryStore(), createEngine);
    }
  });
});

describe("the table", () => {
  test("has no title twice", () => {
    const titles = Object.values(TABLE).flatMap((each) => each.map(({ title }) => title));
    expect(titles.filter((title, at) => titles.indexOf(title) !== at)).toEqual([]);
  });
});
