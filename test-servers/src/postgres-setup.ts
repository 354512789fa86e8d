import type { TestProject } from "vitest/node";
import { startPostgres } from "./postgres.ts";

declare module "vitest" {
  interface ProvidedContext {
    postgresUrl: string;
  }
}

/** Vitest's global set-up of the projects that test on Postgres. */
export default async function setup({ name, provide }: TestProject): Promise<() => Promise<void>> {
  const { url, version, stop } = await startPostgres();
  process.stdout.write(`${name} runs on ${version}.\n`);
  provide("postgresUrl", url);
  return stop;
}
