import { createEngine, memoryStore } from "@idemkit/engine";
import { describe, expect, test } from "vitest";
import { describeOperation, Guard, type HttpOptions, StatusEndpoint } from "../src/index.ts";

const engine = createEngine({ store: memoryStore() });
const scope = () => "ada";
const key = () => "evt_1";
const verify = () => true;

const wrong: readonly (readonly [string, object, RegExp])[] = [
  [
    "an option that is none",
    { engine, scope, scopes: 1 },
    /^scopes: no such option. Expected one of/,
  ],
  ["no engine", { scope }, /^engine: expected an engine of createEngine, got undefined/],
  ["no scope", { engine }, /^scope: expected a function, got undefined/],
  ["a scope that is none", { engine, scope: "ada" }, /^scope: expected a function, got 'ada'/],
  [
    "a preset",
    { engine, scope, preset: "paypal" },
    /^preset: expected 'ietf' or 'stripe' or 'retryable' or 'webhook', got 'paypal'/,
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
  [
    "fingerprint",
    { engine, scope, fingerprint: true },
    /^fingerprint: expected false, a function or { exclude: \[JSON Pointers\] }, got true\.$/,
  ],
  [
    "a misspelt exclude",
    { engine, scope, fingerprint: { exclude: [], excluded: [] } },
    /^fingerprint: expected false, a function or { exclude: .*, got an object\.$/,
  ],
  [
    "exclude",
    { engine, scope, fingerprint: { exclude: "/attempts" } },
    /^fingerprint\.exclude: expected a list of JSON Pointers, got a string of 9 characters\.$/,
  ],
  [
    "a pointer",
    { engine, scope, fingerprint: { exclude: ["/a", "attempts"] } },
    /^fingerprint\.exclude\[1\]: expected a JSON Pointer .* such as '\/attempts', got 'attempts'\.$/,
  ],
  [
    "the pointer to the whole body",
    { engine, scope, fingerprint: { exclude: [""] } },
    /^fingerprint\.exclude\[0\]: expected a JSON Pointer .*, got an empty string\.$/,
  ],
  ["verify", { engine, scope, verify: "whsec_1" }, /^verify: expected a function, got a string of/],
  [
    "webhook without verify",
    { engine, scope, preset: "webhook", key },
    /^verify: expected a function, because `preset` is 'webhook', got undefined\.$/,
  ],
  [
    "webhook without key",
    { engine, scope, preset: "webhook", verify },
    /^key: expected a function, because `preset` is 'webhook', got undefined\.$/,
  ],
  [
    "webhook with 202",
    { engine, scope, preset: "webhook", key, verify, onDuplicate: "accepted", statusUrl: key },
    /^onDuplicate: expected 'reject' or { waitMs }, because `preset` is 'webhook', got 'accepted'\.$/,
  ],
  ["replayMs", { engine, scope, replayMs: 1000 }, /^replayMs: expected at least/],
  ["cookies", { engine, scope, cookies: "yes" }, /^cookies: expected a boolean/],
];

describe("options are checked when the protection is made", () => {
  test.each(wrong)("%s", (_what, options, message) => {
    const make = () => new Guard(options as HttpOptions<unknown>);
    expect(make).toThrow(TypeError);
    expect(make).toThrow(message);
  });
});

test("a status endpoint takes the webhook preset without key and verify", () => {
  expect(() => new StatusEndpoint({ engine, scope, preset: "webhook" })).not.toThrow();
});

test("an engine that excludes members is refused, and the message names the option for it", () => {
  const own = engine.with({ exclude: ["/attempts"] });
  expect(() => new Guard({ engine: own, scope })).toThrow("the option fingerprint: { exclude }");
});

test("a description has no header for a key from elsewhere, and the 401 of verify", () => {
  const { parameters, responses } = describeOperation({ engine, scope, key, verify });
  expect(parameters).toEqual([]);
  expect(responses[401]?.description).toBe("The request could not be verified.");
  expect(describeOperation({ engine, scope }).responses).not.toHaveProperty("401");
});
