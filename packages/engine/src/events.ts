import { type Channel, channel } from "node:diagnostics_channel";
import { describe } from "./describe.ts";
import type { StoreOperation, UnknownReason } from "./errors.ts";
import type { AbortReason } from "./run-abort.ts";
import type { Runtime } from "./runtime.ts";
import type { Status } from "./store.ts";

/** Which record an event is about. The digest stands for scope and key, which are not shown. */
interface OfRecord {
  readonly digest: string;
}

interface OfAttempt extends OfRecord {
  readonly attempt: number;
  readonly token: number;
}

/** Every event of an engine, with what it carries. Durations are on the monotonic clock. */
export interface EventMap {
  /** A new claim was granted, and the function is about to run. */
  readonly claimed: OfAttempt;
  /** A lapsed claim was taken over, and the function is about to run again. */
  readonly "taken-over": OfAttempt;
  /** A duplicate was given the recorded outcome. A transaction's does not know how old that is. */
  readonly replayed: OfAttempt & { readonly status: Status; readonly ageMs?: number };
  /** A duplicate came with another payload and was refused. */
  readonly conflict: OfRecord;
  /** A duplicate was refused because the first call still runs. */
  readonly "in-progress": OfRecord & { readonly attempt: number; readonly retryAfterMs: number };
  /** A duplicate waited for the first call. */
  readonly waited: OfRecord & { readonly waitedMs: number };
  /** A result was recorded. `notKeptBecause` is there where only the fact was recorded. */
  readonly completed: OfAttempt & { readonly ranMs: number; readonly notKeptBecause?: string };
  /** A failure was recorded. */
  readonly failed: OfAttempt & { readonly ranMs: number };
  /** A claim was given back: the next caller runs. */
  readonly released: OfAttempt & { readonly ranMs: number };
  /**
   * A caller met an unknown outcome, an outcome was recorded as unknown (`held`), or a function threw
   * after its `signal` was aborted, so that its outcome stays open (`aborted`).
   */
  readonly unknown: OfAttempt & { readonly reason: UnknownReason | "held" | "aborted" };
  /** An operator decided an open outcome. */
  readonly settled: OfAttempt & {
    readonly as: "succeeded" | "failed" | "released";
    readonly by: string;
    readonly why: string;
  };
  /** The engine aborted the `signal` of a running function. */
  readonly aborted: OfAttempt & { readonly reason: AbortReason };
  /** A function still runs after ten leases. Its key is renewed until it ends, or for `maxRunMs`. */
  readonly "still-running": OfAttempt & { readonly ranMs: number };
  /** An outcome could not be written: `recorded: false`. */
  readonly "completion-lost": OfAttempt & { readonly error: unknown };
  /** A function threw although its transaction had committed: that outcome stands. */
  readonly "late-error": OfAttempt & { readonly error: unknown };
  /** The store failed or was late. */
  readonly "store-error": OfRecord & {
    readonly operation: StoreOperation;
    readonly error: unknown;
  };
}

export type EventName = keyof EventMap;

/**
 * A listener may be asynchronous; the call does not wait for it. If it throws or rejects, the call
 * goes on, the listener stays subscribed, and a process warning reports it, once a minute at most.
 */
export type Listener<Name extends EventName> = (event: EventMap[Name]) => void;

/** Each event's process-wide channel. */
const CHANNELS: Readonly<Record<EventName, Channel>> = {
  claimed: channel("idemkit:claimed"),
  "taken-over": channel("idemkit:taken-over"),
  replayed: channel("idemkit:replayed"),
  conflict: channel("idemkit:conflict"),
  "in-progress": channel("idemkit:in-progress"),
  waited: channel("idemkit:waited"),
  completed: channel("idemkit:completed"),
  failed: channel("idemkit:failed"),
  released: channel("idemkit:released"),
  unknown: channel("idemkit:unknown"),
  settled: channel("idemkit:settled"),
  aborted: channel("idemkit:aborted"),
  "still-running": channel("idemkit:still-running"),
  "completion-lost": channel("idemkit:completion-lost"),
  "late-error": channel("idemkit:late-error"),
  "store-error": channel("idemkit:store-error"),
};

export const EVENT_NAMES = Object.keys(CHANNELS) as readonly EventName[];

const WARNING_INTERVAL_MS = 60_000;

/** Events to an engine's own listeners and to the process-wide diagnostics channels. */
export class Events {
  readonly #runtime: Runtime;
  readonly #listeners = new Map<EventName, Set<(event: never) => void>>();
  /** When the last warning about a listener was emitted, on the monotonic clock. */
  readonly #warnedAtMs = new WeakMap<(event: never) => void, number>();

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  /** @throws TypeError where there is no such event, or the listener is no function */
  on<Name extends EventName>(name: Name, listener: Listener<Name>): () => void {
    if (!EVENT_NAMES.includes(name)) {
      throw new TypeError(`on: no such event. Expected one of ${EVENT_NAMES.join(", ")}.`);
    }
    if (typeof listener !== "function") throw new TypeError("on: expected a function as listener.");
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners.add(listener));
    return () => listeners.delete(listener);
  }

  /**
   * The event is made only if it has a subscriber. Node itself reports a subscriber of the channel that
   * throws, as an uncaught exception.
   */
  emit<Name extends EventName>(name: Name, make: () => EventMap[Name]): void {
    const to = CHANNELS[name];
    const listeners = this.#listeners.get(name);
    if (!to.hasSubscribers && !listeners?.size) return;
    const event: EventMap[Name] = make();
    Object.freeze(event);
    to.publish(event);
    for (const listener of listeners ?? []) {
      const onFailure = (error: unknown) => this.#warn(name, listener, error);
      try {
        const result: unknown = (listener as Listener<Name>)(event);
        if (typeof result === "object") Promise.resolve(result).then(undefined, onFailure);
      } catch (error) {
        onFailure(error);
      }
    }
  }

  /**
   * The text of the error is left out. Three events carry errors of stores and functions, whose texts
   * may quote rows, and a listener may throw such an error again.
   */
  #warn(name: EventName, listener: (event: never) => void, error: unknown): void {
    const nowMs = this.#runtime.monotonicMs();
    const warnedAtMs = this.#warnedAtMs.get(listener) ?? Number.NEGATIVE_INFINITY;
    if (nowMs - warnedAtMs < WARNING_INTERVAL_MS) return;
    this.#warnedAtMs.set(listener, nowMs);
    this.#runtime.warn(
      `A listener of the event '${name}' failed with ${describe(error)}. The call was not disturbed ` +
        "and the listener stays subscribed. To see the error's text, catch and log it in the " +
        "listener. Further failures of this listener are not reported for one minute.",
    );
  }
}
