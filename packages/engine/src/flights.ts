import { StoreError } from "./errors.ts";
import type { Claimed, ClaimRequest, Completed, Transacted } from "./store.ts";
import { TimedOutError } from "./timing.ts";

/** An outcome that was read, whose age nobody has told. */
type ReadOutcome = Omit<Completed, "ageMs"> & { readonly ageMs?: never };

/** What comes of asking for a record. */
export type Answer = Transacted | ReadOutcome;

/** A claim that this process has sent, and the run that follows if it is granted. */
export class Flight {
  readonly request: ClaimRequest;
  /** The store's answer. */
  readonly answer: Promise<Answer>;
  isSent = false;
  /** Set once the claim was granted: from then on its function runs in this process. */
  granted: Claimed | undefined;
  #isOver = false;
  #onEnd: Set<() => void> | undefined;

  /** @param send sends the claim */
  constructor(request: ClaimRequest, send: () => Promise<Answer>) {
    this.request = request;
    this.answer = this.#take(send);
  }

  /**
   * Calls back when the run is over or its claim is lost: the store then knows more than we do. The
   * answered function takes it back.
   */
  onEnd(callback: () => void): () => void {
    if (this.#isOver) {
      queueMicrotask(callback);
      return () => undefined;
    }
    this.#onEnd ??= new Set();
    this.#onEnd.add(callback);
    return () => this.#onEnd?.delete(callback);
  }

  end(): void {
    this.#isOver = true;
    for (const callback of this.#onEnd ?? []) callback();
    this.#onEnd = undefined;
  }

  /**
   * Whether the store's answer to this claim is the answer to that request as well. Outcomes and
   * running claims are the same for everybody; what lapsed or was released depends on who asks.
   */
  answers(request: ClaimRequest, outcome: Answer): boolean {
    const isForAll =
      outcome.outcome === "completed" ||
      outcome.outcome === "claimed" ||
      (outcome.outcome === "in-progress" && outcome.leaseRemainingMs > 0);
    return (
      isForAll ||
      (this.request.fingerprint === request.fingerprint &&
        this.request.takeOver === request.takeOver &&
        this.request.takeOverAfterMs === request.takeOverAfterMs)
    );
  }

  async #take(send: () => Promise<Answer>): Promise<Answer> {
    // Calls that are made in the same turn join before the claim is sent.
    await undefined;
    this.isSent = true;
    const outcome = await send();
    if (outcome.outcome === "claimed") this.granted = outcome;
    return outcome;
  }
}

export type Asked =
  /** The claim was granted to this call. */
  | { readonly kind: "granted"; readonly outcome: Claimed; readonly flight: Flight }
  /** Another call of this process runs it. */
  | { readonly kind: "attached"; readonly flight: Flight; readonly attempt: number }
  /** What the store says, for all calls that asked together. */
  | {
      readonly kind: "answered";
      readonly outcome: Exclude<Answer, Claimed | { readonly outcome: "blocked" }>;
    }
  /** Somebody holds the record in a transaction that goes on, and nothing more is known. */
  | { readonly kind: "blocked" }
  /** An older claim was under way, whose answer may be older than this call. Ask again. */
  | { readonly kind: "again" };

/**
 * What this process has under way, by digest, so that its own duplicates meet here and not in the
 * store. Calls made in one turn share one claim; later ones attach to the run that it started.
 */
export class Flights {
  readonly #flights = new Map<string, Flight>();

  /**
   * @param send sends the claim, if this call is the one to do so
   * @param bound limits the wait for an answer that another call has asked for
   */
  async ask(
    request: ClaimRequest,
    send: () => Promise<Answer>,
    bound: (answer: Promise<Answer>) => Promise<Answer>,
  ): Promise<Asked> {
    const flight = this.#flights.get(request.id.digest);
    if (flight === undefined) return await this.#lead(request, send);
    if (flight.granted !== undefined) return attachedTo(flight, flight.granted);
    // A claim that was under way before this call came may have an answer that is older than it.
    if (flight.isSent) {
      await bound(flight.answer).catch(rethrowTimeOut);
      return { kind: "again" };
    }
    let outcome: Answer;
    try {
      outcome = await bound(flight.answer);
    } catch (error) {
      // The caller that sent the claim has left, or its engine was closed: that ends no other call.
      if (!(error instanceof StoreError || error instanceof TimedOutError))
        return { kind: "again" };
      throw error;
    }
    if (outcome.outcome === "claimed") return attachedTo(flight, outcome);
    if (outcome.outcome === "blocked") return { kind: "blocked" };
    return flight.answers(request, outcome) ? { kind: "answered", outcome } : { kind: "again" };
  }

  /** Ends the flight of a record that was decided elsewhere. */
  landAt(digest: string): void {
    const flight = this.#flights.get(digest);
    if (flight?.granted !== undefined) this.land(flight);
  }

  /** Ends a flight: its duplicates ask the store from now on. */
  land(flight: Flight): void {
    const { digest } = flight.request.id;
    if (this.#flights.get(digest) === flight) this.#flights.delete(digest);
    flight.end();
  }

  async #lead(request: ClaimRequest, send: () => Promise<Answer>): Promise<Asked> {
    const flight = new Flight(request, send);
    this.#flights.set(request.id.digest, flight);
    try {
      const outcome = await flight.answer;
      if (outcome.outcome === "claimed") return { kind: "granted", outcome, flight };
      this.land(flight);
      if (outcome.outcome === "blocked") return { kind: "blocked" };
      return { kind: "answered", outcome };
    } catch (error) {
      this.land(flight);
      throw error;
    }
  }
}

/** Another call's trouble with the store is not this call's, unless it takes up all its time. */
function rethrowTimeOut(error: unknown): void {
  if (error instanceof TimedOutError) throw error;
}

function attachedTo(flight: Flight, { attempt }: Claimed): Asked {
  return { kind: "attached", flight, attempt };
}
