import type { Process } from "./process.ts";
import type { World } from "./world.ts";

const ID = { digest: "0".repeat(31).concat("1"), scope: "5:steps", key: "k1" };

/**
 * Somebody who keeps progress in a claim, using the contract directly: each step is sent without
 * waiting for the answer to the one before, so that they overtake each other on the way.
 */
export async function makeProgress(world: World, process: Process): Promise<void> {
  const { dice, plan } = world;
  const owner = process.runtime.newOwner();
  const { leaseMs } = plan;
  const retentionMs = 20 * (leaseMs + plan.storeTimeoutMs);
  const claim = { id: ID, owner };
  const request = { ...claim, fingerprint: "1:steps", leaseMs, retentionMs, takeOver: true };
  const one = <T>(asked: Promise<readonly T[]>): Promise<T | undefined> =>
    asked.then(
      ([answer]) => answer,
      () => undefined,
    );
  const outcome = await one(process.front.claim([{ ...request, checkpoint: "step 0" }]));
  if (outcome?.outcome !== "claimed") return;
  const held = { ...claim, token: outcome.token };
  const reached = outcome.checkpoint?.revision ?? 0;
  for (let step = 1; step <= plan.progressSteps; step += 1) {
    const revision = reached + step;
    const checkpoint = { revision, value: `step ${revision}` };
    void one(process.front.renew([{ ...held, leaseMs, checkpoint }]));
    await process.pass(dice.between(0, 0.5) * leaseMs);
  }
  if (dice.chance(0.5)) return;
  await one(process.front.complete([{ ...held, status: "succeeded", body: "json:" }]));
}
