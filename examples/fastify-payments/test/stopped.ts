import { fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { PretendedNetwork } from "../src/card-network.ts";
import { ANN } from "./accounts.ts";
import type { Doomed } from "./doomed-server.ts";
import { STOP_POINTS, type StopPoint, watchedNetwork } from "./stop-points.ts";
import { listening, newFolder } from "./world.ts";

/** Short, because the tests wait for the leases of stopped runs. */
const LEASE_MS = 500;
const TRIES_MAX = 100;
const PAUSE_MS = 100;
const ABORT_MS = 50;
const HANGING_MS = 20_000;
const SCRIPT = fileURLToPath(new URL("doomed-server.ts", import.meta.url));

/** Charges that are stopped half-way, on any database. */
export function stoppedCharges(newDatabase: (folder: string) => Promise<string>): void {
  for (const { point, when, isDone } of STOP_POINTS) {
    test(`killed ${when}: one row, one authorisation, one response`, async () => {
      const folder = newFolder();
      const database = await newDatabase(folder);
      const networkFile = join(folder, "network.db");
      await killed({ database, networkFile, leaseMs: LEASE_MS, diesAt: point });
      await expectOneCharge(database, networkFile, isDone);
    });

    test(`aborted ${when}: one row, one authorisation, one response`, async () => {
      const folder = newFolder();
      const database = await newDatabase(folder);
      const networkFile = join(folder, "network.db");
      const wasDone = await aborted(database, networkFile, point);
      await expectOneCharge(database, networkFile, wasDone);
    });
  }
}

/** Has a process of its own charge, until it kills itself. */
async function killed(doomed: Doomed): Promise<void> {
  const child = fork(SCRIPT, [JSON.stringify(doomed)], {
    execArgv: ["--conditions=@idemkit/source", "--import", "tsx"],
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const exited = once(child, "exit");
  const unready = exited.then(([code]) => {
    throw new Error(`The server ended before it listened, exit code ${code}.`);
  });
  const [origin] = (await Promise.race([once(child, "message"), unready])) as [string];
  unready.catch(() => undefined);
  await expect(post(origin)).rejects.toThrow("fetch failed");
  expect(await exited).toEqual([null, "SIGKILL"]);
}

/** Closes the engine at a point, as a deploy without patience does. Returns whether it was done by then. */
async function aborted(database: string, networkFile: string, at: StopPoint): Promise<boolean> {
  let close: (() => Promise<void>) | undefined;
  const watch = async (point: StopPoint, signal?: AbortSignal) => {
    if (point !== at || close === undefined) return;
    void close();
    close = undefined;
    // A network that does not respond is cut off by the signal.
    if (signal === undefined) await sleep(ABORT_MS);
    else await sleep(HANGING_MS, undefined, { signal });
  };
  const network = watchedNetwork(new PretendedNetwork(networkFile), watch);
  const { origin, engine, app } = await listening({
    ...{ database, networkFile, network, watch, leaseMs: LEASE_MS },
  });
  close = async () => await engine.close({ graceMs: 0 });
  const { status } = await post(origin);
  expect([200, 409, 503]).toContain(status);
  await app.close();
  return status === 200;
}

async function expectOneCharge(
  database: string,
  networkFile: string,
  isDone: boolean,
): Promise<void> {
  const { origin, rows, authorisations } = await listening({
    ...{ database, networkFile, leaseMs: LEASE_MS },
  });
  const final = await persistently(origin);
  expect(final).toMatchObject({ status: 200, isReplayed: isDone });
  const { id } = final.json as { readonly id: string };
  expect(await post(origin)).toEqual({ ...final, isReplayed: true });
  expect(await rows()).toEqual([{ id, orderId: "order-1", status: "succeeded" }]);
  expect(authorisations()).toEqual([{ verdict: "approved", timesAsked: 1 }]);
}

async function post(origin: string) {
  const response = await fetch(`${origin}/v1/charges`, {
    method: "POST",
    headers: { authorization: `Bearer ${ANN}`, "idempotency-key": "k" },
    body: new URLSearchParams({
      ...{ amount: "2000", currency: "eur", source: "tok_visa", "metadata[order_id]": "order-1" },
    }),
  });
  const isReplayed = response.headers.get("idempotent-replayed") === "true";
  return { status: response.status, json: (await response.json()) as unknown, isReplayed };
}

/** Sends the request again with the same key until the first one's lease is over, as a client does. */
async function persistently(origin: string) {
  for (let tries = 1; ; tries += 1) {
    const response = await post(origin);
    const isToRetry = response.status === 409 || response.status === 503;
    if (!isToRetry || tries === TRIES_MAX) return response;
    await sleep(PAUSE_MS);
  }
}
