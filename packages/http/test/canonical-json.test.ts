import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { canonicalJson } from "../src/canonical-json.ts";
import { checkedFingerprint, type ExcludedMembers } from "../src/fingerprint-option.ts";

/** The same value as JSON in another form: members turned round, blanks, escapes. */
function otherForm(value: unknown): string {
  if (Array.isArray(value)) return `[ ${value.map(otherForm).join(" ,\n")} ]`;
  if (typeof value === "object" && value !== null) {
    const members = Object.entries(value).reverse();
    return `{\t${members.map(([name, each]) => `${escaped(name)} : ${otherForm(each)}`).join(",")}}`;
  }
  return typeof value === "string" ? escaped(value) : JSON.stringify(value);
}

function escaped(text: string): string {
  const units = Array.from({ length: text.length }, (_, at) => text.charCodeAt(at));
  return `"${units.map((unit) => `\\u${unit.toString(16).padStart(4, "0")}`).join("")}"`;
}

describe("canonical JSON", () => {
  test("is the same for every form of a value, and reads as that value", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const canonical = canonicalJson(JSON.stringify(value));
        expect(canonical).toBe(canonicalJson(otherForm(value)));
        expect(JSON.parse(canonical as string)).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });

  test("is the same for every form of an object with many members", () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.string(), fc.integer(), { minKeys: 12, maxKeys: 24 }),
        (value) => {
          const canonical = canonicalJson(JSON.stringify(value));
          expect(canonical).toBe(canonicalJson(otherForm(value)));
          expect(Object.keys(JSON.parse(canonical as string))).toHaveLength(
            Object.keys(value).length,
          );
          const twice = `${otherForm(value).slice(0, -1)},${JSON.stringify(value).slice(1)}`;
          expect(canonicalJson(twice)).toBeUndefined();
        },
      ),
    );
  });

  test("has no blanks, wherever they stood", () => {
    const text = '[{},[],{"a":[1,{"b":2}],"c":"d e"},null]';
    const between = (blank: string) =>
      text.replaceAll(/("d e")|([[\]{},:])/g, `${blank}$&${blank}`);
    for (const blank of ["", " ", "\n\t", "\r\n  "]) {
      expect(canonicalJson(between(blank))).toBe(text);
    }
    for (let at = 0; at <= text.length; at += 1) {
      const once = `${text.slice(0, at)} ${text.slice(at)}`;
      if (!reads(once)) expect(canonicalJson(once)).toBeUndefined();
      else expect(canonicalJson(once)).toBe(canonicalJson(JSON.stringify(JSON.parse(once))));
    }
  });

  test("is its own canonical form", () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        const canonical = canonicalJson(text) as string;
        expect(canonicalJson(canonical)).toBe(canonical);
      }),
    );
  });

  test("exists for what JSON.parse reads, but for members that come twice and deep nesting", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom(...'{}[]",:\\ 0123.eE+-truefalsn\n') }),
        (text) => {
          const isJson = reads(text);
          const hasTwice = /"(.*)".*"\1"/s.test(text);
          if (!hasTwice) expect(canonicalJson(text) !== undefined).toBe(isJson);
        },
      ),
      { numRuns: 2_000 },
    );
  });

  test("keeps numbers as they were written", () => {
    expect(canonicalJson('{"b":1.0,"a":[9007199254740993,1e400,-0]}')).toBe(
      '{"a":[9007199254740993,1e400,-0],"b":1.0}',
    );
  });

  test("sorts members whose names are written in another way, and knows them for the same", () => {
    expect(canonicalJson('{"b":1,"\\u0061":2}')).toBe('{"a":2,"b":1}');
    expect(canonicalJson('{"a":1,"\\u0061":2}')).toBeUndefined();
    expect(canonicalJson('{"a":1,"a":2}')).toBeUndefined();
  });

  test("keeps lone surrogates apart, and members named as prototypes are", () => {
    expect(canonicalJson('"\\ud800"')).not.toBe(canonicalJson('"\\ud801"'));
    expect(canonicalJson('{"__proto__":1,"constructor":2}')).toBe(
      '{"__proto__":1,"constructor":2}',
    );
  });

  test("does not exist for what is none, or nested too deeply", () => {
    const none = [
      "",
      " ",
      "{",
      '{"a"}',
      "[1,]",
      "01",
      "1.",
      '"\n"',
      '"\\x"',
      "nul",
      "[1] 2",
      "'a'",
    ];
    expect(none.map((text) => canonicalJson(text))).toEqual(none.map(() => undefined));
    expect(canonicalJson(`${"[".repeat(202)}${"]".repeat(202)}`)).toBeUndefined();
    expect(canonicalJson("[".repeat(1_000_000))).toBeUndefined();
  });

  test("leaves excluded members out, wherever they stand, and no others", () => {
    // A number as a name would be the place of an element as well.
    const names = fc.string().filter((name) => !/^\d+$/.test(name));
    const members = fc.dictionary(names, fc.jsonValue(), { minKeys: 1 });
    fc.assert(
      fc.property(members, fc.array(members), fc.nat(), (object, list, at) => {
        const all = Object.keys(object);
        const name = all[at % all.length] as string;
        const { [name]: _, ...others } = object;
        const excluded = excludedMembers([`/${pointerOf(name)}`, `/1/${pointerOf(name)}`]);
        expect(canonicalJson(otherForm(object), excluded)).toBe(
          canonicalJson(JSON.stringify(others)),
        );
        const within = canonicalJson(otherForm([list, object, object]), excluded);
        expect(within).toBe(canonicalJson(JSON.stringify([list, others, object])));
      }),
    );
  });

  test("leaves excluded elements of lists out, and keeps the places of the others", () => {
    const excluded = excludedMembers(["/0", "/2/a", "/02"]);
    expect(canonicalJson('[1,{"a":1},{"a":1,"b":1.0}]', excluded)).toBe('[{"a":1},{"b":1.0}]');
    expect(canonicalJson("[]", excluded)).toBe("[]");
    expect(canonicalJson("[1]", excluded)).toBe("[]");
    expect(canonicalJson('{"0":1,"1":2}', excluded)).toBe('{"1":2}');
    expect(canonicalJson('"text"', excluded)).toBe('"text"');
    expect(canonicalJson("[1,", excluded)).toBeUndefined();
  });
});

function excludedMembers(exclude: readonly string[]): ExcludedMembers | undefined {
  const comparison = checkedFingerprint({ exclude });
  return comparison.kind === "body" ? comparison.excluded : undefined;
}

function pointerOf(name: string): string {
  return name.replaceAll("~", "~0").replaceAll("/", "~1");
}

function reads(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
