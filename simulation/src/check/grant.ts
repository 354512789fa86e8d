import type { Claimed, ClaimRequest } from "@idemkit/engine";
import type { RunLedger } from "./run-ledger.ts";

/** A claim that the store granted. */
export interface Grant {
  /** In which life of the record it was granted. */
  readonly life: number;
  /** For how long the lease before it had been over, if there was one in this life. */
  readonly lapsedForMs: number | undefined;
  /** When the store granted it, on the world's clock. */
  readonly notedAtMs: number;
  readonly owner: string;
  readonly token: number;
  readonly process: string;
  readonly attempt: number;
  readonly grantedAtMs: number;
  readonly retentionMs: number;
  readonly fingerprint: string;
  leaseEndsAtMs: number;
  /** How often a function ran under it, and what it was made for. */
  runs: number;
  run: RunLedger | undefined;
  /** Whether it was found out that an earlier run had happened. */
  isFoundHappened: boolean;
  /** Whether its engine has reported that it was aborted. */
  isAborted: boolean;
  payload: string | undefined;
  /** Whether its caller, or an operator, decided that it may be given back. */
  isReleaseDecided: boolean;
  /** Whether somebody else has acted on the record since. */
  isOverruled: boolean;
  /** Whether an operator dropped it. */
  isRemoved: boolean;
  /** Whether its owner gave it back, or let it lapse at once. */
  isGivenUp: boolean;
  /** The message that did so, where it let it lapse. */
  givenUpBy: number | undefined;
}

/** What the store granted, as it begins. */
export function grantOf(
  granted: {
    readonly given: ClaimRequest;
    readonly answer: Claimed;
    readonly storeMs: number;
    readonly process: string;
  },
  about: Pick<Grant, "life" | "lapsedForMs" | "notedAtMs">,
): Grant {
  const { given, answer, storeMs, process } = granted;
  return {
    ...about,
    owner: given.owner,
    token: answer.token,
    process,
    attempt: answer.attempt,
    grantedAtMs: storeMs,
    retentionMs: given.retentionMs,
    fingerprint: given.fingerprint,
    leaseEndsAtMs: storeMs + given.leaseMs,
    runs: 0,
    run: undefined,
    isFoundHappened: false,
    isAborted: false,
    payload: undefined,
    isReleaseDecided: false,
    isOverruled: false,
    isRemoved: false,
    isGivenUp: false,
    givenUpBy: undefined,
  };
}

export interface Outcome {
  readonly grant: Grant;
  readonly status: "succeeded" | "failed" | "unknown";
  readonly body: string;
  /** Whether an operator decided it. */
  readonly isSettled: boolean;
  /** From when on it may be forgotten, on the store's clock. */
  readonly dueAtMs: number;
}
