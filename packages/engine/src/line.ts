import { FaultyStoreError } from "./answers.ts";
import { Pace } from "./pace.ts";
import { QUEUE_LENGTH_MAX, Queue, type QueueSpec } from "./queue.ts";
import type { Runtime } from "./runtime.ts";
import { Alarm, NotSentError, pause, TimedOutError, Turns, within } from "./timing.ts";
import { type Terms, Waiting } from "./waiting.ts";

/** How one operation of a store is asked for lists, and how its entries are told apart. */
export interface LineSpec<Entry, Answer> extends QueueSpec<Entry> {
  /** What the line does, for error messages: "claim", "renew", … */
  readonly name: string;
  readonly send: (list: readonly Entry[]) => Promise<readonly Answer[]>;
  /** Whether many that wait are divided among the free lists of a store that is elsewhere. */
  readonly isDivided: boolean;
  /** Whether the store is part of somebody's transaction, whose time is theirs: nothing is sent twice. */
  readonly isBound: boolean;
  /**
   * Whether an entry whose result would come too late is better not sent. A late claim has to be given
   * back, while a late completion is still recorded.
   */
  readonly isUselessLate: boolean;
  /** What is wrong with an answer, if anything: a faulty store has to fail loudly and at once. */
  readonly problemWith: (answer: Answer) => string | undefined;
}

const LIST_ENTRIES_MAX = 256;
/**
 * The least that is divided. Calls that left in one list come back in one, and leave together again:
 * then caller and server never work at the same time.
 */
const SHARE_MIN = 32;
/** A store that works in this very process lets no timer ring before it has answered. */
const ELSEWHERE_MS = 1;
const LISTS_IN_FLIGHT_MAX = 2;
/** How long a probe keeps others from being sent. */
const PROBE_MS = 500;
const ASKED_ALONE_AT_ONCE_MAX = 16;
const TRIES_MAX = 3;
const FIRST_PAUSE_MS = 20;
const PAUSE_GROWTH = 4;

/**
 * One line of the batching front. A call goes out at once when the line is free; those that come
 * while lists are under way gather and share the next one. There is no timer to wait for.
 *
 * When a list fails or is late, its entries are asked again one by one, so that only the one at
 * fault fails. Asking again is safe, as every operation of a store may be repeated, and the first
 * result counts, whichever list it comes with.
 *
 * Claims that cannot be in time, by what lists have lately taken, fail before they are sent: the store
 * then knows nothing of them, and nothing has to be given back.
 */
export class Line<Entry, Answer> {
  readonly #spec: LineSpec<Entry, Answer>;
  readonly #runtime: Runtime;
  readonly #aloneTurns = new Turns(ASKED_ALONE_AT_ONCE_MAX);
  readonly #queue: Queue<Entry, Answer>;
  /** Calls that are sent only while no other waits in the queue, one list at a time. */
  readonly #background: Queue<Entry, Answer>;
  readonly #pace = new Pace();
  #inFlight = 0;
  #isBackgroundInFlight = false;
  #flushIsPlanned = false;
  /** Whether the store was at work elsewhere while its last long list was under way. */
  #isElsewhere = false;
  /** While calls wait for lists under way, sees to it that none waits past its deadline. */
  readonly #alarm: Alarm;

  constructor(runtime: Runtime, spec: LineSpec<Entry, Answer>) {
    this.#runtime = runtime;
    this.#spec = spec;
    this.#queue = new Queue(spec);
    this.#background = new Queue(spec);
    this.#alarm = new Alarm(runtime, () => this.recheck());
  }

  /**
   * Rejects with the store's error, or after timeoutMs, all tries and all waiting included; with
   * NotSentError if the store knows nothing of it.
   */
  ask(
    entry: Entry,
    timeoutMs: number,
    terms?: Terms<Answer>,
    queue: Queue<Entry, Answer> = this.#queue,
  ): Promise<Answer> {
    const isTimed = !this.#spec.isBound;
    const deadlineMs = isTimed ? this.#runtime.monotonicMs() + timeoutMs : Number.POSITIVE_INFINITY;
    const waiting = new Waiting(entry, timeoutMs, deadlineMs, terms);
    if (!queue.push(waiting)) {
      const why = `${QUEUE_LENGTH_MAX} calls wait to ${this.#spec.name} already`;
      waiting.fail(new NotSentError("QUEUE_FULL", why));
    } else if (this.#inFlight < LISTS_IN_FLIGHT_MAX) {
      this.#planFlush();
    } else {
      this.#alarm.ringBy(waiting.endsAtMs);
    }
    return waiting.result;
  }

  /** The same for a call that waits until no other does. */
  askInBackground(entry: Entry, timeoutMs: number, terms?: Terms<Answer>): Promise<Answer> {
    return this.ask(entry, timeoutMs, terms, this.#background);
  }

  /** Fails the waiting calls that are too late: some may end sooner than they did. */
  recheck(): void {
    const tooLateMs = this.#tooLateMs(this.#runtime.monotonicMs());
    for (const queue of [this.#queue, this.#background]) {
      for (const waiting of queue.takeLate(tooLateMs)) waiting.fail(this.#tooLate(waiting));
    }
    this.#setAlarm();
  }

  /** Waits for the end of the present turn, so that calls made together leave together. */
  #planFlush(): void {
    if (this.#flushIsPlanned) return;
    this.#flushIsPlanned = true;
    queueMicrotask(() => {
      this.#flushIsPlanned = false;
      while (this.#queue.length > 0 && this.#inFlight < LISTS_IN_FLIGHT_MAX) {
        this.#sendFrom(this.#queue);
      }
      const isIdle = this.#queue.length === 0 && this.#inFlight < LISTS_IN_FLIGHT_MAX;
      if (isIdle && this.#background.length > 0 && !this.#isBackgroundInFlight) {
        this.#sendFrom(this.#background);
      }
      this.#setAlarm();
    });
  }

  #setAlarm(): void {
    const soonestMs = Math.min(this.#queue.soonestMs, this.#background.soonestMs);
    if (soonestMs === Number.POSITIVE_INFINITY) this.#alarm.stop();
    else this.#alarm.ringBy(soonestMs);
  }

  /** Sends the next list, and fails the calls before it that are too late. */
  #sendFrom(queue: Queue<Entry, Answer>): void {
    const nowMs = this.#runtime.monotonicMs();
    const { list, late } = queue.take(this.#lengthMax(queue.length), this.#tooLateMs(nowMs));
    const newest = late.at(-1);
    const isProbe = list.length === 0 && newest !== undefined && this.#isProbe(newest);
    if (isProbe) list.push(newest);
    for (const waiting of late) if (waiting !== list[0]) waiting.fail(this.#tooLate(waiting));
    if (list.length === 0) return;
    let leftMs = Number.POSITIVE_INFINITY;
    for (const { deadlineMs } of list) leftMs = Math.min(leftMs, deadlineMs - nowMs);
    const patienceMs = isProbe ? Math.min(leftMs, PROBE_MS) : this.#pace.patienceMs(leftMs, nowMs);
    void this.#run(list, patienceMs, queue === this.#background);
  }

  #lengthMax(waiting: number): number {
    if (!this.#spec.isDivided || !this.#isElsewhere) return LIST_ENTRIES_MAX;
    const share = Math.ceil(waiting / (LISTS_IN_FLIGHT_MAX - this.#inFlight));
    return Math.min(Math.max(share, SHARE_MIN), LIST_ENTRIES_MAX);
  }

  /** A call that ends by then is not sent. */
  #tooLateMs(nowMs: number): number {
    return this.#spec.isUselessLate ? nowMs + this.#pace.neededMs(nowMs) : nowMs;
  }

  /**
   * Whether a call is sent though it is too late by the estimate. While calls come, one list is always
   * under way: otherwise an estimate that is too high would never be corrected.
   */
  #isProbe(waiting: Waiting<Entry, Answer>): boolean {
    const isNews = this.#pace.isKnownAt(waiting.madeAtMs);
    return this.#inFlight === 0 && isNews && !waiting.isOfClosing;
  }

  async #run(
    list: readonly Waiting<Entry, Answer>[],
    patienceMs: number,
    isBackground: boolean,
  ): Promise<void> {
    this.#inFlight += 1;
    if (isBackground) this.#isBackgroundInFlight = true;
    try {
      await this.#sendFor(patienceMs, list);
    } catch (error) {
      if (this.#spec.isBound) for (const waiting of list) waiting.fail(error);
      else for (const waiting of list) this.#askAgain(waiting, error, list.length === 1);
    }
    this.#inFlight -= 1;
    if (isBackground) this.#isBackgroundInFlight = false;
    if (this.#queue.length + this.#background.length > 0) this.#planFlush();
  }

  /** Settles the calls of a list. Rejects after timeoutMs, and then settles them later. */
  async #sendFor(timeoutMs: number, list: readonly Waiting<Entry, Answer>[]): Promise<void> {
    const { name, isBound } = this.#spec;
    const sentAtMs = this.#runtime.monotonicMs();
    const sent = this.#send(list, sentAtMs);
    try {
      const timed = isBound ? sent : within(this.#runtime, timeoutMs, sent, `The call to ${name}`);
      this.#settle(list, await timed);
    } catch (error) {
      if (error instanceof TimedOutError) {
        this.#pace.late(sentAtMs, this.#runtime.monotonicMs());
        sent.then((answers) => this.#settle(list, answers)).catch(() => undefined);
      }
      throw error;
    }
  }

  async #send(
    list: readonly Waiting<Entry, Answer>[],
    sentAtMs: number,
  ): Promise<readonly Answer[]> {
    const { name, send } = this.#spec;
    const answers = await this.#timed(list.length, () => send(list.map(({ entry }) => entry)));
    if (!Array.isArray(answers) || answers.length !== list.length) {
      throw new FaultyStoreError(
        `${name}: expected one result for each of ${list.length} entries, in their order.`,
      );
    }
    this.#pace.answered(sentAtMs, this.#runtime.monotonicMs());
    return answers;
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

  /** An invalid result rejects only its own entry. */
  #settle(list: readonly Waiting<Entry, Answer>[], answers: readonly Answer[]): void {
    for (let index = 0; index < list.length; index += 1) {
      const waiting = list[index] as Waiting<Entry, Answer>;
      const answer = answers[index] as Answer;
      const problem = this.#spec.problemWith(answer);
      if (problem === undefined) waiting.settle(answer);
      else waiting.fail(new FaultyStoreError(`${this.#spec.name}: ${problem}.`));
    }
  }

  /** Settles an entry of a list that failed, within the time that the call has left. */
  #askAgain(waiting: Waiting<Entry, Answer>, error: unknown, wasAlone: boolean): void {
    const { name } = this.#spec;
    const leftMs = Math.max(0, waiting.deadlineMs - this.#runtime.monotonicMs());
    // The error of a list says more than that the time ran out in the end.
    const isLate = error instanceof TimedOutError;
    within(this.#runtime, leftMs, waiting.result, name).catch(() => {
      waiting.fail(isLate ? this.#noResult(waiting) : error);
    });
    this.#askAlone(waiting, error, wasAlone).catch((lastError: unknown) => {
      // A list that is late may still have a result.
      if (!(lastError instanceof TimedOutError)) waiting.fail(lastError);
    });
  }

  async #askAlone(
    waiting: Waiting<Entry, Answer>,
    firstError: unknown,
    wasAlone: boolean,
  ): Promise<void> {
    let error = firstError;
    let pauseMs = wasAlone ? FIRST_PAUSE_MS : 0;
    for (let tried = 1; tried < TRIES_MAX; tried += 1) {
      if (error instanceof FaultyStoreError) break;
      if (pauseMs > 0) await pause(this.#runtime, pauseMs * (0.5 + this.#runtime.random()));
      pauseMs = pauseMs * PAUSE_GROWTH || FIRST_PAUSE_MS;
      try {
        return await this.#aloneTurns.take(async () => {
          if (!waiting.isOpen) return;
          const nowMs = this.#runtime.monotonicMs();
          const leftMs = waiting.endsAtMs - nowMs;
          const neededMs = this.#spec.isUselessLate ? this.#pace.neededAgainMs(nowMs) : 0;
          if (leftMs <= neededMs) throw error;
          await this.#sendFor(leftMs / (TRIES_MAX - tried), [waiting]);
        });
      } catch (nextError) {
        error = nextError;
      }
    }
    throw error;
  }

  #noResult({ timeoutMs }: Waiting<Entry, Answer>): TimedOutError {
    const { name } = this.#spec;
    return new TimedOutError(`The store did not answer the call to ${name} in ${timeoutMs} ms.`);
  }

  #tooLate({ timeoutMs }: Waiting<Entry, Answer>): NotSentError {
    const { name } = this.#spec;
    const why = `to ${name} takes so long at the moment that this call's ${timeoutMs} ms do not suffice`;
    return new NotSentError("NOT_SENT", why);
  }
}
