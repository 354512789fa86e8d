import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readKey } from "../src/key.ts";

const lax = { strict: false, keyFormat: undefined };

const printable = fc.string({
  unit: fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code)),
  minLength: 1,
  maxLength: 120,
});

describe("a key", () => {
  test("in quotes is read back as it was, whatever printable characters it has", () => {
    fc.assert(
      fc.property(
        printable.filter((key) => key.trim() !== ""),
        (key) => {
          const quoted = `"${key.replaceAll(/["\\]/g, "\\$&")}"`;
          expect(readKey([quoted], lax)).toEqual({ key });
          expect(readKey([quoted], { ...lax, strict: true })).toEqual({ key });
        },
      ),
    );
  });

  test("is never read from what is not printable", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", minLength: 1 }), (text) => {
        const reading = readKey([text], lax);
        if ("key" in reading) expect(reading.key).toMatch(/^[\x20-\x7e]{1,255}$/);
      }),
    );
  });

  test("problems do not tell the key", () => {
    for (const line of [
      "secret,secret",
      '"secret',
      'secret"',
      "secret\u00e9",
      "secret".repeat(99),
    ]) {
      expect(JSON.stringify(readKey([line], lax))).not.toContain("secret");
    }
  });
});
