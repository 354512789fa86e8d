import { hash } from "node:crypto";
import { createEngine, type Store } from "@idemkit/engine";

/** Something that is measured: one operation, by its number, and what has to be undone. */
interface Subject {
  readonly run: (number: number) => Promise<unknown> | unknown;
  readonly close: () => Promise<void> | void;
}

/** Subjects by name. `fresh` and `replay` are measured against the `floor` of the same kind. */
export type Subjects = Readonly<Record<string, () => Promise<Subject>>>;

/** About 200 bytes of JSON, as a small order has. */
export const PAYLOAD = {
  customer: "c-4711",
  currency: "EUR",
  lines: [
    { sku: "teapot-blue", quantity: 2, priceCents: 2400 },
    { sku: "kettle-1.7l", quantity: 1, priceCents: 5900 },
  ],
  note: "please ring twice, the bell is quiet",
};

export const RESULT = { orderId: "o-4711", chargeId: "ch-4711", amountCents: 10_700 };
export const RESULT_TEXT = JSON.stringify(RESULT);
export const REPLAYED_KEYS = 1_000;

export const floorHash = () => hash("sha256", JSON.stringify(PAYLOAD), "hex");

export function execute(store: Store) {
  const engine = createEngine({ store });
  return (key: string) => engine.execute("bench", key, PAYLOAD, () => RESULT);
}

const LINES = 1_000;

/** Batches of 1,000 lines: by executeMany, or each line by itself as the floor. */
export function batches(store: Store, how: "together" | "one by one") {
  const engine = createEngine({ store });
  return async (number: number) => {
    const keys = Array.from({ length: LINES }, (_, index) => `${number}-${index}`);
    if (how === "one by one") {
      for (const key of keys) await engine.execute("bench", key, PAYLOAD, () => RESULT);
      return;
    }
    const lines = keys.map((key) => ({ key, payload: PAYLOAD }));
    await engine.executeMany("bench", lines, (fresh) =>
      fresh.map(({ key }) => ({ key, value: RESULT })),
    );
  };
}

/** Runs the operation on each of the keys that are replayed afterwards. */
export async function filled(run: (key: string) => Promise<unknown>) {
  const keys = Array.from({ length: REPLAYED_KEYS }, (_, index) => `key-${index}`);
  await Promise.all(keys.map(run));
  return (number: number) => run(`key-${number % REPLAYED_KEYS}`);
}
