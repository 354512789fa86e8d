import type { ClaimContext, Context, TransactionalContext } from "@idemkit/engine";
import type { Tx } from "./database.ts";
import { Declined } from "./declined.ts";
import { type CallPlan, ENDS } from "./draw-call.ts";
import { Ear } from "./ear.ts";
import type { Process } from "./process.ts";
import type { Reference } from "./provider.ts";
import { runSteps } from "./run-steps.ts";
import type { World } from "./world.ts";

/** What a function returns: it says whose it is, so that no other is mistaken for it. */
export interface Result {
  run: number;
  canary: string;
  payload: string;
  lines: string[];
  /** There where the result is not to survive JSON. */
  total?: bigint;
}

/** The context of a function that may do everything. */
export type FullContext = TransactionalContext<unknown, false>;

/** Where a function runs, and what it was made to do. */
export interface Site {
  readonly world: World;
  readonly process: Process;
  readonly call: number;
  readonly record: string;
  readonly plan: CallPlan;
}

const NOTHING = Symbol("nothing was thrown");

export class SimulatedFunction {
  readonly #site: Site;
  #thrown: unknown = NOTHING;

  constructor(site: Site) {
    this.#site = site;
  }

  /** Whether the function itself has thrown this. */
  hasThrown(error: unknown): boolean {
    return error === this.#thrown;
  }

  /** Throws an error as its own. */
  throws(error: unknown): never {
    this.#thrown = error;
    throw error;
  }

  /** The function of `execute`, and what a handler does after `begin`. */
  async run(context: Context): Promise<Result> {
    const { world, call, plan } = this.#site;
    const { token, attempt } = context;
    world.note({ kind: "run", call, token, attempt });
    const ear = new Ear(world, call, context, plan.work.listening);
    try {
      const result = await this.#work(context as FullContext, ear);
      world.note({ kind: "ran", call, end: "complete", said: textOf(result) });
      return result;
    } catch (error) {
      world.note({ kind: "ran", call, end: ENDS[plan.policy], said: messageOf(error) });
      return this.throws(error);
    }
  }

  /** The work of `engine.transaction`. */
  async transact(tx: Tx, context: ClaimContext): Promise<Result> {
    const { world, call, plan } = this.#site;
    const ear = new Ear(world, call, context, plan.work.listening);
    return await this.#write(tx, context, ear);
  }

  async #work(context: FullContext, ear: Ear): Promise<Result> {
    const { world, process, call, record, plan } = this.#site;
    const { work, payload } = plan;
    const result = this.#result(world.nextRun());
    switch (work.kind) {
      case "calls": {
        const order = { record, payload, step: "", call, token: context.token };
        const value = textOf({ ...result, total: undefined });
        await ear.until(() => world.provider.order(process, { ...order, value }, work.mayHang));
        break;
      }
      case "steps":
        await runSteps(this.#site, context, ear);
        break;
      case "transacts":
        return await this.#transactHere(context, ear);
      default:
        break;
    }
    if (work.durationMs > 0) await ear.until(() => process.pass(work.durationMs));
    this.#throwIfPlanned(result);
    return result;
  }

  async #transactHere(context: FullContext, ear: Ear): Promise<Result> {
    const { world, plan } = this.#site;
    const { afterwards } = plan.work;
    const other = () => this.#result(world.nextRun());
    let result: Result;
    try {
      result = await context.transaction((tx) => this.#write(tx as Tx, context, ear) as never);
    } catch (error) {
      if (afterwards === "returns another") return other();
      throw error;
    }
    if (afterwards === "throws") throw new Declined("after the transaction");
    return afterwards === "returns another" ? other() : result;
  }

  async #write(tx: Tx, { token, attempt }: ClaimContext, ear: Ear): Promise<Result> {
    const { world, process, call, plan } = this.#site;
    const { rows, durationMs } = plan.work;
    const run = world.nextRun();
    world.note({ kind: "works", call, token, attempt });
    try {
      for (let row = 0; row < rows; row += 1) {
        await tx.insert(call, { run, of: rows });
        if (durationMs > 0) await ear.until(() => process.pass(durationMs / rows));
      }
      const result = this.#result(run);
      this.#throwIfPlanned(result);
      world.note({ kind: "worked", call, hasThrown: false, said: textOf(result) });
      return result;
    } catch (error) {
      world.note({ kind: "worked", call, hasThrown: true, said: messageOf(error) });
      return this.throws(error);
    }
  }

  #result(run: number): Result {
    const { scope, payload, isKeepable } = this.#site.plan;
    const result: Result = { run, canary: `canary-${scope}`, payload, lines: ["paid"] };
    if (!isKeepable) result.total = 10n;
    return result;
  }

  #throwIfPlanned({ run, payload, canary }: Result): void {
    if (!this.#site.plan.throws) return;
    throw new Declined(`declined run ${run} of ${payload} with ${canary}`);
  }
}

/** What a call refers to at the provider, step by step. */
export function referencesOf({ record, plan }: Site): readonly Reference[] {
  const { payload, work } = plan;
  if (work.kind !== "steps") return [{ record, payload, step: "" }];
  return work.steps.flat().map(({ name }) => ({ record, payload, step: name }));
}

export function textOf(value: unknown): string {
  return (
    JSON.stringify(value, (_name, each: unknown) =>
      typeof each === "bigint" ? `${each}n` : each,
    ) ?? ""
  );
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
