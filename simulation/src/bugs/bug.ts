import type { Fault } from "@idemkit/source-edits";

/** A fault that the simulation has to find. */
export interface Bug extends Fault {
  readonly where: "engine" | "front" | "store";
  /** What is wrong, in a sentence. */
  readonly what: string;
}
