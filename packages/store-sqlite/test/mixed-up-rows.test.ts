import { claimed, requestOf } from "@idemkit/test-servers";
import { expect, test } from "vitest";
import { type SqliteHandle, type SqliteStatement, sqliteStore } from "../src/index.ts";
import { CLAIM_AGAIN, CLAIM_PRESENT, READ } from "../src/sql.ts";
import { elapse } from "../src/testing.ts";
import { migrated } from "./database.ts";

const OTHER_RECORD = "row of another record than the statement asked for";

/** A handle on which the statement that reads one row of a record looks at another record's. */
function confusing(db: SqliteHandle, text: string, asked: string, answered: string): SqliteHandle {
  const digestOf = (key: string) => Buffer.from(requestOf(key).id.digest, "hex");
  const confused = (statement: SqliteStatement): SqliteStatement => ({
    run: (...given) => statement.run(...given),
    all: (...given) => statement.all(...given),
    get: (given: { readonly digest: Buffer }) => {
      const isConfused = given.digest.equals(digestOf(asked));
      return statement.get(isConfused ? { ...given, digest: digestOf(answered) } : given);
    },
    safeIntegers: (isOn) => confused(statement.safeIntegers(isOn)),
  });
  return {
    get inTransaction() {
      return db.inTransaction;
    },
    memory: db.memory,
    readonly: db.readonly,
    prepare: (source) => (source === text ? confused(db.prepare(source)) : db.prepare(source)),
    exec: (source) => db.exec(source),
    pragma: (source, options) => db.pragma(source, options),
  };
}

async function completed(keys: readonly string[]) {
  const { db } = await migrated();
  const store = sqliteStore(db);
  const claims = await claimed(
    store,
    keys.map((key) => requestOf(key)),
  );
  await store.complete(
    claims.map((claim) => ({ ...claim, status: "succeeded", body: claim.id.key })),
  );
  return { db, store };
}

test("the row of another record gives no outcome to a claim, a read or a transaction", async () => {
  const { db } = await completed(["a", "b"]);
  const store = sqliteStore(confusing(db, READ, "a", "b"));
  const work = () => expect.fail("The work has begun.");
  await expect(store.claim([requestOf("a")])).rejects.toThrow(OTHER_RECORD);
  await expect(store.claim([requestOf("b"), requestOf("a")])).rejects.toThrow(OTHER_RECORD);
  await expect(store.read([requestOf("a").id])).rejects.toThrow(OTHER_RECORD);
  await expect(store.transact(requestOf("a"), work)).rejects.toThrow(OTHER_RECORD);
  expect(await store.claim([requestOf("b")])).toMatchObject([{ outcome: "completed", body: "b" }]);
});

for (const [name, text] of Object.entries({ CLAIM_AGAIN, CLAIM_PRESENT })) {
  test(`the row of another record grants no claim by ${name}, and the write is undone`, async () => {
    const { db, store } = await completed([]);
    const own = { owner: "o", leaseMs: 60_000 };
    await store.claim(["a", "b"].map((key) => requestOf(key, own)));
    const request = requestOf("a", { ...own, ...(name === "CLAIM_PRESENT" && { owner: "p" }) });
    if (name === "CLAIM_PRESENT") elapse(db, 120_000);
    const before = db.prepare("SELECT * FROM idemkit_records").all();
    const confused = sqliteStore(confusing(db, text, "a", "b"));
    await expect(confused.claim([{ ...request, takeOver: true }])).rejects.toThrow(OTHER_RECORD);
    expect(db.prepare("SELECT * FROM idemkit_records").all()).toEqual(before);
  });
}
