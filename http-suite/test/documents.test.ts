import { readFileSync } from "node:fs";
import { createEngine, memoryStore } from "@idemkit/engine";
import { DRAFT_URL, Guard, PROBLEM_CODES, type ProblemCode } from "@idemkit/http";
import { describe, expect, test } from "vitest";
import { keptAs, saysNothingDone } from "../../packages/http/src/disposition.ts";
import { PRESETS } from "../../packages/http/src/presets.ts";
import { problemOf } from "../../packages/http/src/problems.ts";

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");
const document = read("docs/http.md");

/** What stands under a heading, up to the next one of any level. */
function under(heading: string): string {
  const [, rest = ""] = document.split(`\n${heading}\n`);
  return rest.split(/^#+ /m)[0] ?? "";
}

/** The cells of a table's rows, without its head. */
function rowsOf(text: string): readonly (readonly string[])[] {
  const rows = text.split("\n").filter((line) => line.startsWith("|"));
  return rows
    .slice(2)
    .map((line) => line.split(" | ").map((cell) => cell.replaceAll(/^\| | \|$/g, "")));
}

const sorted = (names: Iterable<string>) => [...names].sort();
const quotedIn = (text: string) =>
  [...text.matchAll(/["`]([a-z0-9*-]+)["`]/g)].map(([, name = ""]) => name);

/** Whoever gives an option that is none is told which ones there are. */
function knownOptions(): readonly string[] {
  const options = { engine: createEngine({ store: memoryStore() }), scope: () => "ada" };
  try {
    new Guard({ ...options, optionThatIsNone: 1 } as never);
  } catch (error) {
    const [, names = ""] = String(error).split("Expected one of ");
    return names.replace(".", "").split(", ");
  }
  return [];
}

describe("docs/http.md", () => {
  test("has every problem with its status and title, and no other", () => {
    const inDocs = rowsOf(under("## Problems")).map(([code = "", status, title]) => [
      code.replaceAll("`", ""),
      Number(status),
      title,
    ]);
    const inCode = PROBLEM_CODES.map((code: ProblemCode) => {
      const { status, title } = problemOf(code, DRAFT_URL);
      return [code, status, title];
    });
    expect(inDocs.sort()).toEqual(inCode.sort());
  });

  test("has every option, and no other", () => {
    const inDocs = rowsOf(under("## Options")).map(([name = ""]) => name.replaceAll("`", ""));
    expect(sorted(inDocs)).toEqual(sorted(knownOptions()));
  });

  test("has every preset with its replay header, and no other", () => {
    const inDocs = rowsOf(under("### Presets")).map(([name = "", header = ""]) => [
      name.replaceAll("`", ""),
      header.replaceAll("`", ""),
    ]);
    const inCode = Object.entries(PRESETS).map(([name, { replayHeader }]) => [name, replayHeader]);
    expect(inDocs).toEqual(inCode);
  });

  test("says of every status what becomes of its key", () => {
    const [released = [], stubbed = []] = rowsOf(under("## Which responses are kept")).map(
      ([statuses = ""]) => statuses.split(", ").map(Number),
    );
    for (let status = 200; status <= 499; status += 1) {
      const inDocs = released.includes(status)
        ? "release"
        : stubbed.includes(status)
          ? "stub"
          : "record";
      const inCode = saysNothingDone(status) ? "release" : keptAs(status, true);
      expect([status, inDocs]).toEqual([status, inCode]);
    }
  });

  test("names every header that is not kept, and no other", () => {
    const source = read("packages/http/src/headers.ts");
    const [, fromList = ""] = source.split("const NOT_KEPT:");
    const [list = "", afterList = ""] = fromList.split("const NOT_KEPT_PREFIXES = ");
    const prefixes = quotedIn(afterList.split("]")[0] ?? "").map((prefix) => `${prefix}*`);
    const inDocs = under("## Headers")
      .split("\n")
      .filter((line) => /^(?:- | {2})`/.test(line));
    expect(sorted(quotedIn(inDocs.join("\n")))).toEqual(sorted([...quotedIn(list), ...prefixes]));
  });
});
