import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import {
  type Claimed,
  createEngine,
  type DeriveKeyOptions,
  memoryStore,
  type TransactionalStore,
} from "../src/index.ts";
import { rejection, world } from "./world.ts";

const engine = createEngine({ store: memoryStore() });
const derive = (options?: DeriveKeyOptions, name = "charge") =>
  engine.deriveKey(["ann", "place-order"], "o-1", name, options);

/** As every release has derived it: services keep keys for longer than a deploy takes. */
const HEX = "544b864d0131c7bb5bc6d2e089c6197132c5da5efa7f19e675131c0e0de9e495";
const BASE64URL = "VEuGTQExx7tbxtLgicYZcTLF2l76fxnmdRMcDg3p5JU";
/** What Python makes of it: uuid5(UUID("536d0818-87e3-4bbd-a77e-7971e86d026b"), HEX). */
const UUID = "4504ee8e-f553-56b0-a1da-8a7cd4ac6523";

describe("a derived key", () => {
  test("is 64 hex digits unless another format is asked for", () => {
    for (const options of [undefined, {}, { format: "hex" }, { length: 64 }] as const) {
      expect(derive(options)).toBe(HEX);
    }
  });

  test("is shortened to the length that is asked for", () => {
    expect(derive({ length: 45 })).toBe(HEX.slice(0, 45));
    expect(derive({ format: "hex", length: 30 })).toBe(HEX.slice(0, 30));
    expect(derive({ format: "base64url" })).toBe(BASE64URL);
    expect(derive({ format: "base64url", length: 43 })).toBe(BASE64URL);
    expect(derive({ format: "base64url", length: 20 })).toBe(BASE64URL.slice(0, 20));
  });

  test("as a UUID is one of version 5 and of the variant of RFC 9562", () => {
    expect(derive({ format: "uuid" })).toBe(UUID);
    const form = /^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
    for (let number = 0; number < 1_000; number += 1) {
      expect(derive({ format: "uuid" }, `name ${number}`)).toMatch(form);
    }
  });

  test("differs for every name, key and scope in every format", () => {
    for (const format of ["hex", "base64url", "uuid"] as const) {
      const keys = ["a", "b"].flatMap((scope) =>
        ["a", "b"].flatMap((key) =>
          ["a", "b"].map((name) => engine.deriveKey(scope, key, name, { format })),
        ),
      );
      expect(new Set(keys).size).toBe(8);
    }
  });

  const wrong: readonly (readonly [object, string])[] = [
    [
      { length: 29 },
      "length: expected a whole number from 30 to 64 with the format 'hex', got 29.",
    ],
    [{ length: 29 }, "A shorter key has less than 120 bits"],
    [{ length: 65 }, "from 30 to 64 with the format 'hex', got 65."],
    [{ format: "base64url", length: 19 }, "from 20 to 43 with the format 'base64url', got 19."],
    [{ format: "base64url", length: 44 }, "A longer key does not exist: it is made of 256 bits."],
    [{ length: 40.5 }, "length: expected a whole number"],
    [{ length: Number.NaN }, "got NaN"],
    [{ length: "45" }, "got a string of 2 characters"],
    [{ length: null }, "got null"],
    [{ format: "uuid", length: 36 }, "expected none with the format 'uuid', because a UUID always"],
    [{ format: "uuid", length: 32 }, "length: expected none"],
    [{ format: "base" }, "format: expected 'hex', 'base64url' or 'uuid', got 'base'."],
    [{ format: ["hex"] }, "format: expected 'hex', 'base64url' or 'uuid', got a list."],
    [{ format: null }, "got null"],
    [{ format: "toString" }, "got 'toString'"],
    [{ size: 45 }, "size: no such option. Expected one of format, length."],
  ];
  test.each(wrong)("refuses %j", (options, message) => {
    expect(() => derive(options as DeriveKeyOptions)).toThrow(TypeError);
    expect(() => derive(options as DeriveKeyOptions)).toThrow(message);
  });

  test("refuses options that are no object, and an empty name", () => {
    expect(() => derive("uuid" as never)).toThrow("options: expected an object");
    expect(() => derive({}, "")).toThrow("deriveKey: expected a string that is not empty");
  });
});

describe("in a run, operators and the function get the same key in each format", () => {
  const formats: readonly DeriveKeyOptions[] = [
    {},
    { length: 45 },
    { format: "uuid" },
    { format: "base64url", length: 36 },
  ];

  test("of execute and begin, also on a second attempt", async () => {
    const { engine: own } = world({ guarantee: "at-least-once" });
    const seen: (readonly string[])[] = [];
    const fail = own.execute("s", "k", null, ({ deriveKey }) => {
      seen.push(formats.map((format) => deriveKey("charge", format)));
      throw new Error("declined");
    });
    await rejection(fail);
    await own.execute("s", "k", null, ({ deriveKey }) => {
      seen.push(formats.map((format) => deriveKey("charge", format)));
    });
    const begun = await own.begin("s", "other", null);
    if (begun.kind !== "execute") expect.unreachable();
    else expect(begun.claim.deriveKey("charge", { format: "uuid" })).toMatch(/^[0-9a-f-]{36}$/);
    const expected = formats.map((format) => own.deriveKey("s", "k", "charge", format));
    expect(seen).toEqual([expected, expected]);
  });

  test("of a transaction", async () => {
    const { engine: own, memory, time } = world();
    const store: TransactionalStore<undefined, false> = {
      ...memory,
      bind: () => expect.unreachable(),
      transact: async (request, work) => {
        const [answer] = await memory.claim([request]);
        if (answer?.outcome === "claimed") await memory.complete([await work(undefined, answer)]);
        return answer as Claimed;
      },
    };
    const other = createEngine({ store, runtime: time.runtime });
    const { value } = await other.transaction("s", "k", null, (_tx, { deriveKey }) =>
      formats.map((format) => deriveKey("charge", format)),
    );
    expect(value).toEqual(formats.map((format) => own.deriveKey("s", "k", "charge", format)));
  });
});

describe("the guide's call for", () => {
  const guide = new URL("../../../docs/guides/payment-provider.md", import.meta.url);
  const row =
    /^\| ([\w ]+) \| .* \| [^|]*?(\d+)? ?t?o? ?(\d+) characters \| `deriveKey\("charge"(.*)\)` \|$/gm;
  const rows = [...readFileSync(guide, "utf8").matchAll(row)];

  test("each provider is in a row that this test can read", () => {
    expect(rows.map(([, provider]) => provider)).toHaveLength(10);
  });

  test.each(rows.map(([, ...cells]) => cells))("%s fits", (_provider, min = "1", max, options) => {
    const format = /format: "(\w+)"/.exec(options ?? "")?.[1] as DeriveKeyOptions["format"];
    const length = /length: (\d+)/.exec(options ?? "")?.[1];
    const key = derive({ ...(format && { format }), ...(length && { length: Number(length) }) });
    expect(key.length).toBeGreaterThanOrEqual(Number(min));
    expect(key.length).toBeLessThanOrEqual(Number(max));
  });
});
