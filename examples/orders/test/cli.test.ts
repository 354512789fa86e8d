import { join } from "node:path";
import { createEngine } from "@idemkit/engine";
import { openSqlite, sqliteStore } from "@idemkit/store-sqlite";
import { expect, test } from "vitest";
import { ShopOnSqlite } from "../src/on-sqlite.ts";
import { EMPTY_CARD } from "../src/payment-provider.ts";
import { World } from "./world.ts";

const mugs = { sku: "mug", quantity: 2, card: "4242" };
const LONG_LEASE_MS = 60_000;

function onSqlite(): World {
  return new World((folder) => `sqlite:${join(folder, "shop.db")}`);
}

async function place(world: World, key: string, request = mugs) {
  const { sku, quantity, card } = request;
  const order = ["--sku", sku, "--quantity", String(quantity), "--card", card];
  const { code, stdout, stderr } = await world.command(
    ...["place", "--customer", "ann", "--key", key, ...order],
  );
  return {
    code,
    told: JSON.parse(code === 0 ? stdout : stderr) as Readonly<Record<string, unknown>>,
  };
}

test("it exits with 2 for wrong input, and the key is not used up", async () => {
  const world = onSqlite();
  expect(await place(world, "k1", { ...mugs, quantity: 0 })).toMatchObject({
    code: 2,
    told: { error: "InvalidOrderError" },
  });
  expect(await place(world, "k1")).toMatchObject({ code: 0, told: { attempt: 1 } });
});

test("it exits with 2 and shows how to call it for a command that it does not have", async () => {
  const world = onSqlite();
  for (const args of [["cancel"], ["place", "--colour", "red"], ["publish", "--wait-ms", "soon"]]) {
    const { code, stdout, stderr } = await world.command(...args);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toContain("Usage:");
  }
});

test("it exits with 3 while another process is at it", async () => {
  const world = onSqlite();
  await world.killAt("charge", { customer: "ann", key: "k1", request: mugs }, LONG_LEASE_MS);
  const { code, told } = await place(world, "k1");
  expect([code, told.error]).toEqual([3, "InProgressError"]);
  expect(told.retryAfterMs).toBeGreaterThan(0);
});

test("it exits with 4 for a failure, for its replay and for a conflict", async () => {
  const world = onSqlite();
  const broke = { ...mugs, card: EMPTY_CARD };
  const errors = [
    await place(world, "k1", broke),
    await place(world, "k1", broke),
    await place(world, "k1"),
  ].map(({ code, told }) => [code, told.error]);
  expect(errors).toEqual([
    [4, "CardDeclinedError"],
    [4, "ReplayedError"],
    [4, "ConflictError"],
  ]);
});

test("it exits with 5 where the outcome is not known", async () => {
  const world = onSqlite();
  const path = join(world.folder, "shop.db");
  await (await ShopOnSqlite.open(path)).close();
  const db = openSqlite(path);
  const engine = createEngine({ store: sqliteStore(db) });
  const begun = await engine.begin(["shop", "ann", "place-order"], "k1", mugs);
  if (begun.kind === "execute") await begun.claim.hold("the line broke");
  await engine.close();
  db.close();
  const { code, told } = await place(world, "k1");
  expect([code, told.error]).toEqual([5, "OutcomeUnknownError"]);
});
