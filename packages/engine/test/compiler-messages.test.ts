import { fileURLToPath } from "node:url";
import ts from "typescript";
import { describe, expect, test } from "vitest";

const folder = fileURLToPath(new URL(".", import.meta.url));

const PRELUDE = `
import { createEngine, memoryStore, type TransactionalStore } from "../src/index.ts";
const engine = createEngine({ store: memoryStore() });
const later = createEngine({ store: {} as TransactionalStore<object, false> });
const now = createEngine({ store: {} as TransactionalStore<object, true> });
const lines = [{ key: "k", payload: 1 }];
declare const perhaps: { readonly a: number } | undefined;
class Money { readonly cents = 1n }
interface Contact { readonly name: string; readonly message: string }
declare const contact: Contact;
interface Branch { readonly name: string; readonly branches: readonly Branch[] }
declare const tree: Branch;
declare const sometimes: { readonly at: Date | null };
declare const rarely: { readonly at?: Date };
`;

/** Each snippet is compiled as a file of its own. One program for all of them loads the types once. */
function compiled(snippets: readonly string[]): readonly string[] {
  const paths = snippets.map((_snippet, index) => `${folder}compiled-${index}.ts`);
  const texts = new Map(
    snippets.map((snippet, index) => [paths[index], `${PRELUDE}\nvoid ${snippet};\n`]),
  );
  const { config } = ts.readConfigFile(`${folder}../../../tsconfig.base.json`, ts.sys.readFile);
  const { options } = ts.convertCompilerOptionsFromJson(config.compilerOptions, folder);
  // Each snippet uses one part of the prelude alone.
  options.noUnusedLocals = false;
  const host = ts.createCompilerHost(options);
  const readFile = host.readFile.bind(host);
  const fileExists = host.fileExists.bind(host);
  host.readFile = (path) => texts.get(path) ?? readFile(path);
  host.fileExists = (path) => texts.has(path) || fileExists(path);
  const getSourceFile = host.getSourceFile.bind(host);
  host.getSourceFile = (path, version, ...others) => {
    const text = texts.get(path);
    if (text === undefined) return getSourceFile(path, version, ...others);
    return ts.createSourceFile(path, text, version);
  };
  const program = ts.createProgram(paths, options, host);
  return paths.map((path) => {
    const file = program.getSourceFile(path);
    const found = [
      ...program.getSyntacticDiagnostics(file),
      ...program.getSemanticDiagnostics(file),
    ];
    return found
      .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, "\n"))
      .join("\n");
  });
}

const DATE = "JSON cannot carry a Date: use toISOString()";
const BIGINT = "JSON cannot carry a BigInt: use a string";
const MAP = "JSON cannot carry a Map: use Object.fromEntries(map), or [...map]";

const refused: readonly (readonly [snippet: string, sentence: string])[] = [
  [`engine.execute("s", "k", { at: new Date() }, () => 1)`, DATE],
  [`engine.execute("s", "k", new Date(), () => 1)`, DATE],
  [`engine.execute("s", "k", { a: { b: [{ at: new Date() }] } }, () => 1)`, DATE],
  [`engine.execute("s", "k", 1n, () => 1)`, BIGINT],
  [`engine.execute("s", "k", { cents: 1n }, () => 1)`, BIGINT],
  [`engine.execute("s", "k", new Money(), () => 1)`, BIGINT],
  [`engine.execute("s", "k", new Map<string, number>(), () => 1)`, MAP],
  [`engine.execute("s", "k", { a: new Set([1]) }, () => 1)`, "a Set: use [...set]"],
  [`engine.execute("s", "k", { a: /a/ }, () => 1)`, "a RegExp: use its source"],
  [`engine.execute("s", "k", { a: new Error() }, () => 1)`, "an Error: use its message"],
  [`engine.execute("s", "k", { a: Symbol("a") }, () => 1)`, "a symbol: use a string"],
  [`engine.execute("s", "k", { a: () => 1 }, () => 1)`, "a function: leave it out"],
  [`engine.execute("s", "k", { a: Money }, () => 1)`, "a function: leave it out"],
  [`engine.execute("s", "k", { a: new WeakMap() }, () => 1)`, "a WeakMap: use an object"],
  [`engine.execute("s", "k", { a: new WeakSet() }, () => 1)`, "a WeakSet: use a list"],
  [`engine.execute("s", "k", { a: new Uint8Array() }, () => 1)`, "bytes: use a base64 string"],
  [`engine.execute("s", "k", { a: Buffer.from("") }, () => 1)`, "bytes: use a base64 string"],
  [`engine.execute("s", "k", Promise.resolve(1), () => 1)`, "a Promise: await it"],
  [`engine.execute("s", "k", [1, undefined], () => 1)`, "undefined in a list: use null"],
  [`engine.execute("s", "k", perhaps, () => 1)`, "A payload cannot be undefined: use null"],
  [`engine.execute("s", "k", sometimes, () => 1)`, DATE],
  [`engine.execute("s", "k", rarely, () => 1)`, DATE],
  [`engine.execute("s", "k", null, () => sometimes)`, DATE],
  [`engine.execute("s", "k", null, async () => rarely)`, DATE],
  [`engine.execute("s", "k", null, () => new Date())`, DATE],
  [`engine.execute("s", "k", null, async () => new Date())`, DATE],
  [`engine.execute("s", "k", null, () => ({ at: new Date() }))`, DATE],
  [`engine.execute("s", "k", null, async () => ({ at: new Date() }))`, DATE],
  [`engine.execute("s", "k", null, async () => ({ a: [{ b: { at: new Date() } }] }))`, DATE],
  [`engine.execute("s", "k", null, () => 1n)`, BIGINT],
  [`engine.execute("s", "k", null, async () => ({ total: 1n }))`, BIGINT],
  [`engine.execute("s", "k", null, async () => new Map([["a", 1]]))`, MAP],
  [`engine.execute("s", "k", null, async () => new Uint8Array())`, "bytes: use a base64 string"],
  [`engine.execute("s", "k", null, ({ step }) => step("a", () => new Date()))`, DATE],
  [`engine.execute("s", "k", null, ({ step }) => step("a", async () => ({ n: 1n })))`, BIGINT],
  [`engine.begin("s", "k", { at: new Date() })`, DATE],
  [`engine.executeMany("s", [{ key: "k", payload: { at: new Date() } }], () => [])`, DATE],
  [`engine.executeMany("s", lines, () => [{ key: "k", value: new Date() }])`, DATE],
  [`engine.executeMany("s", lines, async () => [{ key: "k", value: { n: 1n } }])`, BIGINT],
  [`later.transaction("s", "k", { at: new Date() }, () => 1)`, DATE],
  [`later.transaction("s", "k", null, () => ({ at: new Date() }))`, DATE],
  [`later.transaction("s", "k", null, async () => ({ total: 1n }))`, BIGINT],
  [`now.transaction("s", "k", null, () => new Map([["a", 1]]))`, MAP],
  [`later.execute("s", "k", null, ({ transaction }) => transaction(async () => new Date()))`, DATE],
];

const accepted: readonly string[] = [
  `engine.execute("s", "k", contact, () => contact)`,
  `engine.execute("s", "k", { a: contact }, async () => ({ a: [contact] }))`,
  `engine.execute("s", "k", tree, async () => ({ tree }))`,
];

describe("the compiler's message says what to do instead:", () => {
  const messages = compiled(refused.map(([snippet]) => snippet));
  test.each(refused.map((row, index) => [...row, messages[index] as string]))(
    "%s",
    (_snippet, sentence, message) => {
      expect(message).toContain(sentence);
      expect(message).not.toContain("'never'");
    },
  );
});

test("interfaces compile, also with a name and a message as an Error has them", () => {
  expect(compiled(accepted)).toEqual(accepted.map(() => ""));
});
