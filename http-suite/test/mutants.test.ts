import type * as Engine from "@idemkit/engine";
import { memoryStore } from "@idemkit/engine";
import type * as Fastify from "@idemkit/fastify";
import type * as Koa from "@idemkit/koa";
import * as koa from "@idemkit/koa";
import { describe, expect, test } from "vitest";
import { fastifyBinding, koaBinding, prove, type Row, TABLE } from "../src/index.ts";
import { MUTANTS, type Mutant, mutated } from "../src/mutants.ts";

const broken = {
  koa: async (mutant: Mutant) => koaBinding(await mutated<typeof Koa>("koa", mutant)),
  fastify: async (mutant: Mutant) =>
    fastifyBinding(await mutated<typeof Fastify>("fastify", mutant)),
};

const rows = new Map(Object.values(TABLE).flatMap((each) => each.map((row) => [row.title, row])));

function rowOf({ caughtBy }: Mutant): Row {
  const row = rows.get(caughtBy);
  if (row === undefined) throw new Error(`There is no row "${caughtBy}".`);
  return row;
}

for (const name of ["koa", "fastify"] as const) {
  describe(`a broken ${name} binding is found out`, () => {
    for (const mutant of MUTANTS[name]) {
      test(mutant.name, async () => {
        const binding = await broken[name](mutant);
        await expect(prove(rowOf(mutant), binding)).rejects.toThrow();
      });
    }
  });
}

describe("a broken engine is found out", () => {
  for (const mutant of MUTANTS.engine) {
    test(mutant.name, async () => {
      const { createEngine } = await mutated<typeof Engine>("engine", mutant);
      const proof = prove(rowOf(mutant), koaBinding(koa), memoryStore(), createEngine);
      await expect(proof).rejects.toThrow();
    });
  }
});

describe("the table", () => {
  test("has no title twice", () => {
    const titles = Object.values(TABLE).flatMap((each) => each.map(({ title }) => title));
    expect(titles.filter((title, at) => titles.indexOf(title) !== at)).toEqual([]);
  });
});
