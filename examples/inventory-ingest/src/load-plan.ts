import type { DeltaBatch, StockLine } from "./stock.ts";

const LINES_PER_BATCH = 100;
const LINES_PER_SEND = 75;
const PRODUCTS = 500;
const LOCATIONS = 4;
const QUANTITY_MAX = 20;

/** Times that each part of a batch is sent. */
const SENDS_OF_EACH_PART = 2;

/** What is to be sent, by whom, and how many lines there are in it. */
export interface Plan {
  readonly batches: number;
  /** Every line once, with the key of its batch. */
  readonly lines: readonly (StockLine & { readonly batch: string })[];
  /** For each client what it sends, in its order. */
  readonly clients: readonly (readonly DeltaBatch[])[];
}

/**
 * Cuts the lines into batches, and each batch into two parts that overlap by half. Every part is sent
 * twice, by clients that come one after the other, so that the same lines are under way at the same time.
 */
export function planOf(lineCount: number, clientCount: number): Plan {
  const lines = Array.from({ length: lineCount }, (_, index) => lineAt(index));
  const clients: DeltaBatch[][] = Array.from({ length: clientCount }, () => []);
  let sends = 0;
  const batches = Math.ceil(lineCount / LINES_PER_BATCH);
  for (let batch = 0; batch < batches; batch += 1) {
    const own = lines.slice(batch * LINES_PER_BATCH, (batch + 1) * LINES_PER_BATCH);
    const parts = [own.slice(0, LINES_PER_SEND), own.slice(-LINES_PER_SEND).toReversed()];
    for (const part of [...parts, ...parts].slice(0, parts.length * SENDS_OF_EACH_PART)) {
      const send: DeltaBatch = { mode: "delta", idempotencyKey: keyOf(batch), lines: part };
      clients[sends % clientCount]?.push(send);
      sends += 1;
    }
  }
  const named = lines.map((line, index) => {
    return { ...line, batch: keyOf(Math.floor(index / LINES_PER_BATCH)) };
  });
  return { batches, lines: named, clients };
}

function keyOf(batch: number): string {
  return `batch-${batch}`;
}

/** Within a batch each product is at a location once; the batches all meet at the same few. */
function lineAt(index: number): StockLine {
  return {
    product: `p-${index % PRODUCTS}`,
    location: `l-${Math.floor(index / PRODUCTS) % LOCATIONS}`,
    quantity: (index % QUANTITY_MAX) + 1,
  };
}
