import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { arch, cpus, platform } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { httpApps } from "./http-apps.ts";
import { HTTP_CASES, type HttpCase, type Load, LoadClient } from "./http-load.ts";
import type { ServerReport } from "./http-server.ts";

const isQuick = process.argv.includes("--quick");
/** A folder that gets a profile of each server, from the first trial on. */
const profiles = process.argv.find((word) => word.startsWith("--profiles="))?.split("=")[1];
const ROUNDS = isQuick ? 3 : 7;
const DURATION_MS = isQuick ? 400 : 1_500;
/** For the just-in-time compiler: of a server in each case, and again before each trial. */
const WARM_UP_REQUESTS = 3_000;
const WARM_UP_MAX_MS = isQuick ? 1_500 : 5_000;
const WARM_AGAIN_MS = 150;
const CONNECTIONS = [1, 32];

/** Words on the command line choose servers and cases by parts of their names; without any, all. */
const chosen = process.argv.slice(2).filter((word) => !word.startsWith("-"));
function matching<T>(all: readonly T[], nameOf: (each: T) => string): readonly T[] {
  const some = all.filter((each) => chosen.some((word) => nameOf(each).includes(word)));
  return some.length === 0 ? all : some;
}
const names = matching(Object.keys(httpApps), (name) => name);
const cases = matching(HTTP_CASES, ({ name }) => name);

type Measured = Load & { readonly cpuUs: number };

const write = (line: string) => process.stdout.write(`${line}\n`);

class Server {
  readonly #process: ChildProcess;
  readonly #clients: readonly (readonly [connections: number, client: LoadClient])[];
  readonly #isProtected: boolean;

  static async start(name: string, round: number): Promise<Server> {
    const script = fileURLToPath(new URL("http-server.ts", import.meta.url));
    const profile = profiles && join(profiles, `${name.replaceAll(" ", "-")}-${round}.cpuprofile`);
    const child = fork(script, [name, ...(profile === undefined ? [] : [profile])]);
    const [report] = (await once(child, "message")) as [ServerReport];
    if (!("port" in report)) throw new Error("The server has not said where it listens.");
    return new Server(child, report.port, httpApps[name]?.base !== name);
  }

  private constructor(child: ChildProcess, port: number, isProtected: boolean) {
    this.#process = child;
    this.#isProtected = isProtected;
    this.#clients = CONNECTIONS.map((each) => [each, new LoadClient(port, each)]);
  }

  async warmUp(): Promise<void> {
    for (const each of cases) {
      for (const [, client] of this.#clients) await client.prove(each, this.#isProtected);
      await this.#clients.at(-1)?.[1].run(each, WARM_UP_MAX_MS, WARM_UP_REQUESTS);
    }
  }

  async measure(of: HttpCase, connections: number): Promise<Measured> {
    const client = new Map(this.#clients).get(connections) as LoadClient;
    await client.run(of, WARM_AGAIN_MS);
    const beforeUs = await this.#cpuUs();
    const load = await client.run(of, DURATION_MS);
    return { ...load, cpuUs: ((await this.#cpuUs()) - beforeUs) / load.requests };
  }

  async stop(): Promise<void> {
    for (const [, client] of this.#clients) await client.close();
    const exited = once(this.#process, "exit");
    this.#process.disconnect();
    await exited;
  }

  async #cpuUs(): Promise<number> {
    this.#process.send("cpu");
    const [report] = (await once(this.#process, "message")) as [ServerReport];
    return "cpuUs" in report ? report.cpuUs : Number.NaN;
  }
}

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/** All servers by turns in each case, each round with processes of its own. */
async function measureAll(): Promise<ReadonlyMap<string, readonly Measured[]>> {
  const trials = new Map<string, Measured[]>();
  for (let round = 0; round < ROUNDS; round += 1) {
    const servers = new Map<string, Server>();
    for (const name of names) servers.set(name, await Server.start(name, round));
    for (const server of servers.values()) await server.warmUp();
    for (const each of cases) {
      for (const connections of CONNECTIONS) {
        for (const [name, server] of servers) {
          const id = idOf(each, connections, name);
          const measured = await server.measure(each, connections);
          trials.set(id, [...(trials.get(id) ?? []), measured]);
        }
      }
    }
    for (const server of servers.values()) await server.stop();
  }
  return trials;
}

function idOf({ name }: HttpCase, connections: number, server: string): string {
  return [name, connections, server].join("\n");
}

function writeRow(cells: readonly (string | number)[]): void {
  const [name, ...others] = cells;
  write(`${String(name).padEnd(30)}${others.map((cell) => String(cell).padStart(10)).join("")}`);
}

function writeTable(
  trials: ReadonlyMap<string, readonly Measured[]>,
  of: HttpCase,
  connections: number,
): void {
  write(`\n${of.name}, ${connections === 1 ? "1 connection" : `${connections} connections`}`);
  for (const name of names) {
    const at = (server: string, what: keyof Measured) =>
      median((trials.get(idOf(of, connections, server)) ?? []).map((each) => each[what]));
    const base = httpApps[name]?.base ?? name;
    const cpuUs = at(name, "cpuUs");
    writeRow([
      name,
      `${(cpuUs / at(base, "cpuUs")).toFixed(2)} ×`,
      `${(at(name, "perSecond") / at(base, "perSecond")).toFixed(2)} ×`,
      cpuUs.toFixed(0),
      (cpuUs - at(base, "cpuUs")).toFixed(0),
      Math.round(at(name, "perSecond")),
      Math.round(at(name, "p50Us")),
      Math.round(at(name, "p99Us")),
    ]);
  }
}

write(`Node ${process.version}, ${platform()} ${arch()}, ${cpus().length} × ${cpus()[0]?.model}`);
write(
  `medians of ${ROUNDS} alternating trials of ${DURATION_MS} ms; ratios to the bare route of the ` +
    "same framework; µs: time of the server's process on the processor for each request\n",
);
writeRow(["", "CPU", "requests", "µs", "µs added", "per s", "p50 µs", "p99 µs"]);
const trials = await measureAll();
for (const each of cases) {
  for (const connections of CONNECTIONS) writeTable(trials, each, connections);
}
