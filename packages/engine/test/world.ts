import { EVENT_NAMES } from "../src/events.ts";
import {
  createEngine,
  type Engine,
  type EngineOptions,
  type EventMap,
  type EventName,
  memoryStore,
  type Runtime,
  type Store,
} from "../src/index.ts";

type Task = { readonly run: () => void };

/** Time that moves only when a test says so, for the engine's runtime and the store's clock. */
export class VirtualTime {
  #nowMs = 0;
  /** By the time at which they come due. */
  readonly #tasks = new Map<number, Set<Task>>();
  #owners = 0;

  /** The process warnings that the engine has emitted. */
  readonly warnings: string[] = [];

  readonly runtime: Runtime = {
    monotonicMs: () => this.#nowMs,
    schedule: (run, delayMs) => {
      const atMs = this.#nowMs + delayMs;
      const task = { run };
      const due = this.#tasks.get(atMs) ?? new Set();
      this.#tasks.set(atMs, due.add(task));
      return () => this.#remove(atMs, task);
    },
    newOwner: () => {
      this.#owners += 1;
      return this.#owners.toString(16).padStart(32, "0");
    },
    random: () => 0.5,
    warn: (message) => void this.warnings.push(message),
  };

  /** The store's clock: some epoch, and as much later as time has moved. */
  readonly clock = () => 1_700_000_000_000 + Math.floor(this.#nowMs);

  /** How many timers are set. */
  get timers(): number {
    return [...this.#tasks.values()].reduce((sum, { size }) => sum + size, 0);
  }

  /** The process stands still for so long: its timers come late. */
  standStill(ms: number): void {
    this.#nowMs += ms;
  }

  /** Lets so much time pass, running what comes due in order. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    await settled();
    for (;;) {
      let atMs = Number.POSITIVE_INFINITY;
      for (const each of this.#tasks.keys()) atMs = Math.min(atMs, each);
      const [next] = this.#tasks.get(atMs) ?? [];
      if (next === undefined || atMs > untilMs) break;
      this.#remove(atMs, next);
      this.#nowMs = Math.max(this.#nowMs, atMs);
      next.run();
      await settled();
    }
    this.#nowMs = untilMs;
    await settled();
  }

  #remove(atMs: number, task: Task): void {
    const due = this.#tasks.get(atMs);
    due?.delete(task);
    if (due?.size === 0) this.#tasks.delete(atMs);
  }
}

/** Everything that can happen without time passing has happened. */
export function settled(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

/** What a call to a store went through on its way. */
type Fault =
  /** The request never arrives, and the caller is told so. */
  | "refused"
  /** It is done, but the answer is lost: the caller sees an error. */
  | "answer lost"
  /** Nothing ever comes back. */
  | "hangs";

/** A line to a store that can be cut. Calls are counted, and what they carried is kept. */
class Wire {
  readonly store: Store;
  readonly calls: { readonly operation: keyof Store; readonly given: unknown }[] = [];
  readonly #delays = new Map<
    keyof Store,
    { readonly ms: number; readonly of: "request" | "answer" }
  >();
  readonly #faults: { readonly operation: keyof Store; readonly fault: Fault; left: number }[] = [];

  constructor(target: Store, time: VirtualTime) {
    const through = <Name extends keyof Store>(operation: Name): Store[Name] => {
      const call = async (...given: never[]): Promise<unknown> => {
        this.calls.push({ operation, given: given[0] });
        const planned = this.#faults.find((each) => each.operation === operation && each.left > 0);
        if (planned) planned.left -= 1;
        if (planned?.fault === "hangs") return await new Promise(() => undefined);
        if (planned?.fault === "refused") throw wireError("ECONNREFUSED");
        const delay = this.#delays.get(operation);
        if (delay?.of === "request") await passing(time, delay.ms);
        const answer = await (target[operation] as (...all: never[]) => unknown)(...given);
        if (delay?.of === "answer") await passing(time, delay.ms);
        if (planned?.fault === "answer lost") throw wireError("ECONNRESET");
        return answer;
      };
      return call as Store[Name];
    };
    this.store = {
      claim: through("claim"),
      renew: through("renew"),
      complete: through("complete"),
      release: through("release"),
      read: through("read"),
      list: through("list"),
      remove: through("remove"),
      purge: through("purge"),
    };
  }

  /** The next so many calls of the operation meet the fault. */
  fail(operation: keyof Store, fault: Fault, times = 1): void {
    this.#faults.push({ operation, fault, left: times });
  }

  /** Calls of the operation take so long from now on, on the way there or on the way back. */
  delay(operation: keyof Store, ms: number, of: "request" | "answer" = "request"): void {
    if (ms === 0) this.#delays.delete(operation);
    else this.#delays.set(operation, { ms, of });
  }

  heal(): void {
    this.#faults.length = 0;
  }

  count(operation: keyof Store): number {
    return this.calls.filter((call) => call.operation === operation).length;
  }
}

function passing(time: VirtualTime, ms: number): Promise<void> {
  return new Promise((resolve) => {
    time.runtime.schedule(resolve, ms);
  });
}

function wireError(code: string): Error {
  return Object.assign(new Error(`the wire says ${code} about secret-row-details`), { code });
}

/** An engine in virtual time on a memory store behind a wire, with its events written down. */
export function world(options: Omit<EngineOptions, "store" | "runtime"> = {}) {
  const time = new VirtualTime();
  const memory = memoryStore({ clock: time.clock });
  const wire = new Wire(memory, time);
  const engine = createEngine({ store: wire.store, runtime: time.runtime, ...options });
  return { time, memory, wire, engine, events: recordEvents(engine) };
}

/** Another process on the same records: an engine with a wire and a runtime of its own. */
export function otherProcess(
  { time, memory }: { readonly time: VirtualTime; readonly memory: Store },
  options: Omit<EngineOptions, "store" | "runtime"> = {},
) {
  const wire = new Wire(memory, time);
  const newOwner = () => `f${time.runtime.newOwner().slice(1)}`;
  const runtime = { ...time.runtime, newOwner };
  const engine = createEngine({ store: wire.store, runtime, ...options });
  return { wire, engine, events: recordEvents(engine) };
}

function recordEvents(engine: Engine): { name: EventName; event: EventMap[EventName] }[] {
  const seen: { name: EventName; event: EventMap[EventName] }[] = [];
  for (const name of EVENT_NAMES) engine.on(name, (event) => seen.push({ name, event }));
  return seen;
}

/** A function that ends when the test says so. */
export function gate<T>() {
  let open: (value: T) => void = () => undefined;
  let fail: (error: unknown) => void = () => undefined;
  let runs = 0;
  const opened = new Promise<T>((resolve, reject) => {
    open = resolve;
    fail = reject;
  });
  opened.catch(() => undefined);
  const fn = () => {
    runs += 1;
    return opened;
  };
  return {
    fn,
    open: (value: T) => open(value),
    fail: (error: unknown) => fail(error),
    get runs() {
      return runs;
    },
  };
}

/** What a promise rejects with. */
export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  return await promise.then(
    (value) => {
      throw new Error(`expected a rejection, got ${JSON.stringify(value)}`);
    },
    (error: unknown) => error,
  );
}
