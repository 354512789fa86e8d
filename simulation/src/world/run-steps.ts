import { type Finding, IdempotencyError } from "@idemkit/engine";
import { Declined } from "./declined.ts";
import type { StepPlan } from "./draw-call.ts";
import type { Ear } from "./ear.ts";
import type { FullContext, Site } from "./function.ts";
import type { Reference } from "./provider.ts";

/** The steps of a function, group by group. Those of a group run side by side. */
export async function runSteps(site: Site, context: FullContext, ear: Ear): Promise<void> {
  const { steps, isHasty } = site.plan.work;
  for (const group of steps) {
    const running = Promise.all(group.map((step) => runStep(site, context, ear, step)));
    if (!isHasty || group !== steps.at(-1)) await running;
    else running.catch(() => undefined);
  }
}

async function runStep(site: Site, context: FullContext, ear: Ear, step: StepPlan): Promise<void> {
  const { world, call, record, plan } = site;
  const about = { kind: "step", call, step: step.name } as const;
  const reference = { record, payload: plan.payload, step: step.name };
  const reconcile = async () => {
    const [found] = await ask(site, context.token, step.name, [reference]);
    if (found === undefined || found === "did-not-happen" || found === "still-unknown") {
      return found ?? "still-unknown";
    }
    return { happened: JSON.parse(found.happened) as never };
  };
  world.note({ ...about, as: "asked" });
  try {
    const options = step.isReconcilable ? { reconcile } : {};
    await context.step(step.name, () => inStep(site, context, ear, step) as never, options);
    world.note({ ...about, as: "kept" });
  } catch (error) {
    const code = error instanceof IdempotencyError ? error.code : "its own";
    world.note({ ...about, as: "refused", code });
    if (!(await isCaught(site, context, reference, code))) throw error;
  }
}

async function inStep(
  { world, process, call, record, plan }: Site,
  { token }: FullContext,
  ear: Ear,
  { name, throws }: StepPlan,
): Promise<unknown> {
  const about = { kind: "step", call, step: name } as const;
  world.note({ ...about, as: "begun" });
  const value = { booked: world.nextRun(), payload: plan.payload };
  const order = { record, payload: plan.payload, step: name, call, token };
  try {
    await ear.until(() =>
      world.provider.order(process, { ...order, value: JSON.stringify(value) }, plan.work.mayHang),
    );
    if (throws) throw new Declined(`declined ${name}`);
    world.note({ ...about, as: "returned" });
    return value;
  } catch (error) {
    world.note({ ...about, as: "threw" });
    throw error;
  }
}

/** What the function does about a step that was refused. */
async function isCaught(
  { world, process, call, plan }: Site,
  context: FullContext,
  reference: Reference,
  code: string,
): Promise<boolean> {
  const { catching } = plan.work;
  const isDoubt = code === "OUTCOME_UNKNOWN";
  if (catching !== "resolves" || !isDoubt) {
    return catching === "everything" || (catching === "doubt" && isDoubt);
  }
  const found = await world.provider.find(process, reference).catch(() => "doubtful" as const);
  const { step } = reference;
  if (found === "doubtful") return false;
  const resolution =
    found === "nothing" ? "did-not-happen" : { happened: JSON.parse(found.value) as unknown };
  try {
    await context.steps.resolve(step, resolution);
  } catch {
    return false;
  }
  const finding = resolution === "did-not-happen" ? resolution : "happened";
  world.note({ kind: "resolved", call, step, finding });
  return true;
}

/**
 * Asks the provider about each reference, and writes down the finding about all of them.
 *
 * @param step which step is in doubt; empty: the whole
 */
export async function ask(
  { world, process, call }: Site,
  token: number,
  step: string,
  references: readonly Reference[],
): Promise<readonly Finding<string>[]> {
  const about = { call, step, token };
  world.note({ kind: "asks", ...about });
  const findings: Finding<string>[] = [];
  try {
    for (const reference of references) {
      const found = await world.provider.find(process, reference);
      if (found === "nothing") findings.push("did-not-happen");
      else if (found === "doubtful") findings.push("still-unknown");
      else findings.push({ happened: found.value });
    }
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    world.note({ kind: "found", ...about, finding: "threw", said });
    throw error;
  }
  world.note({ kind: "found", ...about, finding: joined(findings) });
  return findings;
}

/** What findings about the parts mean for the whole. */
export function joined(
  findings: readonly Finding<unknown>[],
): "happened" | "did-not-happen" | "still-unknown" {
  if (findings.every((each) => each === "did-not-happen")) return "did-not-happen";
  return findings.every((each) => typeof each === "object") ? "happened" : "still-unknown";
}
