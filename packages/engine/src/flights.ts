import type { Claimed, ClaimOutcome, ClaimRequest } from "./store.ts";

/** A promise with its ends in hand. */
interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
}

function deferred<T>(): Deferred<T> {
  let ends: Omit<Deferred<T>, "promise"> | undefined;
  const promise = new Promise<T>((resolve, reject) => {
    ends = { resolve, reject };
  });
  // Nobody may be waiting, and then a rejection concerns nobody.
  promise.catch(() => undefined);
  return { promise, ...(ends as Omit<Deferred<T>, "promise">) };
}

/** A claim that this process has sent, and the run that follows if it is granted. */
export class Flight {
  readonly request: ClaimRequest;
  readonly answer = deferred<ClaimOutcome>();
  readonly #end = deferred<void>();
  isSent = false;
  /** Set once the claim was granted: from then on its function runs in this process. */
  granted: Claimed | undefined;

  constructor(request: ClaimRequest) {
    this.request = request;
  }

  /** Resolves when the run is over or its claim is lost: the store then knows more than we do. */
  get ended(): Promise<void> {
    return this.#end.promise;
  }

  end(): void {
    this.#end.resolve();
  }

  /** Whether the store's answer to this claim will be the answer to that request as well. */
  answers(request: ClaimRequest): boolean {
    return (
      !this.isSent &&
      this.request.fingerprint === request.fingerprint &&
      this.request.takeOver === request.takeOver
    );
  }
}

export type Asked =
  /** The claim was granted to this call. */
  | { readonly kind: "granted"; readonly outcome: Claimed; readonly flight: Flight }
  /** Another call of this process runs it. */
  | { readonly kind: "attached"; readonly flight: Flight; readonly attempt: number }
  /** What the store says, for all calls that asked together. */
  | { readonly kind: "answered"; readonly outcome: Exclude<ClaimOutcome, Claimed> }
  /** An older claim was under way, whose answer may be older than this call. Ask again. */
  | { readonly kind: "again" };

/**
 * What this process has under way, by digest, so that its own duplicates meet here and not in the
 * store. Calls made in one turn share one claim; later ones attach to the run that it started.
 */
export class Flights {
  readonly #flights = new Map<string, Flight>();

  /** @param send sends the claim, if this call is the one to do so */
  async ask(request: ClaimRequest, send: () => Promise<ClaimOutcome>): Promise<Asked> {
    const flight = this.#flights.get(request.id.digest);
    if (flight === undefined) return await this.#lead(request, send);
    if (flight.granted !== undefined) return attachedTo(flight, flight.granted);
    if (!flight.answers(request)) {
      await flight.answer.promise.catch(() => undefined);
      return { kind: "again" };
    }
    const outcome = await flight.answer.promise;
    if (outcome.outcome === "claimed") return attachedTo(flight, outcome);
    return { kind: "answered", outcome };
  }

  /** Ends a flight: its duplicates ask the store from now on. */
  land(flight: Flight): void {
    const { digest } = flight.request.id;
    if (this.#flights.get(digest) === flight) this.#flights.delete(digest);
    flight.end();
  }

  async #lead(request: ClaimRequest, send: () => Promise<ClaimOutcome>): Promise<Asked> {
    const flight = new Flight(request);
    this.#flights.set(request.id.digest, flight);
    try {
      // Calls that are made in the same turn join before the claim is sent.
      await Promise.resolve();
      flight.isSent = true;
      const outcome = await send();
      if (outcome.outcome === "claimed") {
        flight.granted = outcome;
        flight.answer.resolve(outcome);
        return { kind: "granted", outcome, flight };
      }
      this.land(flight);
      flight.answer.resolve(outcome);
      return { kind: "answered", outcome };
    } catch (error) {
      this.land(flight);
      flight.answer.reject(error);
      throw error;
    }
  }
}

function attachedTo(flight: Flight, { attempt }: Claimed): Asked {
  return { kind: "attached", flight, attempt };
}
