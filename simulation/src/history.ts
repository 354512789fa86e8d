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
  | {
      readonly as: "executed";
      readonly value: string;
      readonly recorded: boolean;
      readonly token?: number;
    }
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
  /** Whether it may run lapsed work again, whatever became of it. */
  readonly takesOver: boolean;
  readonly isAtMostOnce?: boolean;
  /** Whether its function has effects in steps only. */
  readonly hasSteps?: boolean;
  /** Whether its function may never end. */
  readonly mayHang?: boolean;
  readonly maxRunMs?: number;
  readonly settleAfterMs?: number;
  /** As what an operator settles even while the lease runs. */
  readonly overrules?: "succeeded" | "failed";
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

/** What a function does and learns between its start and its end. */
export type RunEvent =
  /** It has read `signal`. */
  | { readonly kind: "listens"; readonly call: number }
  /** The signal that it had read was aborted. */
  | { readonly kind: "aborted"; readonly call: number; readonly reason: string }
  /** It, or its `onError` function, decided what becomes of its error. */
  | { readonly kind: "decides"; readonly call: number }
  | {
      readonly kind: "step";
      readonly call: number;
      readonly step: string;
      /** Asked for, its function started, returned or threw, and what the engine made of it. */
      readonly as: "asked" | "begun" | "returned" | "threw" | "kept" | "refused";
      readonly code?: string;
    }
  /** It asks the provider about an earlier run, about a step or the whole. */
  | {
      readonly kind: "asks";
      readonly call: number;
      readonly step: string;
      readonly token: number;
    }
  | {
      readonly kind: "found";
      readonly call: number;
      readonly step: string;
      readonly token: number;
      readonly finding: "happened" | "did-not-happen" | "still-unknown" | "threw";
      /** What it threw. */
      readonly said?: string;
    }
  /** It has ended the doubt about a step itself. */
  | {
      readonly kind: "resolved";
      readonly call: number;
      readonly step: string;
      readonly finding: "happened" | "did-not-happen";
    }
  /** The work of a transaction has begun, and has ended; more than once where it is repeated. */
  | {
      readonly kind: "works";
      readonly call: number;
      readonly token: number;
      readonly attempt: number;
    }
  | {
      readonly kind: "worked";
      readonly call: number;
      readonly hasThrown: boolean;
      readonly said: string;
    };

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
  | RunEvent
  /** A request has arrived at the provider, which has booked it. */
  | {
      readonly kind: "booked";
      readonly record: string;
      /** Empty: the whole. */
      readonly step: string;
      readonly call: number;
      readonly token: number;
    }
  /** A transaction was committed: what its work wrote, and what it did to records. */
  | {
      readonly kind: "committed";
      readonly process: string;
      readonly call?: number;
      readonly rows: readonly { readonly run: number; readonly of: number }[];
      readonly applied: readonly Applied[];
    }
  /** A statement has to wait for a record that a transaction holds. */
  | { readonly kind: "blocked"; readonly record: string }
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
  | {
      readonly kind: "heard";
      readonly process: string;
      readonly name: string;
      /** Which attempt it is about, where it is known to the store. */
      readonly record?: string;
      readonly token?: number;
      readonly text: string;
    }
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
  /** Clocks are true and no process stands still: how late a request can arrive is known. */
  readonly areRequestsBounded: boolean;
  /** How long a process may still be busy with the store after it closed. */
  readonly closeBoundMs: number;
}

export interface History {
  readonly terms: Terms;
  readonly happenings: readonly Happening[];
}
