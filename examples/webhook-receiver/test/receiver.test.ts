import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import type { Doomed } from "../src/doomed-process.ts";
import { openReceiver, type Receiver } from "../src/receiver.ts";
import { SECRET, Sender } from "./sender.ts";

const LEASE_MS = 400;
const DOOMED = fileURLToPath(new URL("../src/doomed-process.ts", import.meta.url));

interface Open extends Receiver {
  readonly sender: Sender;
  readonly origin: string;
}

function newDatabase(): string {
  const folder = mkdtempSync(join(tmpdir(), "idemkit-webhooks-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, "receiver.db");
}

async function open(
  database = newDatabase(),
  rateOf: (currency: string) => Promise<number> = async () => 1,
): Promise<Open> {
  const receiver = await openReceiver({ database, secret: SECRET, rateOf, leaseMs: LEASE_MS });
  onTestFinished(async () => {
    receiver.app.server.closeAllConnections();
    await receiver.app.close();
  });
  const origin = await receiver.app.listen({ port: 0, host: "127.0.0.1" });
  return { ...receiver, origin, sender: new Sender(origin) };
}

test("redeliveries whose bodies differ credit a deposit once", async () => {
  const { sender, accounts } = await open();
  accounts.open("ann");
  const first = await sender.deliver({ id: "msg_1" });
  expect(first).toEqual({ status: 200, body: { balanceCents: 500 }, isReplayed: false });
  for (let attempt = 2; attempt <= 4; attempt += 1) {
    expect(await sender.deliver({ id: "msg_1" })).toEqual({ ...first, isReplayed: true });
  }
  expect(await sender.deliver({ id: "msg_2" })).toMatchObject({ body: { balanceCents: 1000 } });
  expect(accounts.balanceCents("ann")).toBe(1000);
});

test("a delivery that fails at first is credited at its redelivery", async () => {
  let lookups = 0;
  const { sender, accounts } = await open(newDatabase(), async () => {
    lookups += 1;
    if (lookups === 1) throw new Error("The rates are not available.");
    return 0.9;
  });
  const deposit = { id: "msg_1", currency: "USD" };
  expect((await sender.deliver(deposit)).status).toBe(500);
  expect((await sender.deliver(deposit)).status).toBe(409);
  accounts.open("ann");
  expect(await sender.deliver(deposit)).toMatchObject({ status: 200, isReplayed: false });
  expect(await sender.deliver(deposit)).toMatchObject({ status: 200, isReplayed: true });
  expect(accounts.balanceCents("ann")).toBe(450);
});

test("a forged delivery that comes first claims nothing, and the real one is credited", async () => {
  const { sender, accounts, engine, origin } = await open();
  accounts.open("ann");
  const other = `whsec_${Buffer.alloc(24, 8).toString("base64")}`;
  const forged = await new Sender(origin, other).deliver({ id: "msg_1", amountCents: 9_999_999 });
  expect(forged).toMatchObject({ status: 401, body: { code: "signature-invalid" } });
  expect(await engine.inspect("deposits", "msg_1")).toBeUndefined();
  expect(await sender.deliver({ id: "msg_1" })).toMatchObject({ status: 200, isReplayed: false });
  expect(accounts.balanceCents("ann")).toBe(500);
});

test("deliveries of one event at the same time credit it once", async () => {
  const { sender, accounts } = await open();
  accounts.open("ann");
  const replies = await Promise.all(
    Array.from({ length: 10 }, () => sender.deliver({ id: "msg_1" })),
  );
  // A sender takes 409 for a failure and delivers the event later.
  expect(replies.filter(({ status }) => ![200, 409].includes(status))).toEqual([]);
  expect(replies.filter(({ status, isReplayed }) => status === 200 && !isReplayed)).toHaveLength(1);
  expect(accounts.balanceCents("ann")).toBe(500);
});

test("an event of another type is taken, and one that cannot be read is not", async () => {
  const { sender } = await open();
  expect((await sender.deliver({ id: "msg_1", type: "account.closed" })).status).toBe(204);
  expect((await sender.deliver({ id: "msg_1", type: "account.closed" })).isReplayed).toBe(true);
  expect((await sender.deliver({ id: "msg_2", amountCents: 0.5 })).status).toBe(422);
});

test.each(["rate", "reply"] as const)(
  "a receiver is killed at its %s: the redelivery to the next one leaves one credit",
  async (diesAt) => {
    const database = newDatabase();
    await killedReceiver({ database, secret: SECRET, leaseMs: LEASE_MS, diesAt });
    const { sender, accounts } = await open(database);
    expect(accounts.balanceCents("ann")).toBe(diesAt === "rate" ? 0 : 500);
    // Until its lease is over, the dead process holds the event.
    const deliver = async () => (await sender.deliver({ id: "msg_1" })).status;
    await expect.poll(deliver, { timeout: 10_000, interval: 50 }).toBe(200);
    expect(await sender.deliver({ id: "msg_1" })).toMatchObject({
      body: { balanceCents: 500 },
      isReplayed: true,
    });
    expect(accounts.balanceCents("ann")).toBe(500);
  },
);

/** Delivers `msg_1` to a receiver in a process of its own, and kills it in the middle. */
async function killedReceiver(doomed: Doomed): Promise<void> {
  const child = fork(DOOMED, [JSON.stringify(doomed)], {
    execArgv: ["--conditions=@idemkit/source", "--import", import.meta.resolve("tsx")],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const [{ origin }] = (await once(child, "message")) as [{ readonly origin: string }];
  const dying = once(child, "message");
  const delivery = new Sender(origin).deliver({ id: "msg_1" });
  // Its connection is cut.
  const cut = expect(delivery).rejects.toThrow();
  const [message] = (await dying) as [unknown];
  expect(message).toEqual({ diesAt: doomed.diesAt });
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
  await cut;
}
