import { fileURLToPath } from "node:url";
import { bundled, type Edit } from "@idemkit/source-edits";
import { ENGINE } from "./mutants/engine.ts";
import { FASTIFY } from "./mutants/fastify.ts";
import { KOA } from "./mutants/koa.ts";
import { OUTCOMES } from "./mutants/outcomes.ts";
import { REQUESTS } from "./mutants/requests.ts";

/** One rule, broken on purpose, and the row that has to notice. */
export interface Mutant extends Edit {
  readonly name: string;
  /** The title of a row that has to fail. */
  readonly caughtBy: string;
}

const packages = fileURLToPath(new URL("../../packages/", import.meta.url));

/** A package with a mutant in its source, or in that of its dependencies; or as it is. */
export async function mutated<M>(
  name: "engine" | "fastify" | "koa",
  mutant: Mutant | undefined,
): Promise<M> {
  const fault = mutant && { name: mutant.name, edits: [mutant] };
  return (await import((await bundled(`${packages}${name}/src/index.ts`, fault)).href)) as M;
}

/** Mutants by the package that is broken by them. */
export const MUTANTS = {
  engine: ENGINE,
  koa: [...REQUESTS, ...OUTCOMES, ...KOA],
  fastify: [...REQUESTS, ...OUTCOMES, ...FASTIFY],
} as const;
