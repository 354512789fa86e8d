import { createEngine, memoryStore } from "@idemkit/engine";
import { describe, expect, test } from "vitest";
import { Guard, type HttpOptions } from "../src/index.ts";

const engine = createEngine({ store: memoryStore() });
const scope = () => "ada";

const wrong: readonly (readonly [string, object, RegExp])[] = [
  [
    "an option that is none",
    { engine, scope, scopes: 1 },
    /^scopes: no such option. Expected one of/,
  ],
  ["no engine", { scope }, /^engine: expected what createEngine answers, got undefined/],
  ["no scope", { engine }, /^scope: expected a function, got undefined/],
  ["a scope that is none", { engine, scope: "ada" }, /^scope: expected a function, got 'ada'/],
  [
    "a preset",
    { engine, scope, preset: "paypal" },
    /^preset: expected 'ietf' or 'stripe' or 'retryable'/,
  ],
  ["headers", { engine, scope, headers: [] }, /^headers: expected at least one name/],
  ["a header", { engine, scope, headers: ["a b"] }, /^headers: expected a list of header names/],
  ["keyFormat", { engine, scope, keyFormat: "a" }, /^keyFormat: expected a RegExp/],
  ["methods", { engine, scope, methods: "POST" }, /^methods: expected a list of methods/],
  [
    "onDuplicate",
    { engine, scope, onDuplicate: "wait" },
    /^onDuplicate: expected 'reject', 'accepted'/,
  ],
  ["waitMs", { engine, scope, onDuplicate: { waitMs: -1 } }, /waitMs/],
  [
    "accepted alone",
    { engine, scope, onDuplicate: "accepted" },
    /^statusUrl: expected a function, as/,
  ],
  ["on5xx", { engine, scope, on5xx: "rerun" }, /^on5xx: expected 'record' or 'release' or 'hold'/],
  [
    "onStoreError",
    { engine, scope, onStoreError: "run" },
    /^onStoreError: expected 'reject' or 'bypass'/,
  ],
  ["replayHeader", { engine, scope, replayHeader: "a\nb" }, /^replayHeader: expected the name/],
  [
    "maxBody",
    { engine, scope, maxBody: 2 ** 24 + 1 },
    /^maxBody: expected a number of bytes from 0/,
  ],
  ["docsUrl", { engine, scope, docsUrl: "/docs" }, /^docsUrl: expected an absolute URL/],
  ["cookies", { engine, scope, cookies: "yes" }, /^cookies: expected a boolean/],
];

describe("options are checked when the protection is made", () => {
  test.each(wrong)("%s", (_what, options, message) => {
    const make = () => new Guard(options as HttpOptions<unknown>);
    expect(make).toThrow(TypeError);
    expect(make).toThrow(message);
  });
});
