import { writeFileSync } from "node:fs";
import { Session } from "node:inspector/promises";
import { httpApps } from "./http-apps.ts";

/** What a server tells: first where it listens, then, when it is asked, how long it has worked. */
export type ServerReport = { readonly port: number } | { readonly cpuUs: number };

const report = (what: ServerReport) => process.send?.(what);

// One server in a process of its own, so that its time on the processor is that of no client.
const [name = "", profilePath] = process.argv.slice(2);
const chosen = httpApps[name];
if (chosen === undefined) throw new Error(`no such server: ${name}`);
const app = await chosen.open();
const session = new Session();
session.connect();
let isProfiling = false;
process.on("message", async () => {
  // Whoever asks has warmed it up: a profile from the start would show the loading of modules.
  if (profilePath !== undefined && !isProfiling) {
    isProfiling = true;
    await session.post("Profiler.enable");
    await session.post("Profiler.start");
  }
  const { user, system } = process.cpuUsage();
  report({ cpuUs: user + system });
});
process.once("disconnect", async () => {
  if (profilePath !== undefined && isProfiling) {
    const { profile } = await session.post("Profiler.stop");
    writeFileSync(profilePath, JSON.stringify(profile));
  }
  await app.close();
  process.exit();
});
report({ port: app.port });
