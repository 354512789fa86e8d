import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { Doomed } from "./doomed-process.ts";

/** Has a process of its own do something, and kills it at an effect. Answers what it did until then. */
export async function killed(doomed: Doomed): Promise<readonly string[]> {
  const script = fileURLToPath(new URL("doomed-process.ts", import.meta.url));
  const child = fork(script, [JSON.stringify(doomed)], {
    execArgv: ["--conditions=@idemkit/source", "--import", "tsx"],
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  const exited = once(child, "exit");
  const effects: string[] = [];
  child.on("message", (effect: string) => {
    effects.push(effect);
    if (effect.startsWith(doomed.diesAt) || effect === "the end") child.kill("SIGKILL");
  });
  const [code, signal] = await exited;
  if (signal === "SIGKILL" && effects.at(-1)?.startsWith(doomed.diesAt)) return effects;
  throw new Error(`It did not die at ${doomed.diesAt}: ${effects.join(", ")}, exit code ${code}.`);
}
