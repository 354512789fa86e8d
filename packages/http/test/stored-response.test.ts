import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeResponse, encodeResponse, type StoredResponse } from "../src/stored-response.ts";

const ok: StoredResponse = { status: 200, headers: [], body: { kind: "none" } };

const wrong: readonly (readonly [string, unknown, RegExp])[] = [
  [
    "a status that is none",
    { ...ok, status: 99_999 },
    /^status: expected a number from 200 to 599/,
  ],
  ["a status as text", { ...ok, status: "200" }, /^status: expected/],
  ["headers as an object", { ...ok, headers: { a: "b" } }, /^headers: expected a list/],
  ["a header's name", { ...ok, headers: [["a b", "c"]] }, /name/i],
  ["a header's value", { ...ok, headers: [["a", "b\nc"]] }, /header/i],
  ["a body that is none", { ...ok, body: { ok: 1 } }, /^body: expected/],
  ["a text that is none", { ...ok, body: { kind: "text", text: {} } }, /^body: expected/],
  [
    "a value that JSON cannot carry",
    { ...ok, body: { kind: "json", value: () => 1 } },
    /^body.value: expected/,
  ],
];

describe("a response that somebody settles a key with", () => {
  test.each(wrong)("is refused: %s", (_what, response, message) => {
    const encode = () => encodeResponse(response as StoredResponse);
    expect(encode).toThrow(TypeError);
    expect(encode).toThrow(message);
  });

  test("is read back as it was, also through JSON", () => {
    const body = fc.oneof(
      fc.constantFrom({ kind: "none" as const }, { kind: "empty" as const }),
      fc.string().map((text) => ({ kind: "text" as const, text })),
      fc.json().map((text) => ({ kind: "json" as const, value: JSON.parse(text) as unknown })),
      fc.uint8Array().map((bytes) => ({ kind: "bytes" as const, bytes: Buffer.from(bytes) })),
    );
    const status = fc.integer({ min: 200, max: 599 });
    const headers = fc.constant([["link", ["</a>", "</b>"]] as const, ["etag", '"1"'] as const]);
    fc.assert(
      fc.property(fc.record({ status, headers, body }), (response) => {
        const kept = JSON.parse(JSON.stringify(encodeResponse(response))) as unknown;
        expect(decodeResponse(kept)).toEqual(response);
      }),
    );
  });

  test("is none where somebody else has put a value", () => {
    const others = [
      undefined,
      null,
      1,
      "x",
      {},
      [],
      { httpResponse: 1 },
      { status: 200, headers: [] },
    ];
    expect(others.map(decodeResponse)).toEqual(others.map(() => undefined));
  });
});
