import type { Written } from "./claim-handle.ts";
import type { ClaimScope } from "./claim-scope.ts";
import { LeaseLostError } from "./errors.ts";
import type { Lease } from "./lease.ts";
import type { Steps } from "./steps.ts";
import type { Claim, Completion } from "./store.ts";

/** The store's result for the end of a claim: done, refused, or its error. */
type Ended = "done" | "refused" | { readonly error: unknown };

/** The one end of a claim: it is written to the store, and its lease is let go. */
export class ClaimEnd {
  readonly #scope: ClaimScope;
  readonly #claim: Claim;
  readonly #lease: Lease;
  #name: string | undefined;

  constructor(scope: ClaimScope, claim: Claim, lease: Lease) {
    this.#scope = scope;
    this.#claim = claim;
    this.#lease = lease;
  }

  /** The end of the claim, from the moment at which it starts. */
  get name(): string | undefined {
    return this.#name;
  }

  /** @throws Error if the claim has ended, or is ending */
  checkOpen(asked: string): void {
    if (this.#name === undefined) return;
    throw new Error(`${asked}(): this claim was ended by ${this.#name}() already.`);
  }

  /** @throws Error if the claim has ended, or is ending */
  start(name: string): void {
    this.checkOpen(name);
    this.#name = name;
    this.#lease.startEnding();
  }

  /** That end did not come about: the claim goes on. */
  undo(): void {
    this.#name = undefined;
    this.#lease.stopEnding();
  }

  /** @throws LeaseLostError if the claim was lost */
  async write(
    { status, body }: Pick<Completion, "status" | "body">,
    steps: Steps | undefined,
    late: { readonly value?: unknown; readonly cause?: unknown },
  ): Promise<Written> {
    const { client, settings, events } = this.#scope;
    const { replayMs: retentionMs, storeTimeoutMs } = settings;
    const { id, owner, token } = this.#claim;
    const completion = { id, owner, token, status, body, retentionMs };
    const complete = () => client.complete(completion, storeTimeoutMs);
    // A reader of a failed record has to see which steps failed.
    const asked = steps === undefined ? complete() : steps.saved().then(complete);
    const ended = await this.#wait("complete", asked);
    if (ended === "refused") throw new LeaseLostError({ token, ...late });
    if (ended === "done") return { recorded: true };
    // Nothing of the caller's transaction will stand after that.
    if (client.isBound) throw ended.error;
    events.emit("completion-lost", () => ({ ...this.#lease.about, error: ended.error }));
    return { recorded: false, error: ended.error };
  }

  /** Gives the key back, or lets the claim lapse at once. */
  async giveBack(isToLapse: boolean, steps: Steps | undefined): Promise<Written> {
    const { client, settings } = this.#scope;
    const release = async () => {
      if (!(await isSaved(steps))) return false;
      // A claim that is to lapse must not be renewed behind that.
      if (isToLapse) this.#lease.stop();
      return await client.release(this.#claim, isToLapse, settings.storeTimeoutMs);
    };
    return writtenOf(await this.#wait("release", release()));
  }

  /** Leaves the outcome open: the claim lapses at once or, after an abort, at the end of its lease. */
  async leaveOpen(steps: Steps | undefined, isAborted: () => boolean): Promise<Written> {
    const { client, settings } = this.#scope;
    if (isAborted()) this.#lease.stop();
    const leave = async () => {
      if (!(await isSaved(steps))) return false;
      this.#lease.stop();
      // An aborted request may still be on its way: the lease is neither extended nor shortened.
      if (isAborted()) return true;
      return await client.release(this.#claim, true, settings.storeTimeoutMs);
    };
    return { ...writtenOf(await this.#wait("release", leave())), recorded: false };
  }

  /** Lets go of it without a word to the store: the caller's transaction is rolled back. */
  abandon(): void {
    this.start("abandon");
    this.#lease.letGo();
  }

  /** Waits for the store, renewing until it has responded, and stops all that runs. */
  async #wait(operation: "complete" | "release", asked: Promise<boolean>): Promise<Ended> {
    try {
      if (await asked) return "done";
    } catch (error) {
      const { digest } = this.#lease.about;
      this.#scope.events.emit("store-error", () => ({ digest, operation, error }));
      return { error };
    } finally {
      this.#lease.letGo();
    }
    this.#lease.lose("claim-refused");
    return "refused";
  }
}

function writtenOf(ended: Ended): Written {
  if (typeof ended === "string") return { recorded: ended === "done" };
  return { recorded: false, error: ended.error };
}

/**
 * Lets the store know which steps failed, as the next caller must know it. Returns whether the claim still holds.
 *
 * @throws StoreError if it could not be written: then the lease runs out
 */
async function isSaved(steps: Steps | undefined): Promise<boolean> {
  const wrong = await steps?.saved();
  if (wrong !== undefined && !(wrong instanceof LeaseLostError)) throw wrong;
  return wrong === undefined;
}
