import type { Event, Happening, History } from "../history.ts";
import { toldBy } from "./calls.ts";
import { Dice } from "./dice.ts";
import { drawPlan, type Faults, type Plan } from "./plan.ts";
import { Process } from "./process.ts";
import { Provider } from "./provider.ts";
import { Server } from "./server.ts";
import { Timeline } from "./timeline.ts";

const CALM: Faults = {
  requestLost: 0,
  answerLost: 0,
  silent: 0,
  late: 0,
  doubled: 0,
  partial: 0,
  scattered: 0,
  fatal: 0,
  deaths: 0,
  pauses: 0,
  outages: 0,
  clockSteps: 0,
  closings: 0,
  drift: 0,
  provider: { lost: 0, late: 0, unanswered: 0, doubtful: 0 },
  database: { cut: 0, deadlock: 0, commitLost: 0 },
};

/** Everything of one seed: its time, its chance, its store, its processes, and what happened. */
export class World {
  readonly timeline = new Timeline();
  readonly dice: Dice;
  readonly plan: Plan;
  readonly server: Server;
  readonly provider: Provider;
  readonly processes: Process[] = [];
  readonly #happenings: Happening[] = [];
  /** The faults that are possible now. */
  faults: Faults;
  /** Whether nobody reaches the store. */
  isOut = false;
  #messages = 0;
  #calls = 0;
  #runs = 0;

  constructor(seed: number) {
    this.dice = new Dice(seed);
    this.plan = drawPlan(this.dice);
    this.faults = this.plan.faults;
    this.server = new Server(this);
    this.provider = new Provider(this);
  }

  get history(): History {
    const { drift, clockSteps, pauses } = this.plan.faults;
    const areClocksTrue = drift === 0 && clockSteps === 0;
    return {
      terms: {
        areClocksTrue,
        areRequestsBounded: areClocksTrue && pauses === 0,
        closeBoundMs: 2 * this.plan.storeTimeoutMs,
      },
      happenings: this.#happenings,
    };
  }

  /** Whether its database has transactions. */
  get hasTransactions(): boolean {
    return this.plan.works.includes("transacts");
  }

  note(event: Event): void {
    this.#happenings.push({ atMs: this.timeline.nowMs, event });
  }

  nextMessage(): number {
    this.#messages += 1;
    return this.#messages;
  }

  nextCall(): number {
    this.#calls += 1;
    return this.#calls;
  }

  nextRun(): number {
    this.#runs += 1;
    return this.#runs;
  }

  startProcess(): Process {
    const process = new Process(this, this.processes.length + 1);
    this.processes.push(process);
    return process;
  }

  /** A process that takes calls, if there is one. */
  anyProcess(): Process | undefined {
    const open = this.processes.filter(({ isUp, isClosing }) => isUp && !isClosing);
    const [first, ...others] = open;
    return first && this.dice.pick([first, ...others]);
  }

  heal(): void {
    this.faults = CALM;
    this.isOut = false;
  }

  /** An operator's call: it too ends in exactly one way. */
  async operate(
    process: Process,
    record: string,
    how: string,
    act: () => Promise<unknown>,
    overrules?: "succeeded" | "failed",
  ): Promise<void> {
    const call = this.nextCall();
    const asked = { how, ...(overrules !== undefined && { overrules }) };
    const about = { process: process.name, record, payload: "", takesOver: false, ...asked };
    this.note({ kind: "call", call, ...about });
    const told = await act().then((answer) => ({ as: "done", answer }) as const, toldBy);
    if (process.isUp) this.note({ kind: "told", call, told });
  }
}
