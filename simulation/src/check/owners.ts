import type { Applied, Event } from "../history.ts";
import type { CallLedger } from "./call-ledger.ts";
import type { Expect } from "./invariants.ts";
import type { RecordLedger } from "./record-ledger.ts";

type Claiming = Extract<Applied, { operation: "claim" }>;

/** An owner, and which calls of its process can have asked for it. */
interface Minted {
  readonly index: number;
  readonly by: readonly CallLedger[];
}

/** Who may have minted each owner, and what is asked for in its name. */
export class Owners {
  readonly #minted = new Map<string, Minted>();
  /** When each message was sent, as an index of the history. */
  readonly #sentAt = new Map<number, number>();

  mint({ owner }: Extract<Event, { kind: "owner" }>, index: number, by: Minted["by"]): void {
    this.#minted.set(owner, { index, by });
  }

  sent({ message }: Extract<Event, { kind: "sent" }>, index: number): void {
    this.#sentAt.set(message, index);
  }

  /** A claim, before it is applied. */
  check(event: Claiming, record: RecordLedger, expect: Expect): void {
    const { outcome } = event.answer;
    if (outcome === "claimed") this.#checkTakeOver(event, record, expect);
    if (outcome === "lapsed" || outcome === "in-progress") {
      this.#checkOwnClaim(event, record, expect);
    }
  }

  /** What was sent for a call that had ended takes nothing over. */
  #checkTakeOver(
    { given, answer, message, process }: Claiming,
    record: RecordLedger,
    expect: Expect,
  ): void {
    if (answer.outcome !== "claimed" || !answer.takenOver) return;
    // An owner that retries gets the same result again.
    if (record.grants.has(answer.token) || process.endsWith("front")) return;
    const sentAt = this.#sentAt.get(message) ?? 0;
    const { by = [] } = this.#minted.get(given.owner) ?? {};
    const isWanted = by.length === 0 || by.some((call) => (call.toldAt ?? sentAt) >= sentAt);
    expect(isWanted, "I10", "a call that had ended took lapsed work over");
  }

  /** A call that is alone in its process must not find a claim that only itself can have sent. */
  #checkOwnClaim(
    { record: name, given: { owner } }: Claiming,
    { holder, state }: RecordLedger,
    expect: Expect,
  ): void {
    const asking = this.#minted.get(owner);
    const holding = holder && this.#minted.get(holder.owner);
    if (state !== "claimed" || holding === undefined || asking === undefined) return;
    // One that came too early to ask what has happened lets its claim lapse, and tries again.
    if (holder?.owner === owner || holder?.isGivenUp || holding.index > asking.index) return;
    const [mine, ...others] = asking.by.filter(({ call }) => call.record === name);
    const [theirs, ...rivals] = holding.by.filter(({ call }) => call.record === name);
    const isAlone = others.length === 0 && rivals.length === 0 && mine === theirs;
    const isOwn =
      isAlone && mine !== undefined && !mine.isTold && !mine.isDropped && holder?.runs === 0;
    expect(!isOwn, "I9", "a call was refused because of its own earlier claim");
  }
}
