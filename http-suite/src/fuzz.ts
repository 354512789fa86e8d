import { Readable } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";
import { randomOf } from "@idemkit/test-servers";
import type { Exchange, Handler, Plan } from "./lab.ts";
import type { Leave } from "./leaving.ts";

/** Apps that the keys of a run are spread over. */
export const FUZZED_APPS: readonly Omit<Plan, "handler">[] = [
  {},
  { around: ["slow"] },
  { around: ["compress", "served-at"] },
  { timeoutMs: 20 },
  { timeoutMs: 20, around: ["slow"] },
  { formatsErrors: true, around: ["served-at", "etag"] },
];

const WAYS = ["sync", "callback", "async", "stream", "steps", "foreign", "broken-stream"] as const;
const STATUSES = [200, 201, 202, 400, 402, 404, 409, 422, 500, 503];
/** Statuses of other services, most of which would give the key back if they were the handler's own. */
const FOREIGN_STATUSES = [401, 403, 408, 409, 413, 425, 429, 500];
/** Longer than the timeouts of the apps. */
const HANDLER_MS_MAX = 40;
const START_MS_MAX = 25;
const DUPLICATES_MAX = 6;

/** All that happens under one key. */
export interface Scenario {
  readonly key: string;
  readonly app: number;
  readonly way: (typeof WAYS)[number];
  readonly status: number;
  readonly body: unknown;
  readonly handlerMs: number;
  readonly isNested: boolean;
  readonly clients: readonly FuzzedClient[];
}

interface FuzzedClient {
  readonly afterMs: number;
  readonly leave: Leave | undefined;
  readonly encoding: "gzip" | "identity";
}

export function scenarioOf(seed: number): Scenario {
  const random = randomOf(seed);
  const below = (max: number) => Math.floor(random() * max);
  const oneOf = <T>(list: readonly T[]): T => list[below(list.length)] as T;
  const way = oneOf(WAYS);
  const bodies: readonly unknown[] = [
    { seed, list: [1, null, "\u00e9"] },
    `text ${seed}`,
    Buffer.from(`bytes ${seed}`),
    "x".repeat(below(3_000)),
  ];
  return {
    key: `k${seed}`,
    app: below(FUZZED_APPS.length),
    way,
    status: oneOf(way === "foreign" ? FOREIGN_STATUSES : STATUSES),
    body: oneOf(bodies),
    handlerMs: below(HANDLER_MS_MAX),
    isNested: random() < 0.5,
    clients: Array.from({ length: 1 + below(DUPLICATES_MAX) }, () => ({
      afterMs: below(START_MS_MAX),
      leave: random() < 0.4 ? leaveOf(random() < 0.5, below) : undefined,
      encoding: random() < 0.5 ? "gzip" : "identity",
    })),
  };
}

function leaveOf(isByTime: boolean, below: (max: number) => number): Leave {
  return isByTime ? { afterMs: below(START_MS_MAX) } : { afterBytes: below(400) };
}

export function pathOf({ way }: Scenario): string {
  return way === "sync" || way === "callback" ? "/callback/orders" : "/orders";
}

/** The handler of all scenarios: it finds its own by the key. */
export function fuzzedHandler(
  scenarios: ReadonlyMap<string, Scenario>,
  onRun: (key: string) => void,
): Handler {
  return (exchange) => {
    const scenario = scenarios.get(exchange.idempotency?.key ?? "");
    if (scenario === undefined) throw new Error("expected a request with a key");
    onRun(scenario.key);
    const { way, status, key } = scenario;
    if (way !== "foreign") {
      exchange.status(status);
      exchange.header("X-Own", key);
    }
    return respond(exchange, scenario);
  };
}

function respond(
  exchange: Exchange,
  { way, status, body, handlerMs, isNested }: Scenario,
): unknown {
  switch (way) {
    case "sync":
      return exchange.respond(body);
    case "callback":
      return new Promise<void>((resolve) => {
        setTimeout(() => {
          exchange.respond(body);
          resolve();
        }, handlerMs);
      });
    case "async":
      return pause(handlerMs).then(() => exchange.send(body));
    case "stream":
      return exchange.send(streamOf(handlerMs, false));
    case "broken-stream":
      return exchange.send(streamOf(handlerMs, true));
    case "steps":
      return inSteps(exchange, handlerMs).then(() => exchange.send(body));
    case "foreign":
      return pause(handlerMs).then(() => {
        const error = Object.assign(new Error(`service: ${status}`), {
          status,
          statusCode: status,
        });
        throw isNested ? Object.assign(error, { response: { status }, expose: true }) : error;
      });
  }
}

/** Its parts come one by one. */
function streamOf(pauseMs: number, isBroken: boolean): Readable {
  async function* parts() {
    for (const part of ["first ", "second ", "third"]) {
      yield Buffer.from(part);
      await pause(pauseMs / 3);
      if (isBroken) throw new Error("the disk is gone");
    }
  }
  return Readable.from(parts(), { objectMode: false });
}

async function inSteps({ idempotency }: Exchange, ms: number): Promise<void> {
  for (const name of ["reserve", "charge"]) {
    await idempotency?.step(name, async () => {
      await pause(ms / 2);
      return name;
    });
  }
}
