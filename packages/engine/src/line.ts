import type { Runtime } from "./runtime.ts";
import { Alarm, pause, TimedOutError, Turns, within } from "./timing.ts";

/** How one operation of a store is asked for lists, and how its entries are told apart. */
export interface LineSpec<Entry, Answer> {
  /** What the line does, for error messages: "claim", "renew", … */
  readonly name: string;
  readonly send: (list: readonly Entry[]) => Promise<readonly Answer[]>;
  readonly digestOf: (entry: Entry) => string;
  /** About how many bytes the entry is on the wire. */
  readonly sizeOf: (entry: Entry) => number;
  /** Whether many that wait are divided among the free lists of a store that is elsewhere. */
  readonly isDivided: boolean;
  /** Whether the store is part of somebody's transaction, whose time is theirs: nothing is sent twice. */
  readonly isBound: boolean;
  /** What is wrong with an answer, if anything: a faulty store has to fail loudly and at once. */
  readonly problemWith: (answer: Answer) => string | undefined;
}

/** A store broke its contract: its answer cannot be used, and asking again would not help. */
export class FaultyStoreError extends Error {
  override readonly name = "FaultyStoreError";
  readonly code = "FAULTY_STORE";
}

interface Waiting<Entry, Answer> {
  readonly entry: Entry;
  readonly timeoutMs: number;
  readonly deadlineMs: number;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
}

const LIST_ENTRIES_MAX = 256;
/**
 * The least that is divided. Calls that left in one list come back in one, and leave together again:
 * then caller and server never work at the same time.
 */
const SHARE_MIN = 32;
/** A store that works in this very process lets no timer ring before it has answered. */
const ELSEWHERE_MS = 1;
const LIST_BYTES_MAX = 1024 * 1024;
const LISTS_IN_FLIGHT_MAX = 2;
const QUEUE_LENGTH_MAX = 100_000;
/** How far a list looks for entries that fit, so that a flood for one record costs no more. */
const QUEUE_SCANNED_MAX = 1_024;
/** A list ends with its most impatient call: those of very different patience do not share one. */
const PATIENCE_RATIO_MAX = 2;
const ASKED_ALONE_AT_ONCE_MAX = 16;
const TRIES_MAX = 3;
const FIRST_PAUSE_MS = 20;
const PAUSE_GROWTH = 4;

/**
 * One line of the batching front. A call goes out at once when the line is free; those that come
 * while lists are under way gather and share the next one. There is no timer to wait for.
 *
 * When a list fails or is late, its entries are asked again one by one, so that only the one at
 * fault fails. Asking again is safe, as every operation of a store may be repeated.
 */
export class Line<Entry, Answer> {
  readonly #spec: LineSpec<Entry, Answer>;
  readonly #runtime: Runtime;
  readonly #aloneTurns = new Turns(ASKED_ALONE_AT_ONCE_MAX);
  #queue: Waiting<Entry, Answer>[] = [];
  #inFlight = 0;
  #flushIsPlanned = false;
  /** Whether the store was at work elsewhere while its last long list was under way. */
  #isElsewhere = false;
  /** While calls wait for lists under way, sees to it that none waits past its deadline. */
  readonly #alarm: Alarm;

  constructor(runtime: Runtime, spec: LineSpec<Entry, Answer>) {
    this.#runtime = runtime;
    this.#spec = spec;
    this.#alarm = new Alarm(runtime, () => this.#sweep());
  }

  /** Rejects with the store's error, or after timeoutMs, all tries and all waiting included. */
  ask(entry: Entry, timeoutMs: number): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (this.#queue.length === QUEUE_LENGTH_MAX) {
        reject(new TimedOutError(`${QUEUE_LENGTH_MAX} calls wait to ${this.#spec.name} already.`));
        return;
      }
      const isTimed = !this.#spec.isBound;
      const deadlineMs = isTimed
        ? this.#runtime.monotonicMs() + timeoutMs
        : Number.POSITIVE_INFINITY;
      this.#queue.push({ entry, timeoutMs, deadlineMs, resolve, reject });
      if (this.#inFlight < LISTS_IN_FLIGHT_MAX) this.#planFlush();
      else this.#alarm.ringBy(deadlineMs);
    });
  }

  /** Waits for the end of the present turn, so that calls made together leave together. */
  #planFlush(): void {
    if (this.#flushIsPlanned) return;
    this.#flushIsPlanned = true;
    queueMicrotask(() => {
      this.#flushIsPlanned = false;
      while (this.#queue.length > 0 && this.#inFlight < LISTS_IN_FLIGHT_MAX) {
        void this.#run(this.#takeList());
      }
      if (this.#queue.length > 0) this.#alarm.ringBy(soonest(this.#queue));
      else this.#alarm.stop();
    });
  }

  /** The next list: in order, within bounds, and no id twice. A body over the bound goes alone. */
  #takeList(): readonly Waiting<Entry, Answer>[] {
    const queue = this.#queue;
    if (queue.length === 1) {
      this.#queue = [];
      return queue;
    }
    const { digestOf, sizeOf, isDivided } = this.#spec;
    const list: Waiting<Entry, Answer>[] = [];
    const left: Waiting<Entry, Answer>[] = [];
    const seen = new Set<string>();
    const scanned = Math.min(queue.length, QUEUE_SCANNED_MAX);
    const share = Math.ceil(queue.length / (LISTS_IN_FLIGHT_MAX - this.#inFlight));
    const isShared = isDivided && this.#isElsewhere;
    const length = isShared
      ? Math.min(Math.max(share, SHARE_MIN), LIST_ENTRIES_MAX)
      : LIST_ENTRIES_MAX;
    let bytes = 0;
    let index = 0;
    for (; index < scanned && list.length < length; index += 1) {
      const waiting = queue[index] as Waiting<Entry, Answer>;
      const digest = digestOf(waiting.entry);
      const size = sizeOf(waiting.entry);
      const fits =
        list[0] === undefined || (bytes + size <= LIST_BYTES_MAX && isAlike(list[0], waiting));
      if (fits && !seen.has(digest)) {
        bytes += size;
        list.push(waiting);
      } else {
        left.push(waiting);
      }
      // What stays behind also holds back later calls for its record: they keep their order.
      seen.add(digest);
    }
    this.#queue = left.concat(queue.slice(index));
    return list;
  }

  async #run(list: readonly Waiting<Entry, Answer>[]): Promise<void> {
    this.#inFlight += 1;
    try {
      // Half of the time is kept for asking again.
      const timeoutMs = (soonest(list) - this.#runtime.monotonicMs()) / 2;
      const answers = await this.#timed(list.length, () => this.#send(list, timeoutMs));
      for (let index = 0; index < list.length; index += 1) {
        this.#settle(list[index] as Waiting<Entry, Answer>, answers[index] as Answer);
      }
    } catch (error) {
      if (this.#spec.isBound) for (const waiting of list) waiting.reject(error);
      else for (const waiting of list) void this.#askAgain(waiting, error, list.length === 1);
    }
    this.#inFlight -= 1;
    if (this.#queue.length > 0) this.#planFlush();
  }

  async #timed<T>(length: number, send: () => Promise<T>): Promise<T> {
    if (length < SHARE_MIN) return await send();
    let isElsewhere = false;
    const cancel = this.#runtime.schedule(() => {
      isElsewhere = true;
    }, ELSEWHERE_MS);
    try {
      return await send();
    } finally {
      cancel();
      this.#isElsewhere = isElsewhere;
    }
  }

  async #send(
    list: readonly Waiting<Entry, Answer>[],
    timeoutMs: number,
  ): Promise<readonly Answer[]> {
    const { name, send } = this.#spec;
    const sent = send(list.map(({ entry }) => entry));
    const answers = await (this.#spec.isBound
      ? sent
      : within(this.#runtime, timeoutMs, sent, `The call to ${name}`));
    if (Array.isArray(answers) && answers.length === list.length) return answers;
    throw new FaultyStoreError(
      `${name}: expected one answer for each of ${list.length} entries, in their order.`,
    );
  }

  /** A faulty answer is its own entry's trouble: what the others were told holds. */
  #settle(waiting: Waiting<Entry, Answer>, answer: Answer): void {
    const problem = this.#spec.problemWith(answer);
    if (problem === undefined) waiting.resolve(answer);
    else waiting.reject(new FaultyStoreError(`${this.#spec.name}: ${problem}.`));
  }

  /** Settles an entry of a list that failed, within what is left of its time. */
  async #askAgain(
    waiting: Waiting<Entry, Answer>,
    error: unknown,
    wasAlone: boolean,
  ): Promise<void> {
    try {
      const asked = this.#askAlone(waiting, error, wasAlone);
      const answer = await within(this.#runtime, this.#leftMs(waiting), asked, this.#spec.name);
      this.#settle(waiting, answer);
    } catch (lastError) {
      // What made the call fail says more than that its time ran out in the end.
      if (!(lastError instanceof TimedOutError)) waiting.reject(lastError);
      else waiting.reject(error instanceof TimedOutError ? this.#late(waiting) : error);
    }
  }

  async #askAlone(
    waiting: Waiting<Entry, Answer>,
    firstError: unknown,
    wasAlone: boolean,
  ): Promise<Answer> {
    let error = firstError;
    let pauseMs = wasAlone ? FIRST_PAUSE_MS : 0;
    for (let tried = 1; tried < TRIES_MAX; tried += 1) {
      if (error instanceof FaultyStoreError) break;
      if (pauseMs > 0) await pause(this.#runtime, pauseMs * (0.5 + this.#runtime.random()));
      pauseMs = pauseMs * PAUSE_GROWTH || FIRST_PAUSE_MS;
      try {
        return await this.#aloneTurns.take(async () => {
          const timeoutMs = this.#leftMs(waiting) / (TRIES_MAX - tried);
          if (timeoutMs <= 0) throw error;
          const [answer] = await this.#send([waiting], timeoutMs);
          return answer as Answer;
        });
      } catch (nextError) {
        error = nextError;
      }
    }
    throw error;
  }

  #late({ timeoutMs }: Waiting<Entry, Answer>): TimedOutError {
    const { name } = this.#spec;
    return new TimedOutError(`The store did not answer the call to ${name} in ${timeoutMs} ms.`);
  }

  #leftMs({ deadlineMs }: Waiting<Entry, Answer>): number {
    return Math.max(0, deadlineMs - this.#runtime.monotonicMs());
  }

  #sweep(): void {
    const late = this.#queue.filter((waiting) => this.#leftMs(waiting) === 0);
    this.#queue = this.#queue.filter((waiting) => this.#leftMs(waiting) > 0);
    for (const waiting of late) waiting.reject(this.#late(waiting));
    this.#alarm.ringBy(soonest(this.#queue));
  }
}

function soonest(calls: readonly { readonly deadlineMs: number }[]): number {
  let soonestMs = Number.POSITIVE_INFINITY;
  for (const { deadlineMs } of calls) soonestMs = Math.min(soonestMs, deadlineMs);
  return soonestMs;
}

function isAlike(
  { timeoutMs: one }: { readonly timeoutMs: number },
  { timeoutMs: other }: { readonly timeoutMs: number },
): boolean {
  return one <= other * PATIENCE_RATIO_MAX && other <= one * PATIENCE_RATIO_MAX;
}
