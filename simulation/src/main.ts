import { type ParseArgsConfig, parseArgs } from "node:util";
import type { Bug } from "./bugs/bug.ts";
import { bugs } from "./bugs/bugs.ts";
import { type Explored, explore } from "./explore.ts";
import { BUDGET, type Policy, search } from "./search/search.ts";

const USAGE = `pnpm sim [--seeds N] [--seed S] [--bug NAME | --bug all] [--search N]

  --seeds N    simulates so many worlds; default 2000
  --seed S     begins with this one; alone: shows the history of this world
  --bug NAME   with this fault put into the engine or the store; all: a table of all of them
  --search N   goes through every state that N callers can bring about
`;

const SEEDS = 2_000;
const SEEDS_MAX = 1_000_000_000;
const FAILURES_SHOWN_MAX = 3;
const PROGRESS_EVERY_MS = 200;

/** The command line asks for what there is not. */
class UsageError extends Error {}

const write = (line: string) => process.stdout.write(`${line}\n`);

/** A line that replaces itself, for those who watch. */
function progress(text: () => string): () => void {
  let shownAtMs = 0;
  return () => {
    const nowMs = performance.now();
    if (!process.stderr.isTTY || nowMs - shownAtMs < PROGRESS_EVERY_MS) return;
    shownAtMs = nowMs;
    process.stderr.write(`\r\u001b[K${text()}`);
  };
}

function wholeNumber(name: string, text: string | undefined, max: number): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= 1 && value <= max) return value;
  throw new UsageError(`--${name}: expected a whole number from 1 to ${max}, got '${text}'.`);
}

function bugNamed(name: string): Bug {
  const bug = bugs.find((each) => each.name === name);
  if (bug !== undefined) return bug;
  const names = bugs.map((each) => each.name).join(", ");
  throw new UsageError(`--bug: there is no '${name}'. Expected all, or one of ${names}.`);
}

async function run(from: number, seeds: number, bug: Bug | undefined): Promise<Explored> {
  const startedAtMs = performance.now();
  const perSecond = (done: number) => Math.round((done * 1000) / (performance.now() - startedAtMs));
  let at = { done: 0, failures: 0 };
  const show = progress(
    () => `${at.done} of ${seeds} seeds, ${at.failures} failing, ${perSecond(at.done)}/s`,
  );
  const explored = await explore({
    from,
    seeds,
    ...(bug !== undefined && { bug, failuresMax: FAILURES_SHOWN_MAX }),
    ...(seeds === 1 && { onShown: write }),
    onProgress: (done, failures) => {
      at = { done, failures };
      show();
    },
  });
  if (process.stderr.isTTY) process.stderr.write("\r\u001b[K");
  for (const { shown } of explored.failures.slice(0, FAILURES_SHOWN_MAX)) write(`${shown}\n`);
  for (const { seed, invariant, what } of explored.failures.slice(0, FAILURES_SHOWN_MAX)) {
    write(`seed ${seed} breaks ${invariant}: ${what}`);
  }
  const { done, failures } = explored;
  write(`${done} seeds from ${from}, ${failures.length} failing, ${perSecond(done)} a second`);
  return explored;
}

/** The table of docs/testing.md. */
async function tableOfBugs(from: number, seeds: number): Promise<boolean> {
  let areAllFound = true;
  write("| bug | in | what is wrong | first failing seed | share | breaks |");
  write("| --- | --- | --- | --- | --- | --- |");
  for (const bug of bugs) {
    const { done, failures } = await explore({ from, seeds, bug });
    const [first] = failures;
    areAllFound &&= first !== undefined;
    const share = `${((100 * failures.length) / done).toFixed(2)} %`;
    const broken = [...new Set(failures.map(({ invariant }) => invariant))].join(" ");
    const found = first === undefined ? "none" : String(first.seed);
    write(`| ${[`\`${bug.name}\``, bug.where, bug.what, found, share, broken].join(" | ")} |`);
  }
  return areAllFound;
}

function searchAll(callers: number): boolean {
  let isSound = true;
  const mixes: readonly (readonly [string, (index: number) => Policy])[] = [
    ["at most once", () => "block"],
    ["at least once", () => "rerun"],
    ["both by turns", (index) => (index % 2 === 0 ? "block" : "rerun")],
  ];
  for (const [name, policyOf] of mixes) {
    const startedAtMs = performance.now();
    let at = { states: 0, left: 0 };
    const show = progress(() => `${name}: ${at.states} states, ${at.left} to go`);
    const policies = Array.from({ length: callers }, (_, index) => policyOf(index));
    const onProgress = (states: number, left: number) => {
      at = { states, left };
      show();
    };
    const { states, moves, broken } = search({ policies, budget: BUDGET, onProgress });
    const tookS = ((performance.now() - startedAtMs) / 1000).toFixed(1);
    if (process.stderr.isTTY) process.stderr.write("\r\u001b[K");
    write(`${callers} callers, ${name}: ${states} states, ${moves} moves in ${tookS} s`);
    if (broken === undefined) continue;
    isSound = false;
    write(`${broken.invariant} is broken by:\n  ${broken.path.join("\n  ")}`);
  }
  return isSound;
}

function parsed<Options extends NonNullable<ParseArgsConfig["options"]>>(options: Options) {
  try {
    return parseArgs({ options });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

async function main(): Promise<boolean> {
  const text = { type: "string" } as const;
  const options = {
    seeds: text,
    seed: text,
    bug: text,
    search: text,
    help: { type: "boolean" },
  } as const;
  const { values } = parsed(options);
  if (values.help === true) {
    write(USAGE);
    return true;
  }
  const callers = wholeNumber("search", values.search, 6);
  if (callers !== undefined) {
    const others = (["seed", "seeds", "bug"] as const).filter((name) => name in values);
    if (others.length === 0) return searchAll(callers);
    throw new UsageError(`--search goes through all there is: leave out --${others.join(", --")}.`);
  }
  const from = wholeNumber("seed", values.seed, SEEDS_MAX);
  const seeds = wholeNumber("seeds", values.seeds, SEEDS_MAX) ?? (from === undefined ? SEEDS : 1);
  if (values.bug === "all") return await tableOfBugs(from ?? 1, seeds);
  const bug = values.bug === undefined ? undefined : bugNamed(values.bug);
  const { failures } = await run(from ?? 1, seeds, bug);
  return failures.length === 0;
}

try {
  process.exitCode = (await main()) ? 0 : 1;
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  process.stderr.write(`${error.message}\n\n${USAGE}`);
  process.exitCode = 2;
}
