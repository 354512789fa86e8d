import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const run = promisify(execFile);
const NODE = ["--conditions=@idemkit/source", "--import", "tsx"];

function script(name: string): string {
  return fileURLToPath(new URL(`../src/${name}`, import.meta.url));
}

test("the command tells the story to its end", async () => {
  const env = { ...process.env };
  delete env.INVENTORY_DATABASE;
  const { stdout } = await run(process.execPath, [...NODE, script("main.ts")], { env });
  expect(stdout).toContain('20 times at once              {"lines_applied":1}');
  expect(stdout).toContain('"status":"superseded","successor":3');
  expect(stdout.match(/"warehouseRef":"w-1"/g)).toHaveLength(2);
});

test("the commands refuse what they cannot understand", async () => {
  const env = { ...process.env, INVENTORY_DATABASE: "mysql://nowhere" };
  const wrong = run(process.execPath, [...NODE, script("main.ts")], { env });
  await expect(wrong).rejects.toThrow(/expected sqlite:path or postgres/);
  const load = run(process.execPath, [...NODE, script("load.ts"), "many"]);
  await expect(load).rejects.toMatchObject({ code: 2, stderr: expect.stringContaining("[lines]") });
});
