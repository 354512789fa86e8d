import type { Waiting } from "./waiting.ts";

/** How the entries of a queue are identified and measured. */
export interface QueueSpec<Entry> {
  readonly digestOf: (entry: Entry) => string;
  /** About how many bytes the entry is on the wire. */
  readonly sizeOf: (entry: Entry) => number;
}

export const QUEUE_LENGTH_MAX = 100_000;
/** How far a list looks for entries that fit, so that a flood for one record costs no more. */
const QUEUE_SCANNED_MAX = 1_024;
const LIST_BYTES_MAX = 1024 * 1024;
/** A list ends with its most impatient call: those of very different patience do not share one. */
const PATIENCE_RATIO_MAX = 2;

/** The calls that wait for their turn, in order. */
export class Queue<Entry, Result> {
  readonly #spec: QueueSpec<Entry>;
  #queue: Waiting<Entry, Result>[] = [];

  constructor(spec: QueueSpec<Entry>) {
    this.#spec = spec;
  }

  get length(): number {
    return this.#queue.length;
  }

  /** Whether there was room for the call. */
  push(waiting: Waiting<Entry, Result>): boolean {
    if (this.#queue.length === QUEUE_LENGTH_MAX) return false;
    this.#queue.push(waiting);
    return true;
  }

  /**
   * The next list: in order, within bounds, and no id twice. A body over the bound goes alone. Calls
   * that end by `tooLateMs` are taken out on the way, into `late`.
   */
  take(
    lengthMax: number,
    tooLateMs: number,
  ): {
    readonly list: Waiting<Entry, Result>[];
    readonly late: Waiting<Entry, Result>[];
  } {
    const queue = this.#queue;
    const [only] = queue;
    if (queue.length === 1 && only !== undefined && only.endsAtMs > tooLateMs) {
      this.#queue = [];
      return { list: queue, late: [] };
    }
    const list: Waiting<Entry, Result>[] = [];
    const late: Waiting<Entry, Result>[] = [];
    const left: Waiting<Entry, Result>[] = [];
    const seen = new Set<string>();
    let bytes = 0;
    let index = 0;
    for (; index < queue.length && list.length < lengthMax; index += 1) {
      if (list.length + left.length === QUEUE_SCANNED_MAX) break;
      const waiting = queue[index] as Waiting<Entry, Result>;
      if (waiting.endsAtMs <= tooLateMs) {
        late.push(waiting);
        continue;
      }
      const digest = this.#spec.digestOf(waiting.entry);
      const size = this.#spec.sizeOf(waiting.entry);
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
    return { list, late };
  }

  /** Takes out the calls that end by that time. */
  takeLate(tooLateMs: number): readonly Waiting<Entry, Result>[] {
    const late = this.#queue.filter(({ endsAtMs }) => endsAtMs <= tooLateMs);
    if (late.length > 0) this.#queue = this.#queue.filter(({ endsAtMs }) => endsAtMs > tooLateMs);
    return late;
  }

  /** When the first call ends; infinity if there is none. */
  get soonestMs(): number {
    let soonestMs = Number.POSITIVE_INFINITY;
    for (const { endsAtMs } of this.#queue) soonestMs = Math.min(soonestMs, endsAtMs);
    return soonestMs;
  }
}

function isAlike(
  { timeoutMs: one }: { readonly timeoutMs: number },
  { timeoutMs: other }: { readonly timeoutMs: number },
): boolean {
  return one <= other * PATIENCE_RATIO_MAX && other <= one * PATIENCE_RATIO_MAX;
}
