import type { Event } from "../history.ts";

/** Whether anything has gone wrong so far that explains what would otherwise be a fault. */
export class Calm {
  /** Nothing has gone wrong. */
  isCalm: boolean;
  /** Nothing has, but that engines may have been closed. */
  isCalmButClosing: boolean;

  constructor(areClocksTrue: boolean) {
    this.isCalm = areClocksTrue;
    this.isCalmButClosing = areClocksTrue;
  }

  take(event: Event): void {
    switch (event.kind) {
      case "sent":
        if (event.fate !== "fine") this.#disturb();
        break;
      case "fault":
      case "died":
      case "blocked":
        this.#disturb();
        break;
      case "closing":
        this.isCalm = false;
        break;
      default:
        break;
    }
  }

  #disturb(): void {
    this.isCalm = false;
    this.isCalmButClosing = false;
  }
}
