/** One replacement in one source file. The text to replace has to occur there exactly once. */
interface Edit {
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

/** A fault that the simulation has to find. */
export interface Bug {
  readonly name: string;
  readonly where: "engine" | "front" | "store";
  /** What is wrong, in a sentence. */
  readonly what: string;
  readonly edits: readonly Edit[];
}
