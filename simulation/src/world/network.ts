import type { RecordId, Renewal, Store } from "@idemkit/engine";
import type { Process } from "./process.ts";
import type { ListOperation } from "./server.ts";
import type { World } from "./world.ts";

type Fate =
  | "fine"
  | "refused"
  | "request lost"
  | "answer lost"
  | "late request"
  | "late answer"
  | "doubled"
  | "partial"
  | "scattered"
  | "fatal";

const LATE_FACTOR = 4;

/** A process's line to the store, under the name of who sends. Each message meets its own fate. */
export function wire(world: World, process: Process, sender: string): Store {
  const list =
    (operation: ListOperation) =>
    (entries: readonly unknown[]): Promise<never> => {
      const message = new Message(world, process, sender, operation);
      return message.send(
        entries,
        (part) => world.server.apply(sender, message.number, operation, part(entries)),
        (answers) => answers.flat(),
      );
    };
  return {
    claim: list("claim"),
    renew: list("renew"),
    complete: list("complete"),
    release: list("release"),
    read: list("read"),
    list: (query) =>
      new Message(world, process, sender, "list").send([query], () => world.server.list(query)),
    remove: (id: RecordId, token) => {
      const message = new Message(world, process, sender, "remove");
      return message.send([id], () => world.server.remove(sender, message.number, id, token));
    },
    purge: (limit) =>
      new Message(world, process, sender, "purge").send([limit], () => world.server.purge(limit)),
  };
}

/** Picks what is applied at one moment out of the entries of a list. */
type Part = <T>(entries: readonly T[]) => readonly T[];
const whole: Part = (entries) => entries;

class Message {
  readonly number: number;
  readonly #world: World;
  readonly #process: Process;
  readonly #sender: string;
  readonly #operation: keyof Store;

  constructor(world: World, process: Process, sender: string, operation: keyof Store) {
    this.number = world.nextMessage();
    this.#world = world;
    this.#process = process;
    this.#sender = sender;
    this.#operation = operation;
  }

  /**
   * @param apply does a part of the message at the store
   * @param join makes one answer of those to the parts
   */
  send<T>(
    entries: readonly unknown[],
    apply: (part: Part) => Promise<T>,
    join: (answers: readonly T[]) => unknown = ([answer]) => answer,
  ): Promise<never> {
    const world = this.#world;
    const process = this.#process;
    if (!process.isUp) return new Promise(() => undefined);
    const { length } = entries;
    const fate = this.#draw(length);
    world.note({
      kind: "sent",
      process: this.#sender,
      message: this.number,
      operation: this.#operation,
      isEnd: this.#isEnd(entries),
      fate,
    });
    return new Promise((resolve, reject) => {
      const parts = this.#parts(fate, length);
      // In the order of the parts: one that waits for a lock is applied later than those behind it.
      const answers: T[] = [];
      const arrivals = fate === "doubled" ? [whole, whole] : parts;
      if (fate === "request lost" || fate === "refused") arrivals.length = 0;
      // Of a doubled message either answer may come back, the last one as after a reconnection.
      const answeredBy = fate === "doubled" ? world.dice.whole(1, 2) : arrivals.length;
      let arrived = 0;
      const tellMs = fate === "late answer" ? this.#late() : this.#hop();
      const tell = (answered?: unknown) => {
        const isTold = fate !== "answer lost" && fate !== "partial" && fate !== "request lost";
        if (isTold && fate !== "refused") resolve(answered as never);
        else if (fate === "refused" || !world.dice.chance(world.faults.silent)) {
          reject(this.#driverError());
        }
      };
      const arrive = (part: Part, index: number) => async () => {
        let answer: T;
        try {
          answer = await apply(part);
        } catch (error) {
          process.later(tellMs, () => reject(error));
          return;
        }
        if (fate === "fatal") process.die();
        if (fate === "doubled") answers[0] = answer;
        else answers[index] = answer;
        arrived += 1;
        if (arrived === answeredBy) {
          const answered = join([...answers]);
          process.later(tellMs, () => tell(answered));
        }
      };
      if (arrivals.length === 0) process.later(this.#hop(), () => tell());
      let atMs = fate === "late request" ? this.#late() : this.#hop();
      for (const [index, part] of arrivals.entries()) {
        const run = arrive(part, index);
        if (index > 0) atMs += fate === "doubled" ? this.#late() : this.#hop();
        world.timeline.after(atMs, () => void run());
      }
    });
  }

  /** A renewal for no time at all ends a claim too, and one with a checkpoint ends a step. */
  #isEnd(entries: readonly unknown[]): boolean {
    if (this.#operation !== "renew") {
      return this.#operation === "complete" || this.#operation === "release";
    }
    const renewals = entries as readonly Renewal[];
    return renewals.every(({ leaseMs, checkpoint }) => leaseMs === 0 || checkpoint !== undefined);
  }

  #draw(length: number): Fate {
    const { dice, faults, isOut } = this.#world;
    if (isOut) return "refused";
    if (dice.chance(faults.requestLost)) return "request lost";
    if (dice.chance(faults.answerLost)) return "answer lost";
    if (dice.chance(faults.late)) return dice.pick(["late request", "late answer"]);
    if (dice.chance(faults.doubled)) return "doubled";
    if (dice.chance(faults.fatal)) return "fatal";
    if (length > 1 && dice.chance(faults.partial)) return "partial";
    if (length > 1 && dice.chance(faults.scattered)) return "scattered";
    return "fine";
  }

  #parts(fate: Fate, length: number): Part[] {
    if (fate === "scattered") {
      return Array.from({ length }, (_, index) => (entries) => entries.slice(index, index + 1));
    }
    const applied = fate === "partial" ? this.#world.dice.whole(0, length - 1) : length;
    return applied === length ? [whole] : [(entries) => entries.slice(0, applied)];
  }

  #hop(): number {
    return this.#world.dice.between(0.2, 3);
  }

  /** Late enough to miss any deadline, and early enough for no outcome to have expired meanwhile. */
  #late(): number {
    const { dice, plan } = this.#world;
    return dice.between(0.1, LATE_FACTOR) * (plan.leaseMs + plan.storeTimeoutMs);
  }

  /** As drivers do, it shows details of the row: they must not go further than the cause. */
  #driverError(): Error {
    const message = `connection reset during ${this.#operation} (row of canary-shop-a, k1)`;
    return Object.assign(new Error(message), { code: "ECONNRESET" });
  }
}
