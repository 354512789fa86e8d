import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fingerprintOf } from "../src/fingerprint.ts";
import { writeJson } from "../src/json.ts";

const canonical = (value: unknown) => writeJson(value, { root: "value", canonical: true });
const plain = (value: unknown) => writeJson(value, { root: "value", canonical: false });
const NOTHING: ReadonlySet<string> = new Set();

/** Numbers of RFC 8785, appendix B: the bits of an IEEE 754 double, and its canonical text. */
const numbers: readonly (readonly [string, string])[] = [
  ["0000000000000000", "0"],
  ["8000000000000000", "0"],
  ["0000000000000001", "5e-324"],
  ["8000000000000001", "-5e-324"],
  ["7fefffffffffffff", "1.7976931348623157e+308"],
  ["ffefffffffffffff", "-1.7976931348623157e+308"],
  ["4340000000000000", "9007199254740992"],
  ["c340000000000000", "-9007199254740992"],
  ["4430000000000000", "295147905179352830000"],
  ["44b52d02c7e14af5", "9.999999999999997e+22"],
  ["44b52d02c7e14af6", "1e+23"],
  ["44b52d02c7e14af7", "1.0000000000000001e+23"],
  ["444b1ae4d6e2ef4e", "999999999999999700000"],
  ["444b1ae4d6e2ef4f", "999999999999999900000"],
  ["444b1ae4d6e2ef50", "1e+21"],
  ["3eb0c6f7a0b5ed8c", "9.999999999999997e-7"],
  ["3eb0c6f7a0b5ed8d", "0.000001"],
  ["41b3de4355555553", "333333333.3333332"],
  ["41b3de4355555554", "333333333.33333325"],
  ["41b3de4355555555", "333333333.3333333"],
  ["41b3de4355555556", "333333333.3333334"],
  ["41b3de4355555557", "333333333.33333343"],
  ["becbf647612f3696", "-0.0000033333333333333333"],
  ["43143ff3c1cb0959", "1424953923781206.2"],
];

describe("canonical JSON (RFC 8785)", () => {
  for (const [bits, text] of numbers) {
    test(`writes the number ${bits} as ${text}`, () => {
      expect(canonical(Buffer.from(bits, "hex").readDoubleBE())).toBe(text);
    });
  }

  test("writes the example of section 3.2.2 as section 3.2.3 does", () => {
    const example = {
      numbers: [Number("333333333.33333329"), 1e30, 4.5, 2e-3, 1e-27],
      string: "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"/",
      literals: [null, true, false],
    };
    expect(canonical(example)).toBe(
      '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],' +
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
    );
  });

  test("sorts members by UTF-16 code units, as section 3.2.3 does", () => {
    const members = {
      "\u20ac": "Euro Sign",
      "\r": "Carriage Return",
      "\ufb33": "Hebrew Letter Dalet With Dagesh",
      "1": "One",
      "\ud83d\ude00": "Emoji: Grinning Face",
      "\u0080": "Control",
      "\u00f6": "Latin Small Letter O With Diaeresis",
    };
    expect(Object.values(JSON.parse(canonical(members)) as object)).toHaveLength(7);
    const order = [...canonical(members).matchAll(/":"([^"]+)"/g)].map(([, name]) => name);
    expect(order).toEqual([
      "Carriage Return",
      "One",
      "Control",
      "Latin Small Letter O With Diaeresis",
      "Euro Sign",
      "Emoji: Grinning Face",
      "Hebrew Letter Dalet With Dagesh",
    ]);
  });

  test("does not depend on the order in which members were added", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string({ unit: "grapheme" }), fc.integer()), (members) => {
        const reversed = Object.fromEntries(Object.entries(members).reverse());
        expect(canonical(reversed)).toBe(canonical(members));
      }),
    );
  });
});

describe("JSON of results", () => {
  test("survives, whatever the value", () => {
    const values = fc.jsonValue({ maxDepth: 6 });
    fc.assert(
      fc.property(values, (value) => {
        expect(JSON.parse(plain(value))).toStrictEqual(value);
      }),
      { numRuns: 500 },
    );
  });

  test("is what JSON.stringify writes, where there is nothing to refuse and no -0", () => {
    const values = fc.jsonValue({ maxDepth: 6 }).map((value) => JSON.parse(JSON.stringify(value)));
    fc.assert(
      fc.property(values, (value) => {
        expect(plain(value)).toBe(JSON.stringify(value));
      }),
      { numRuns: 500 },
    );
  });
});

describe("fingerprints", () => {
  test("tell kinds of payload apart that look alike", () => {
    const payloads = [
      "{}",
      {},
      Buffer.from("{}"),
      [],
      null,
      "null",
      0,
      "0",
      false,
      "",
      new Uint8Array(),
      [[]],
      { a: 1 },
      { a: "1" },
      { a: [1] },
      { a: null },
    ];
    const prints = payloads.map((payload) => fingerprintOf(payload, NOTHING));
    expect(new Set(prints).size).toBe(payloads.length);
    for (const print of prints) expect(print).toMatch(/^1:[0-9a-f]{64}$/);
  });

  test("of members that matter differ, and of order do not", () => {
    const print = (payload: unknown) => fingerprintOf(payload, NOTHING);
    expect(print({ a: 1, b: { c: 2, d: 3 } })).toBe(print({ b: { d: 3, c: 2 }, a: 1 }));
    expect(print({ a: 1, b: undefined })).toBe(print({ a: 1 }));
    expect(print(JSON.parse('{"__proto__":1}'))).not.toBe(print({}));
    expect(print([1, 2])).not.toBe(print([2, 1]));
    expect(print(new Uint8Array([1, 2]))).toBe(print(new Uint8Array([1, 2]).buffer));
  });

  test("are stable: records of today must be comparable tomorrow", () => {
    expect(fingerprintOf({ b: [1, "é"], a: null }, NOTHING)).toBe(
      "1:593a9e1ef28abd1a935dd82ceb9af67164d1b1f2e5f7b270acd5c81a0688d7f1",
    );
  });
});
