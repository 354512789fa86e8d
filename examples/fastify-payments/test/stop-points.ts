import type { CardNetwork } from "../src/card-network.ts";
import type { Point } from "../src/charges.ts";

/** Points of a charge, in their order. The last member says whether a retry is a replay. */
export const STOP_POINTS = [
  { point: "started", when: "before the step", isDone: false },
  { point: "asking", when: "inside the step, before the network has received it", isDone: false },
  { point: "asked", when: "inside the step, after the network has approved it", isDone: false },
  { point: "authorised", when: "after the step, before the transaction", isDone: false },
  { point: "in-transaction", when: "inside the transaction, before the row", isDone: false },
  { point: "written", when: "inside the transaction, before the commit", isDone: false },
  { point: "committed", when: "after the commit, before the response", isDone: true },
] as const satisfies readonly {
  readonly point: StopPoint;
  readonly when: string;
  readonly isDone: boolean;
}[];

export type StopPoint = Point | "asking" | "asked";

/** A network that reports when it is about to be asked, and when it has been. */
export function watchedNetwork(
  network: CardNetwork,
  watch: (point: StopPoint, signal?: AbortSignal) => void | Promise<void>,
): CardNetwork {
  return {
    authorise: async (source, amount, options) => {
      await watch("asking", options.signal);
      const verdict = await network.authorise(source, amount, options);
      await watch("asked", options.signal);
      return verdict;
    },
    find: (key) => network.find(key),
    close: () => network.close(),
  };
}
