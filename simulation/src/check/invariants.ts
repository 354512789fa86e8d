/**
 * What every history has to keep, by the ids that the docs and the other proofs use too. L2 is about
 * connections, which simulated worlds do not have.
 */
export const INVARIANTS = {
  I1: "rows and outcome of a transaction are committed together, and at most once per key",
  I2: "a function runs under a granted claim, and under at-most-once only where nothing is open",
  I3: "a record has at most one outcome in its life, and its bytes never change",
  I4: "what has an outcome is not granted again until it expires, is released or is removed",
  I5: "only the holder of a claim completes, renews or releases it",
  I6: "tokens strictly increase, across purges as well",
  I7: "what is returned as recorded is what is stored, whatever other callers did to their copy",
  I8: "nothing of one scope appears in another, and nothing of any scope in messages and events",
  I9: "nobody is refused because of nobody's claim, or of their own unless an operator dropped it",
  I10: "nothing open is taken over before its lease is over, or without leave",
  I11: "one claim causes at most one run",
  I12: "no claim is granted again, or renewed, after its own end",
  I13: "a function is not called where its call replays or is refused; a mismatch reveals nothing",
  I14: "every call ends in exactly one way",
  I15: "a purge removes only what is due, and no more than it was asked to",
  I16: "after close nothing goes on",
  F1: "a final outcome comes from a function, a handler, a finding or an operator, not from an abort",
  F2: "at-most-once gives nothing back that may have had an effect, unless one of these decided so",
  F3: "no effect outside happens twice, unless one of these decided so",
  F4: "after an abort the lease runs out: neither shortened nor prolonged, and no step begins",
  F5: "the provider is not asked before the lease has been over for as long as was set",
  F6: "a run's signal is aborted before its lease is over for the store, outside of transactions",
  L1: "once faults heal, every key has an outcome or is listed as open",
  C1: "a checkpoint never goes back",
} as const;

export type InvariantId = keyof typeof INVARIANTS;

export interface Violation {
  readonly invariant: InvariantId;
  /** What happened, in a sentence. */
  readonly what: string;
  /** The index of the happening that broke it. */
  readonly at: number;
}

/** Reports what breaks an invariant, unless the condition holds. */
export type Expect = (condition: boolean, invariant: InvariantId, what: string) => void;
