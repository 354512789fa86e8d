import type { Claim, ClaimOutcome, ClaimRequest, Completion, Store } from "@idemkit/engine";
import type { StoredRecord } from "@idemkit/engine/model";
import type { Applied } from "../history.ts";
import { recordOf, ServerError } from "./server.ts";
import type { World } from "./world.ts";

/** A row that work writes: in which run, and how many rows that run writes in all. */
export interface Row {
  readonly run: number;
  readonly of: number;
}

/** The server's side of a connection with a transaction. What it writes is seen when it commits. */
export class Session {
  readonly #world: World;
  readonly #process: string;
  readonly #message: number;
  readonly #idleMs: number;
  readonly #records = new Map<string, StoredRecord>();
  readonly #store: Store;
  #applied: Applied[] = [];
  #rows: Row[] = [];
  /** The call whose work runs in it. */
  #call: number | undefined;
  #isOver = false;
  #stopIdling: () => void = () => undefined;

  constructor(world: World, process: string, idleMs: number) {
    this.#world = world;
    this.#process = process;
    this.#message = world.nextMessage();
    this.#idleMs = idleMs;
    this.#store = world.server.storeOn(this.#records);
  }

  /** Whether it was rolled back or committed, so that it refuses every statement. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Does a statement. Between statements the server waits for a bounded time only. */
  async execute<T>(statement: () => T | Promise<T>): Promise<T> {
    if (this.#isOver) throw new ServerError("ABORTED");
    this.#stopIdling();
    try {
      return await statement();
    } finally {
      if (!this.#isOver) {
        this.#stopIdling = this.#world.timeline.after(this.#idleMs, () => this.#tooIdle());
      }
    }
  }

  async claim(requests: readonly ClaimRequest[]): Promise<readonly ClaimOutcome[]> {
    const { server } = this.#world;
    const [request] = requests as readonly [ClaimRequest];
    const { id } = request;
    const { digest } = id;
    const untilMs = server.lockedUntilMs;
    try {
      while (server.isLocked([id], this)) await server.waitFor([id], untilMs);
    } catch (error) {
      this.rollBack();
      throw error;
    }
    server.locks.take(digest, this);
    const stored = server.records.get(digest);
    if (stored !== undefined) this.#records.set(digest, stored);
    const storeMs = server.nowMs;
    const answers = await this.#store.claim(requests);
    const [answer] = answers as readonly [ClaimOutcome];
    const applied = { ...this.#about(request, storeMs), operation: "claim", answer } as const;
    // A claim that was refused has changed nothing.
    if (answer.outcome === "claimed") this.#applied.push(applied);
    else this.#world.note(applied);
    return answers;
  }

  async complete(completions: readonly Completion[]): Promise<readonly boolean[]> {
    const [completion] = completions as readonly [Completion];
    const storeMs = this.#world.server.nowMs;
    const answers = await this.#store.complete(completions);
    const [answer = false] = answers;
    this.#applied.push({ ...this.#about(completion, storeMs), operation: "complete", answer });
    return answers;
  }

  insert(call: number, row: Row): void {
    this.#call = call;
    this.#rows.push(row);
  }

  /** Undoes what was written after so many rows. */
  undoTo(rows: number): void {
    this.#rows.length = rows;
  }

  get rows(): number {
    return this.#rows.length;
  }

  commit(): void {
    const { server } = this.#world;
    const isEmpty = this.#applied.length === 0 && this.#rows.length === 0;
    if (!isEmpty) {
      for (const [digest, record] of this.#records) server.records.set(digest, record);
      const call = this.#call === undefined ? {} : { call: this.#call };
      const what = { rows: this.#rows, applied: this.#applied };
      this.#world.note({ kind: "committed", process: this.#process, ...call, ...what });
    }
    this.#end();
  }

  #tooIdle(): void {
    this.#world.note({ kind: "fault", what: `${this.#process}'s transaction was idle too long` });
    this.rollBack();
  }

  rollBack(): void {
    if (!this.#isOver) this.#end();
  }

  #end(): void {
    this.#isOver = true;
    this.#stopIdling();
    this.#world.server.locks.unlock(this);
  }

  #about<Given extends Pick<Claim, "id">>(given: Given, storeMs: number) {
    const record = recordOf(given.id);
    const about = { kind: "applied", message: this.#message, process: this.#process } as const;
    return { ...about, record, storeMs, given };
  }
}
