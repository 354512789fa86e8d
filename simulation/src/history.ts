import type {
  Claim,
  ClaimOutcome,
  ClaimRequest,
  Completion,
  Renewal,
  Store,
} from "@idemkit/engine";

/** What a caller was told, once, at the end of its call. */
export type Told =
  | { readonly as: "executed"; readonly value: string; readonly recorded: boolean }
  | { readonly as: "replayed"; readonly value: string; readonly token: number }
  | { readonly as: "released" | "held" | "failed"; readonly recorded: boolean }
  /** The function's own error. */
  | { readonly as: "threw"; readonly message: string }
  | { readonly as: "aborted" }
  /** Something that no caller can expect. */
  | { readonly as: "fault"; readonly what: string }
  /** An operator's call succeeded. */
  | { readonly as: "done"; readonly answer?: unknown }
  | {
      readonly as: "error";
      readonly code: string;
      readonly message: string;
      /** What the replayed failure says, or the text of another cause. */
      readonly cause?: string;
      readonly token?: number;
      readonly reason?: string;
    };

export interface CallEvent {
  readonly kind: "call";
  readonly call: number;
  readonly process: string;
  /** Scope and key as labels of the record. */
  readonly record: string;
  readonly payload: string;
  /** Whether it may take over lapsed work. */
  readonly takesOver: boolean;
  /** Whether its caller leaves, unless it ends before that. */
  readonly mayLeave?: boolean;
  readonly how: string;
  /** What was drawn for the call, to be shown. */
  readonly plan?: object;
}

/** One entry of a list, as the store did and answered it. */
export type Applied = {
  readonly kind: "applied";
  readonly message: number;
  readonly process: string;
  readonly record: string;
  /** The store's clock. */
  readonly storeMs: number;
} & (
  | { readonly operation: "claim"; readonly given: ClaimRequest; readonly answer: ClaimOutcome }
  | { readonly operation: "renew"; readonly given: Renewal; readonly answer: boolean }
  | { readonly operation: "complete"; readonly given: Completion; readonly answer: boolean }
  | { readonly operation: "release"; readonly given: Claim; readonly answer: boolean }
  | {
      readonly operation: "remove";
      readonly given: { readonly token: number };
      readonly answer: boolean;
    }
);

/** Everything that is worth knowing of what happened in a world. */
export type Event =
  | CallEvent
  /** The function started. */
  | {
      readonly kind: "run";
      readonly call: number;
      readonly token: number;
      readonly attempt: number;
    }
  /** The function ended, and what its end means by the policy of the call. */
  | {
      readonly kind: "ran";
      readonly call: number;
      readonly end: "complete" | "fail" | "release" | "hold";
      readonly said: string;
    }
  | { readonly kind: "told"; readonly call: number; readonly told: Told }
  | { readonly kind: "owner"; readonly process: string; readonly owner: string }
  | {
      readonly kind: "sent";
      readonly process: string;
      readonly message: number;
      readonly operation: keyof Store;
      /** Whether it does nothing but end claims. */
      readonly isEnd: boolean;
      readonly fate: string;
    }
  | Applied
  | {
      readonly kind: "purged";
      readonly limit: number;
      readonly records: readonly string[];
      readonly storeMs: number;
    }
  /** What an engine told its listeners, as text. */
  | { readonly kind: "heard"; readonly process: string; readonly text: string }
  | { readonly kind: "died" | "closed"; readonly process: string }
  | { readonly kind: "closing"; readonly process: string; readonly graceMs: number }
  | { readonly kind: "fault"; readonly what: string }
  /** From here on there are no faults, and the wait for every lease to end is over. */
  | { readonly kind: "healed" }
  /** The last word on a record after the heal: what a caller was told, and whether it is listed. */
  | {
      readonly kind: "last word";
      readonly record: string;
      readonly told: string;
      readonly isListed: boolean;
    }
  /** Nothing is left to do. */
  | { readonly kind: "rest"; readonly isEndless: boolean; readonly timers: number };

export interface Happening {
  readonly atMs: number;
  readonly event: Event;
}

/** What may differ between worlds and decides what can be promised in them. */
interface Terms {
  /** Clocks run alike and never jump: a lease that a process counts ends no later than the store's. */
  readonly areClocksTrue: boolean;
  /** How long a process may still be busy with the store after it closed. */
  readonly closeBoundMs: number;
}

export interface History {
  readonly terms: Terms;
  readonly happenings: readonly Happening[];
}
