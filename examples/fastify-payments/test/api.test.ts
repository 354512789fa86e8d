import { join } from "node:path";
import Stripe from "stripe";
import { expect, test } from "vitest";
import { PretendedNetwork } from "../src/card-network.ts";
import { ANN, BOB } from "./accounts.ts";
import { stripeAt } from "./clients.ts";
import { listening, newFolder } from "./world.ts";

const charge = { amount: 2000, currency: "eur", source: "tok_visa" };
const CROWD = 20;

interface Answered {
  readonly status: number;
  readonly json: unknown;
  readonly isReplayed: boolean;
}

async function post(
  origin: string,
  headers: Readonly<Record<string, string>>,
  body: string | URLSearchParams = JSON.stringify(charge),
): Promise<Answered> {
  const type = typeof body === "string" ? { "content-type": "application/json" } : {};
  const answer = await fetch(`${origin}/v1/charges`, {
    ...{ method: "POST", headers: { authorization: `Bearer ${ANN}`, ...type, ...headers }, body },
  });
  const isReplayed = answer.headers.get("idempotent-replayed") === "true";
  return { status: answer.status, json: await answer.json(), isReplayed };
}

async function get(origin: string, path: string, token = ANN) {
  const answer = await fetch(`${origin}${path}`, { headers: { authorization: `Bearer ${token}` } });
  return { status: answer.status, json: (await answer.json()) as unknown };
}

test("a form of Stripe's client and JSON say the same", async () => {
  const { origin } = await listening();
  const metadata = { order_id: "order-1" };
  const byForm = await stripeAt(origin).charges.create({ ...charge, metadata });
  expect(byForm).toMatchObject({ amount: 2000, currency: "eur", metadata, status: "succeeded" });
  const sent = JSON.stringify({ ...charge, metadata });
  const { json } = await post(origin, { "idempotency-key": "k" }, sent);
  expect(json).toMatchObject({ amount: 2000, currency: "eur", metadata, status: "succeeded" });
  const read = await stripeAt(origin).charges.retrieve(byForm.id);
  expect(read).toMatchObject({ id: byForm.id, status: "succeeded" });
});

test("a crowd with one key gets one charge", async () => {
  const { origin, rows, authorisations } = await listening({ networkMs: 50 });
  const stripe = stripeAt(origin, 8);
  const crowd = Array.from({ length: CROWD }, () =>
    stripe.charges.create(charge, { idempotencyKey: "k" }),
  );
  const charges = await Promise.all(crowd);
  const replayed = charges.filter(
    ({ lastResponse }) => lastResponse.headers["idempotent-replayed"] === "true",
  );
  expect(new Set(charges.map(({ id }) => id)).size).toBe(1);
  expect(replayed.length).toBe(CROWD - 1);
  expect(await rows()).toMatchObject([{ status: "succeeded" }]);
  expect(authorisations()).toEqual([{ verdict: "approved", timesAsked: 1 }]);
});

test("Stripe's client knows the errors by their classes, and their replays too", async () => {
  const { origin, rows } = await listening();
  const stripe = stripeAt(origin);
  const declined = { ...charge, source: "tok_chargeDeclined" };
  for (const isReplayed of [false, true]) {
    const error: unknown = await stripe.charges
      .create(declined, { idempotencyKey: "k" })
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(Stripe.errors.StripeCardError);
    const { headers, code } = error as Stripe.errors.StripeCardError;
    expect([code, headers?.["idempotent-replayed"]]).toEqual([
      "card_declined",
      isReplayed ? "true" : undefined,
    ]);
  }
  await expect(stripe.charges.create(charge, { idempotencyKey: "k" })).rejects.toBeInstanceOf(
    Stripe.errors.StripeIdempotencyError,
  );
  await expect(stripeAt(origin).charges.retrieve("ch_none")).rejects.toMatchObject({
    statusCode: 404,
  });
  expect(await rows()).toMatchObject([{ status: "failed" }]);
});

for (const [fault, timesAsked] of [
  ["isDown", 1],
  ["losesResponses", 2],
] as const) {
  test(`a network that ${fault} gives the key back, and the retry gets one charge`, async () => {
    const networkFile = join(newFolder(), "network.db");
    const network = new PretendedNetwork(networkFile);
    const { origin, rows, authorisations } = await listening({ network, networkFile });
    const key = { "idempotency-key": "k" };
    network[fault] = true;
    expect(await post(origin, key)).toMatchObject({ status: 503, isReplayed: false });
    expect(await rows()).toEqual([]);
    network[fault] = false;
    expect(await post(origin, key)).toMatchObject({ status: 200, isReplayed: false });
    expect(await post(origin, key)).toMatchObject({ status: 200, isReplayed: true });
    expect(await rows()).toMatchObject([{ status: "succeeded" }]);
    expect(authorisations()).toEqual([{ verdict: "approved", timesAsked }]);
  });
}

test("a key whose record is gone finds its charge, and is refused for another", async () => {
  const { origin, rows, engine } = await listening();
  const key = { "idempotency-key": "k" };
  const first = await post(origin, key);
  await engine.remove(["payments", "ann"], "k");
  expect(await post(origin, key)).toEqual({ ...first, isReplayed: false });
  await engine.remove(["payments", "ann"], "k");
  const other = await post(origin, key, JSON.stringify({ ...charge, amount: 1 }));
  expect(other).toMatchObject({ status: 400, json: { error: { type: "idempotency_error" } } });
  expect((await rows()).length).toBe(1);
});

test("accounts do not share keys, nor learn of each other's", async () => {
  const { origin, rows } = await listening();
  const key = { "idempotency-key": "k" };
  const { json } = await post(origin, key);
  const { id } = json as { readonly id: string };
  expect((await get(origin, "/v1/idempotency-keys/k", BOB)).status).toBe(404);
  expect((await get(origin, `/v1/charges/${id}`, BOB)).status).toBe(404);
  const ofBob = await post(origin, { ...key, authorization: `Bearer ${BOB}` });
  expect(ofBob).toMatchObject({ status: 200, isReplayed: false });
  expect((await rows()).length).toBe(2);
  expect(await get(origin, "/v1/idempotency-keys/k")).toMatchObject({
    ...{ status: 200, json: { status: "completed", responseStatus: 200 } },
  });
});

test("what is refused before the charge uses no key up", async () => {
  const { origin, rows } = await listening();
  const key = { "idempotency-key": "k" };
  expect(await post(origin, { ...key, authorization: "Bearer sk_none" })).toMatchObject({
    status: 401,
  });
  for (const wrong of [{ amount: 0 }, { amount: "many" }, { currency: "EUR" }, { colour: "red" }]) {
    const answer = await post(origin, key, JSON.stringify({ ...charge, ...wrong }));
    expect(answer).toMatchObject({
      ...{ status: 400, json: { error: { type: "invalid_request_error" } } },
    });
  }
  expect(await post(origin, {})).toMatchObject({
    ...{ status: 400, json: { error: { code: "key-missing" } } },
  });
  expect(await post(origin, key)).toMatchObject({ status: 200, isReplayed: false });
  expect((await rows()).length).toBe(1);
});

test("a member of a form that is called __proto__ is refused like any other", async () => {
  const { origin, rows } = await listening();
  const sent = { ...charge, amount: "2000", "__proto__[amount]": "1" };
  const form = new URLSearchParams(Object.entries(sent));
  expect(await post(origin, { "idempotency-key": "k" }, form)).toMatchObject({ status: 400 });
  expect(await rows()).toEqual([]);
});

test("the OpenAPI document tells of the key where it is needed", async () => {
  const { origin } = await listening();
  const { json } = await get(origin, "/openapi.json");
  const { paths } = json as {
    readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  };
  const posted = paths["/v1/charges"]?.post;
  expect(posted?.parameters).toMatchObject([
    { name: "Idempotency-Key", in: "header", required: true },
  ]);
  expect(Object.keys(posted?.responses ?? {})).toEqual([
    "200",
    "400",
    "402",
    "409",
    "413",
    "415",
    "503",
  ]);
  expect(posted?.responses["409"]?.headers["Retry-After"]).toMatchObject({
    schema: { type: "integer", minimum: 1 },
  });
  const read = paths["/v1/charges/{id}"]?.get;
  expect(read?.parameters.map(({ name }) => name)).toEqual(["id"]);
});

interface Operation {
  readonly parameters: readonly { readonly name: string }[];
  readonly responses: Readonly<
    Record<string, { readonly headers: Readonly<Record<string, unknown>> }>
  >;
}
