import type { Bug } from "./bug.ts";
import { engineBugs } from "./engine.ts";
import { frontBugs } from "./front.ts";
import { storeBugs } from "./store.ts";

/** Every seeded bug. The simulation has to find each of them. */
export const bugs: readonly Bug[] = [...storeBugs, ...frontBugs, ...engineBugs];
