import { hash } from "node:crypto";
import { memoryStore } from "@idemkit/engine";
import { execute, filled, PAYLOAD, REPLAYED_KEYS, type Subjects } from "./subject.ts";

export const memorySubjects: Subjects = {
  // The floor of the memory store is what any implementation has to do: two hashes, one stringify.
  "memory fresh floor": async () => ({
    run: async (number: number) => {
      hash("sha256", `key-${number}`, "hex");
      return hash("sha256", JSON.stringify(PAYLOAD), "hex");
    },
    close: () => undefined,
  }),

  "memory fresh idemkit": async () => {
    const run = execute(memoryStore());
    return { run: (number) => run(`key-${number}`), close: () => undefined };
  },

  "memory replay floor": async () => ({
    run: async (number: number) => {
      hash("sha256", `key-${number % REPLAYED_KEYS}`, "hex");
      return hash("sha256", JSON.stringify(PAYLOAD), "hex");
    },
    close: () => undefined,
  }),

  "memory replay idemkit": async () => ({
    run: await filled(execute(memoryStore())),
    close: () => undefined,
  }),
};
