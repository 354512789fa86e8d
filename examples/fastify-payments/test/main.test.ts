import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { stripeAt } from "./clients.ts";
import { COMMAND, startServer } from "./server-process.ts";
import { authorisationsOf, newFolder, rowsOf } from "./world.ts";

const run = promisify(execFile);
const README = readFileSync(new URL("../README.md", import.meta.url), "utf8");
const README_ORIGIN = "http://127.0.0.1:8080";
const LEASE_MS = 500;
const NETWORK_MS = 400;
const RETRIES = 8;
const charge = { amount: 2000, currency: "eur", source: "tok_visa" };

/** A command of the README, with the texts that its output has to have. */
interface Told {
  readonly command: string;
  readonly says: readonly string[];
}

function toldIn(text: string): readonly Told[] {
  const blocks = [...text.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block = ""]) => block);
  return blocks.flatMap((block) =>
    [...block.matchAll(/^(curl .*)\n((?:# .*\n)*)/gm)].map(([, command = "", comments = ""]) => ({
      command,
      says: [...comments.matchAll(/^# (.*)$/gm)].map(([, said = ""]) => said),
    })),
  );
}

test("the README starts the server and has curl commands that answer what it says", async () => {
  expect(README).toContain(`\n${COMMAND.join(" ")}\n`);
  const { stdout: version } = await run("curl", ["--version"]);
  expect(version).toMatch(/^curl \d/);
  const { origin } = await startServer({
    ...filesIn(newFolder()),
    PAYMENTS_PORT: "0",
  });
  const told = toldIn(README);
  expect(told.length).toBe((README.match(/^curl /gm) ?? []).length);
  expect(told.length).toBeGreaterThan(5);
  for (const { command, says } of told) {
    const { stdout } = await run("sh", ["-c", command.replace(README_ORIGIN, origin)]);
    expect(says, command).not.toEqual([]);
    for (const said of says) expect(stdout, command).toContain(said);
  }
});

test("a client of Stripe's outlives the death of the server, and the charge is one", async () => {
  const files = filesIn(newFolder());
  const settings = {
    ...{ ...files, PAYMENTS_LEASE_MS: String(LEASE_MS) },
    PAYMENTS_NETWORK_MS: String(NETWORK_MS),
  };
  const first = await startServer({ ...settings, PAYMENTS_PORT: "0" });
  const stripe = stripeAt(first.origin, RETRIES);
  const metadata = { order_id: "order-1" };
  const charging = stripe.charges.create({ ...charge, metadata });
  const asked = () => authorisationsOf(files.PAYMENTS_NETWORK).length;
  await expect.poll(asked, { timeout: 10_000 }).toBe(1);
  expect(await rowsOf(files.PAYMENTS_DATABASE)).toEqual([]);
  await first.end("SIGKILL");
  await startServer({ ...settings, PAYMENTS_PORT: new URL(first.origin).port });
  const { id, status } = await charging;
  expect(status).toBe("succeeded");
  expect(await rowsOf(files.PAYMENTS_DATABASE)).toEqual([{ id, orderId: "order-1", status }]);
  // The second run has found the verdict, and has not asked for another one.
  expect(authorisationsOf(files.PAYMENTS_NETWORK)).toEqual([
    { verdict: "approved", timesAsked: 1 },
  ]);
});

test("a server that is stopped responds to what runs, and records it", async () => {
  const files = filesIn(newFolder());
  const settings = { ...files, PAYMENTS_NETWORK_MS: String(NETWORK_MS) };
  const first = await startServer({ ...settings, PAYMENTS_PORT: "0" });
  const keyed = { idempotencyKey: "key-1" };
  const charging = stripeAt(first.origin, 0).charges.create(charge, keyed);
  const asked = () => authorisationsOf(files.PAYMENTS_NETWORK).length;
  await expect.poll(asked, { timeout: 10_000 }).toBe(1);
  expect(await first.end("SIGTERM")).toBe(0);
  const { id } = await charging;
  const second = await startServer({ ...settings, PAYMENTS_PORT: "0" });
  const again = await stripeAt(second.origin, 0).charges.create(charge, keyed);
  expect(again.id).toBe(id);
  expect(again.lastResponse.headers["idempotent-replayed"]).toBe("true");
  expect(await rowsOf(files.PAYMENTS_DATABASE)).toMatchObject([{ id, status: "succeeded" }]);
});

function filesIn(folder: string) {
  const PAYMENTS_DATABASE = join(folder, "payments.db");
  return { PAYMENTS_DATABASE, PAYMENTS_NETWORK: join(folder, "network.db") };
}
