import { answerBugs } from "./answers.ts";
import type { Bug } from "./bug.ts";
import { decisionBugs } from "./decisions.ts";
import { fenceBugs } from "./fences.ts";
import { frontBugs } from "./front.ts";
import { recordBugs } from "./records.ts";
import { runBugs } from "./runs.ts";
import { transactionBugs } from "./transactions.ts";

/** Every seeded bug. The simulation has to find each of them. */
export const bugs: readonly Bug[] = [
  ...fenceBugs,
  ...recordBugs,
  ...frontBugs,
  ...answerBugs,
  ...runBugs,
  ...decisionBugs,
  ...transactionBugs,
];
