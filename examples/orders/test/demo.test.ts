import { expect, test } from "vitest";
import { demo } from "../src/demo.ts";
import type { Scene } from "../src/scene.ts";

async function played(isJson: boolean) {
  let text = "";
  const isAsPromised = await demo({
    isJson,
    write: (more) => {
      text += more;
    },
  });
  return { text, isAsPromised };
}

test("the demo keeps every promise, in 80 columns", async () => {
  const { text, isAsPromised } = await played(false);
  expect(isAsPromised, text).toBe(true);
  expect(text.match(/✓/g)?.length).toBeGreaterThan(15);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colours begin with this character.
  for (const line of text.replaceAll(/\u001b\[\d+m/g, "").split("\n")) {
    expect(line.length).toBeLessThanOrEqual(80);
  }
});

test("the demo prints the same as data", async () => {
  const { text, isAsPromised } = await played(true);
  const story = JSON.parse(text) as {
    readonly isAsPromised: boolean;
    readonly scenes: readonly Scene[];
    readonly ledger: readonly { readonly reference: string }[];
  };
  expect(isAsPromised && story.isAsPromised).toBe(true);
  expect(story.scenes).toHaveLength(9);
  // Only at-least-once and the key that became new have charged twice.
  expect(story.ledger.map(({ reference }) => reference).sort()).toEqual([
    "A1",
    "A1",
    "B1",
    "C2",
    "D1",
    "E1",
    "E1",
  ]);
});
