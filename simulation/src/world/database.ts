import type { Claimed, ClaimRequest, Completion, TransactOptions } from "@idemkit/engine";
import {
  type OpenTransaction,
  type TransactingDatabase,
  transactInRounds,
} from "@idemkit/engine/model";
import type { Process } from "./process.ts";
import { ServerError } from "./server.ts";
import { type Row, Session } from "./session.ts";
import type { World } from "./world.ts";

/** What work writes through. */
export interface Tx {
  insert(call: number, row: Row): Promise<void>;
}

/** The connection has ended, and nothing is known of the statement under way. */
class ConnectionError extends Error {
  readonly code = "ECONNRESET";

  /** @param details what a driver shows of the row, which must not go further than the cause */
  constructor(details: string) {
    super(`connection reset during a transaction${details}`);
  }
}

const LATE_LEASES_MAX = 2;
const DETAILS = " (row of canary-shop-a, k1)";

/** `transact` as the SQL stores have it, on a simulated database. */
export function transactOn(world: World, process: Process) {
  const database: TransactingDatabase<Tx> = {
    transaction: (idleMs, work) => new Connection(world, process, idleMs).run(work),
    isRepeatable: (error) => error instanceof ServerError && error.code === "DEADLOCK",
    isAnswer: (error) => error instanceof ServerError,
    isBlocked: (error) => error instanceof ServerError && error.code === "LOCK_TIMEOUT",
  };
  return (
    request: ClaimRequest,
    work: (tx: Tx, claimed: Claimed) => Completion | Promise<Completion>,
    options?: TransactOptions,
  ) => transactInRounds(database, request, work, options, (delayMs) => process.pass(delayMs));
}

type Fate = "fine" | "cut before" | "cut after" | "deadlock" | "late" | "fatal";

/** A process's side of a connection. Each statement meets its own fate. */
class Connection {
  readonly #world: World;
  readonly #process: Process;
  readonly #session: Session;
  readonly #tx: Tx;
  #isCut = false;

  constructor(world: World, process: Process, idleMs: number) {
    this.#world = world;
    this.#process = process;
    this.#session = new Session(world, process.name, idleMs);
    this.#tx = {
      // What the work's own statements reject with is the work's own error.
      insert: (call, row) => this.#send(() => this.#session.insert(call, row), this.#draw(), ""),
    };
  }

  async run<T>(work: (open: OpenTransaction<Tx>, tx: Tx) => Promise<T>): Promise<T> {
    const session = this.#session;
    await this.#send(() => undefined);
    try {
      const open: OpenTransaction<Tx> = {
        records: {
          claim: (requests) => this.#send(() => session.claim(requests)),
          complete: (completions) => this.#send(() => session.complete(completions)),
        },
        attempt: (inner) => this.#attempt(inner),
      };
      const result = await work(open, this.#tx);
      await this.#send(() => session.commit(), this.#drawCommit());
      return result;
    } catch (error) {
      await this.#send(() => session.rollBack()).catch(() => undefined);
      throw error;
    }
  }

  async #attempt<T>(inner: (tx: Tx) => Promise<T>): Promise<T> {
    const rows = await this.#send(() => this.#session.rows);
    try {
      return await inner(this.#tx);
    } catch (error) {
      await this.#send(() => this.#session.undoTo(rows));
      throw error;
    }
  }

  #send<T>(statement: () => T | Promise<T>, fate = this.#draw(), details = DETAILS): Promise<T> {
    const world = this.#world;
    const process = this.#process;
    if (this.#isCut) return Promise.reject(new ConnectionError(details));
    if (!process.isUp) return new Promise(() => undefined);
    if (fate !== "fine") {
      world.note({ kind: "fault", what: `${process.name}'s transaction meets: ${fate}` });
    }
    const lateMs = world.dice.between(0, LATE_LEASES_MAX) * world.plan.leaseMs;
    return new Promise((resolve, reject) => {
      const hear = (act: () => void, delayMs: number) => process.later(delayMs, act);
      const cut = () => {
        this.#isCut = true;
        reject(new ConnectionError(details));
      };
      const arrive = async () => {
        const hopMs = world.dice.between(0.2, 3);
        try {
          const isDone = fate !== "cut before" && fate !== "deadlock";
          const result = isDone ? await this.#session.execute(statement) : undefined;
          if (fate === "fine") hear(() => resolve(result as T), hopMs);
        } catch (error) {
          if (fate === "fine") hear(() => reject(error), hopMs);
        }
        if (fate === "fine") return;
        // Whatever has gone wrong takes the transaction with it.
        this.#session.rollBack();
        if (fate === "fatal") process.die();
        else if (fate === "deadlock") hear(() => reject(new ServerError("DEADLOCK")), hopMs);
        else if (fate !== "late") hear(cut, lateMs);
      };
      // A late COMMIT is done after its caller has seen the connection end.
      if (fate === "late") hear(cut, world.dice.between(0.2, 3));
      const arrivesMs = fate === "late" ? 3 + lateMs : world.dice.between(0.2, 3);
      world.timeline.after(arrivesMs, () => void arrive());
    });
  }

  #draw(): Fate {
    const { dice, faults, isOut } = this.#world;
    if (isOut) return "cut before";
    const { cut, deadlock } = faults.database;
    if (dice.chance(cut)) return dice.pick(["cut before", "cut after"]);
    return dice.chance(deadlock) ? "deadlock" : "fine";
  }

  #drawCommit(): Fate {
    const { dice, faults } = this.#world;
    if (dice.chance(faults.fatal)) return "fatal";
    if (!dice.chance(faults.database.commitLost)) return this.#draw();
    return dice.pick(["cut before", "cut after", "late"]);
  }
}
