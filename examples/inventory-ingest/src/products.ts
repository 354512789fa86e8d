import type { Database, Queries } from "./database.ts";

export interface Product {
  readonly sku: string;
  readonly title: string;
  readonly brand: string;
  readonly priceCents: number;
}

/** What became of a product: nothing where it was there already, as it is. */
export type Ingested =
  | { readonly sku: string; readonly result: "created" | "unchanged" }
  | { readonly sku: string; readonly result: "updated"; readonly changedFields: readonly string[] };

/**
 * The statement that writes also compares, under the row's lock: whoever reads first and writes
 * afterwards misses what a rival has written in between. It answers no row where nothing has changed.
 */
const UPSERT = `
  INSERT INTO products (shop, sku, title, brand, price_cents, revision, changed_fields)
  VALUES ($1, $2, $3, $4, $5, 1, '')
  ON CONFLICT (shop, sku) DO UPDATE SET
    title = excluded.title,
    brand = excluded.brand,
    price_cents = excluded.price_cents,
    revision = products.revision + 1,
    changed_fields =
      CASE WHEN products.title <> excluded.title THEN 'title ' ELSE '' END ||
      CASE WHEN products.brand <> excluded.brand THEN 'brand ' ELSE '' END ||
      CASE WHEN products.price_cents <> excluded.price_cents THEN 'priceCents ' ELSE '' END
  WHERE (products.title, products.brand, products.price_cents)
    <> (excluded.title, excluded.brand, excluded.price_cents)
  RETURNING revision, changed_fields AS "changedFields"`;

const LOG = `
  INSERT INTO product_log (shop, sku, revision, changed_fields) VALUES ($1, $2, $3, $4)`;

interface Written {
  readonly revision: number;
  readonly changedFields: string;
}

/** Brings products in by their natural key: sent twice, the second changes nothing and says so. */
export async function ingestProducts(
  database: Database,
  shop: string,
  products: readonly Product[],
): Promise<readonly Ingested[]> {
  return await database.transaction(async (tx) => {
    // In one order for everybody, so that two who send the same products do not deadlock.
    const sorted = [...products.entries()].toSorted(([, one], [, other]) =>
      one.sku < other.sku ? -1 : Number(one.sku > other.sku),
    );
    const answers: Ingested[] = [];
    for (const [index, product] of sorted) answers[index] = await ingestOne(tx, shop, product);
    return answers;
  });
}

async function ingestOne(tx: Queries, shop: string, product: Product): Promise<Ingested> {
  const { sku, title, brand, priceCents } = product;
  const [written] = await tx.all<Written>(UPSERT, shop, sku, title, brand, priceCents);
  if (written === undefined) return { sku, result: "unchanged" };
  if (written.revision === 1) return { sku, result: "created" };
  const changedFields = written.changedFields.trim();
  await tx.all(LOG, shop, sku, written.revision, changedFields);
  return { sku, result: "updated", changedFields: changedFields.split(" ") };
}
