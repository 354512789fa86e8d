import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
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

/** The demo as its command runs it, with its output captured. */
async function commanded(...options: readonly string[]) {
  const main = fileURLToPath(new URL("../src/main.ts", import.meta.url));
  const node = ["--conditions=@idemkit/source", "--import", "tsx", main, ...options];
  const env = { ...process.env, CI: "true" };
  return await promisify(execFile)(process.execPath, node, { env }).then(
    ({ stdout }) => ({ code: 0, stdout, stderr: "" }),
    ({ code, stdout, stderr }: { code: number; stdout: string; stderr: string }) => ({
      code,
      stdout,
      stderr,
    }),
  );
}

test("the command exits with 0, and colours nothing that is no terminal", async () => {
  const { code, stdout } = await commanded();
  expect(code).toBe(0);
  expect(stdout).toContain("Every scene went as promised.");
  expect(stdout).not.toContain("\u001b");
});

test("the command refuses options that it does not have", async () => {
  const { code, stdout, stderr } = await commanded("--jsno");
  expect([code, stdout]).toEqual([2, ""]);
  expect(stderr).toContain("no such option: --jsno. Expected --json or nothing.");
});

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
  expect(story.scenes).toHaveLength(10);
  // Only the key that became new has charged twice.
  expect(story.ledger.map(({ reference }) => reference).sort()).toEqual([
    "A1",
    "A1",
    "B1",
    "C2",
    "D1",
    "E1",
  ]);
});
