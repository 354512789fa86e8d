import { begin } from "./begin.ts";
import type { ClaimScope } from "./claim-scope.ts";
import { describe } from "./describe.ts";
import { ConflictError, IdempotencyError, InProgressError, ReplayedError } from "./errors.ts";
import type { HeldClaim } from "./held-claim.ts";
import type { Line, LineResult, LinesContext, NewLine, Verdict } from "./lines.ts";
import type { Call } from "./meet.ts";
import type { Settings } from "./options.ts";
import { endFailed } from "./run.ts";

/** A line with what it is asked for by. */
export interface LineCall {
  readonly line: Line<unknown>;
  readonly call: Call;
}

export type LinesFn = (
  lines: readonly NewLine<unknown>[],
  context: LinesContext<unknown>,
) => readonly LineResult<unknown>[] | Promise<readonly LineResult<unknown>[]>;

/** A line that is this call's to do. */
interface Task {
  readonly line: Line<unknown>;
  readonly claim: HeldClaim;
}

type Verdicts = Map<string, Verdict<unknown>>;

/**
 * Claims the lines, runs the function once on those that are new, and records what came of each. While
 * it holds claims it waits for nobody: lines that others run are asked for again when its own are done.
 */
export async function executeMany(
  scope: ClaimScope,
  calls: readonly LineCall[],
  fn: LinesFn,
): Promise<readonly Verdict<unknown>[]> {
  const firsts = new Map<string, LineCall>();
  for (const each of calls) if (!firsts.has(each.line.key)) firsts.set(each.line.key, each);
  const distinct = [...firsts.values()];
  const verdicts: Verdicts = new Map();
  const tasks = await claimEach(scope, distinct, verdicts);
  if (tasks.length > 0) await new Work(scope, tasks, verdicts).run(fn);
  const { onDuplicate } = scope.settings;
  if (onDuplicate !== "reject") await waitForOthers(scope, distinct, verdicts, tasks.length > 0);
  return calls.map((each) => verdictFor(each, firsts, verdicts));
}

/** A line that came before in the same batch has its verdict from there. */
function verdictFor(
  { line: { key }, call }: LineCall,
  firsts: ReadonlyMap<string, LineCall>,
  verdicts: Verdicts,
): Verdict<unknown> {
  const first = firsts.get(key)?.call;
  const verdict = verdicts.get(key) as Verdict<unknown>;
  if (first === call) return verdict;
  if (first?.fingerprint !== call.fingerprint) return { key, verdict: "conflict" };
  return verdict.verdict === "executed" ? replayed(key, verdict) : verdict;
}

/** In the order of their digests, in which everybody locks them. */
async function claimEach(
  scope: ClaimScope,
  calls: readonly LineCall[],
  verdicts: Verdicts,
): Promise<readonly Task[]> {
  const asking = { ...scope, settings: { ...scope.settings, onDuplicate: "reject" } as Settings };
  const sorted = calls.toSorted((one, other) => (digestOf(one) < digestOf(other) ? -1 : 1));
  const tasks = new Map<string, Task>();
  const asked = sorted.map(async ({ line, call }) => {
    const met = await meetLine(asking, call, line.key);
    if ("claim" in met) tasks.set(line.key, { line, claim: met.claim });
    else verdicts.set(line.key, met);
  });
  const failed = (await Promise.allSettled(asked)).find((each) => each.status === "rejected");
  if (failed !== undefined) {
    // Nothing has run yet: what was claimed is given back.
    const giveBack = ({ claim }: Task) =>
      scope.client.isBound ? claim.abandon() : claim.giveBack();
    await Promise.all([...tasks.values()].map(giveBack));
    throw failed.reason;
  }
  return calls.flatMap(({ line }) => tasks.get(line.key) ?? []);
}

function digestOf({ call }: LineCall): string {
  return call.id.digest;
}

/** @throws what is not about the line: the store's trouble, say */
async function meetLine(
  scope: ClaimScope,
  call: Call,
  key: string,
): Promise<{ readonly claim: HeldClaim } | Verdict<unknown>> {
  try {
    const begun = await begin(scope, call);
    if (begun.kind === "execute") return { claim: begun.claim };
    if (begun.notKept !== undefined) throw begun.notKept;
    return replayed(key, begun);
  } catch (error) {
    const verdict = verdictOf(key, error);
    if (verdict === undefined) throw error;
    return verdict;
  }
}

function replayed(key: string, { value }: { readonly value: unknown }): Verdict<unknown> {
  return { key, verdict: "replayed", value };
}

function inProgress(key: string, retryAfterMs: number): Verdict<unknown> {
  return { key, verdict: "in-progress", retryAfterMs };
}

function verdictOf(key: string, error: unknown): Verdict<unknown> | undefined {
  if (error instanceof ConflictError) return { key, verdict: "conflict" };
  if (error instanceof InProgressError) return inProgress(key, error.retryAfterMs);
  if (error instanceof ReplayedError) return { key, verdict: "failed", error: error.cause };
  const code = error instanceof IdempotencyError ? error.code : undefined;
  const isOpen = code === "OUTCOME_UNKNOWN" || code === "LEASE_LOST";
  if (isOpen || code === "RESULT_UNAVAILABLE") return { key, verdict: "unknown", error };
  return undefined;
}

/** The function's run on the lines that are this call's to do. */
class Work {
  readonly #scope: ClaimScope;
  readonly #tasks: readonly Task[];
  readonly #open: Map<string, HeldClaim>;
  readonly #verdicts: Verdicts;
  /** Lines that are being recorded, awaited by the function or not. */
  readonly #ending = new Set<Promise<void>>();

  constructor(scope: ClaimScope, tasks: readonly Task[], verdicts: Verdicts) {
    this.#scope = scope;
    this.#tasks = tasks;
    this.#verdicts = verdicts;
    this.#open = new Map(tasks.map(({ line, claim }) => [line.key, claim]));
  }

  async run(fn: LinesFn): Promise<void> {
    const lines = this.#tasks.map(({ line, claim }) => {
      const { key, payload } = line;
      const { attempt, token } = claim;
      return { key, payload, attempt, token };
    });
    let returned: unknown;
    try {
      returned = await fn(lines, this.#context());
      await Promise.all(this.#ending);
    } catch (error) {
      await Promise.allSettled(this.#ending);
      await Promise.all([...this.#open].map(([key]) => this.#failOrAbandon(key, error)));
      throw error;
    }
    const problem = problemWith(returned);
    const results = problem === undefined ? (returned as readonly LineResult<unknown>[]) : [];
    const known = new Set(lines.map(({ key }) => key));
    const strange = results.find(({ key }) => !known.has(key));
    await Promise.all(results.map((result) => this.#record(result)));
    // The function has returned, but has not said whether it did these.
    const silent = new Error("The function returned no result for this line.");
    await Promise.all([...this.#open].map(([key]) => this.#leaveOpen(key, silent)));
    if (problem !== undefined) throw problem;
    if (strange === undefined) return;
    throw new TypeError(
      `fn: expected results for the keys that it was given, got ${describe(strange.key)}. ` +
        "The results of all other lines are recorded.",
    );
  }

  #context(): LinesContext<unknown> {
    let signal: AbortSignal | undefined;
    const made = () => this.#madeSignal();
    return {
      get signal() {
        signal ??= made();
        return signal;
      },
      done: async (key, value) => {
        if (!this.#open.has(key)) {
          throw new Error("done(): expected the key of a line that is still to be done.");
        }
        const ending = this.#complete(key, value).finally(() => this.#ending.delete(ending));
        this.#ending.add(ending);
        await ending;
      },
    };
  }

  /** The abort of one line's claim aborts the function, and so may be why it throws for all of them. */
  #madeSignal(): AbortSignal {
    const signal = AbortSignal.any(this.#tasks.map(({ claim }) => claim.signal));
    const cutOff = () => {
      for (const claim of this.#open.values()) claim.cutOff(signal.reason);
    };
    if (signal.aborted) cutOff();
    else signal.addEventListener("abort", cutOff, { once: true });
    return signal;
  }

  async #record(result: LineResult<unknown>): Promise<void> {
    if (!this.#open.has(result.key)) return;
    const { key, value, error } = result as { key: string; value?: unknown; error?: unknown };
    if ("error" in result && (error !== undefined || !("value" in result))) {
      await this.#fail(key, error);
    } else {
      await this.#complete(key, value);
    }
  }

  async #complete(key: string, value: unknown): Promise<void> {
    await this.#end(key, async (claim) => {
      const { recorded } = await claim.complete(value);
      return { key, verdict: "executed", value, recorded };
    });
  }

  async #fail(key: string, error: unknown): Promise<void> {
    await this.#end(key, async (claim) => {
      const isOpen = (await endFailed(claim, error, this.#scope.settings)).kind === "open";
      if (!isOpen) return { key, verdict: "failed", error };
      return { key, verdict: "unknown", error: claim.abortReason ?? error };
    });
  }

  async #leaveOpen(key: string, error: unknown): Promise<void> {
    await this.#end(key, async (claim) => {
      await claim.leaveOpen();
      return { key, verdict: "unknown", error };
    });
  }

  /** In somebody's transaction there is nothing to write: it has to be rolled back. */
  async #failOrAbandon(key: string, error: unknown): Promise<void> {
    if (!this.#scope.client.isBound) return await this.#fail(key, error);
    this.#open.get(key)?.abandon();
  }

  /** Each line ends once, and a claim that was lost is its own line's matter alone. */
  async #end(key: string, end: (claim: HeldClaim) => Promise<Verdict<unknown>>): Promise<void> {
    const claim = this.#open.get(key);
    if (claim === undefined) return;
    this.#open.delete(key);
    try {
      this.#verdicts.set(key, await end(claim));
    } catch (error) {
      const verdict = verdictOf(key, error);
      if (verdict === undefined) throw error;
      this.#verdicts.set(key, verdict);
    }
  }
}

function problemWith(results: unknown): TypeError | undefined {
  const isSound = (result: unknown) =>
    typeof result === "object" && result !== null && "key" in result;
  if (Array.isArray(results) && results.every(isSound)) return undefined;
  const expected = "expected a list of { key, value } or { key, error }";
  return new TypeError(
    `fn: ${expected}, got ${describe(results)}. The outcome of lines without a result is left open.`,
  );
}

/** What others have left undone meanwhile is left to the next call: the function runs once. */
async function waitForOthers(
  scope: ClaimScope,
  calls: readonly LineCall[],
  verdicts: Verdicts,
  hasRun: boolean,
): Promise<void> {
  const waiting = calls.filter(({ line }) => verdicts.get(line.key)?.verdict === "in-progress");
  await Promise.all(
    waiting.map(async ({ line, call }) => {
      const met = await meetLine(scope, call, line.key).catch((error: unknown) => {
        if (!hasRun) throw error;
      });
      // If the function has run, the results of its lines are not lost because a wait is cut short.
      if (met === undefined) return;
      if (!("claim" in met)) verdicts.set(line.key, met);
      else await met.claim.giveBack();
    }),
  );
}
