import { demo } from "./demo.ts";

const known = new Set(["--json"]);
const given = process.argv.slice(2);
const unknown = given.filter((option) => !known.has(option));
if (unknown.length > 0) {
  process.stderr.write(`demo: no such option: ${unknown.join(" ")}. Expected --json or nothing.\n`);
  process.exitCode = 2;
} else {
  const isAsPromised = await demo({
    isJson: given.includes("--json"),
    write: (text) => process.stdout.write(text),
  });
  process.exitCode = isAsPromised ? 0 : 1;
}
