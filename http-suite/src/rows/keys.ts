import { expect } from "vitest";
import type { Row } from "../lab.ts";
import { expectProblem, expectReplay, row } from "./row.ts";

const UUID = "8e03978e-40d5-43e8-bc93-6894a57f9324";

const refused: readonly (readonly [string, string | readonly string[], string])[] = [
  ["two header lines", ["a", "b"], "key-ambiguous"],
  ["two equal header lines", ["a", "a"], "key-ambiguous"],
  ["a bare key with a comma", "a,b", "key-ambiguous"],
  ["a string that is not closed", '"a', "key-invalid"],
  ["a bad escape", '"a\\n"', "key-invalid"],
  ["something behind the string", '"a" b', "key-invalid"],
  ["letters beyond ASCII", "caf\u00e9", "key-invalid"],
  ["letters beyond ASCII in a string", '"caf\u00e9"', "key-invalid"],
  ["a blank beyond ASCII at its end", "k\u00a0", "key-invalid"],
  ["blanks only", '"   "', "key-invalid"],
  ["an empty string", '""', "key-invalid"],
  ["an empty value", "", "key-invalid"],
  ["256 bytes", "k".repeat(256), "key-invalid"],
  ["a double quote within a bare key", 'a"b', "key-invalid"],
];

const same: readonly (readonly [string, string, string])[] = [
  ["a bare key and a quoted one", UUID, `"${UUID}"`],
  ["a key with an escaped quote, twice", '"a\\"b"', '"a\\"b"'],
  ["a string with parameters and without", '"k";v=1', '"k"'],
  ["a key with blanks around it", "  k  ", "k"],
];

export const keyRows: readonly Row[] = [
  row("a request without a key is refused", {}, async ({ post, runs }) => {
    const answer = await post();
    expectProblem(answer, 400, "key-missing");
    expect(answer.json).toMatchObject({ title: "Idempotency-Key is missing" });
    expect(runs()).toBe(0);
  }),
  row(
    "a request without a key runs where none is required",
    { options: { required: false } },
    async ({ post, runs }) => {
      expect((await post()).status).toBe(201);
      expect((await post()).isReplayed).toBe(false);
      expect(runs()).toBe(2);
    },
  ),
  row(
    "a bad key is refused even where none is required",
    { options: { required: false } },
    async ({ post, runs }) => {
      expectProblem(await post({ headers: { "idempotency-key": '"' } }), 400, "key-invalid");
      expect(runs()).toBe(0);
    },
  ),
  ...refused.map(([what, value, code]) =>
    row(`a key is refused: ${what}`, {}, async ({ post, runs }) => {
      expectProblem(await post({ headers: { "idempotency-key": value } }), 400, code);
      expect(runs()).toBe(0);
    }),
  ),
  ...same.map(([what, one, other]) =>
    row(`the same key: ${what}`, {}, async ({ post, runs }) => {
      const first = await post({ headers: { "idempotency-key": one } });
      expectReplay(first, await post({ headers: { "idempotency-key": other } }));
      expect(runs()).toBe(1);
    }),
  ),
  row("255 bytes are a key, and so is a quoted comma", {}, async ({ post, runs }) => {
    expect((await post({ headers: { "idempotency-key": "k".repeat(255) } })).status).toBe(201);
    expect((await post({ headers: { "idempotency-key": '"a,b"' } })).status).toBe(201);
    expect(runs()).toBe(2);
  }),
  row("keys that differ in case are two", {}, async ({ post, runs }) => {
    await post({ key: "k" });
    expect((await post({ key: "K" })).isReplayed).toBe(false);
    expect(runs()).toBe(2);
  }),
  row("strict takes quoted strings only", { options: { strict: true } }, async ({ post, runs }) => {
    expectProblem(await post({ headers: { "idempotency-key": UUID } }), 400, "key-invalid");
    expect((await post({ key: UUID })).status).toBe(201);
    expect(runs()).toBe(1);
  }),
  row(
    "keyFormat refuses other keys, each time anew",
    { options: { keyFormat: /^[0-9a-f-]{36}$/g } },
    async ({ post }) => {
      expectProblem(await post({ key: "secret-key" }), 400, "key-invalid");
      expect((await post({ key: UUID })).status).toBe(201);
      expect((await post({ key: UUID })).isReplayed).toBe(true);
    },
  ),
  row(
    "another header may carry the key",
    { options: { headers: ["Idempotency-Key", "X-Key"] } },
    async ({ post, runs }) => {
      const first = await post({ headers: { "x-key": "k" } });
      expectReplay(first, await post({ key: "k" }));
      const both = await post({ headers: { "x-key": "k", "idempotency-key": "k" } });
      expectProblem(both, 400, "key-ambiguous");
      expect(runs()).toBe(1);
    },
  ),
  row(
    "the key may come from elsewhere",
    { options: { key: () => "webhook-1" } },
    async ({ post, runs }) => {
      expectReplay(await post(), await post());
      expect(runs()).toBe(1);
    },
  ),
  row("two callers with one key are two", {}, async ({ post, runs }) => {
    await post({ key: "k", headers: { "x-user": "ada" } });
    expect((await post({ key: "k", headers: { "x-user": "bob" } })).isReplayed).toBe(false);
    expect(runs()).toBe(2);
  }),
  row("other methods pass, whatever their key", {}, async ({ post, runs }) => {
    for (const method of ["GET", "PUT"]) {
      const answer = await post({ method, headers: { "idempotency-key": ["a", "b"] } });
      expect(answer.status).toBe(201);
    }
    expect(runs()).toBe(2);
  }),
  row(
    "PATCH is protected, and other methods where asked for",
    { options: { methods: ["put", "PATCH"] } },
    async ({ post, runs }) => {
      for (const method of ["PUT", "PATCH"]) {
        const first = await post({ method, key: method });
        expectReplay(first, await post({ method, key: method }));
      }
      expect((await post({ method: "POST" })).status).toBe(201);
      expect(runs()).toBe(3);
    },
  ),
  row("a route that is not protected ignores the key", {}, async ({ post, runs }) => {
    await post({ path: "/open", key: "k" });
    expect((await post({ path: "/open", key: "k" })).isReplayed).toBe(false);
    expect(runs()).toBe(2);
  }),
];
