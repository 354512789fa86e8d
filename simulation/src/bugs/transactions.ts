import type { Bug } from "./bug.ts";

const rounds = "transaction-rounds.ts";

/** Faults of what is committed together. */
export const transactionBugs: readonly Bug[] = [
  {
    name: "outcome-in-a-second-commit",
    where: "engine",
    what: "a transaction commits its rows first, and its outcome in another transaction",
    edits: [
      {
        file: rounds,
        from: "const answer = await transactOnce(database, { request, work, onError }, round);",
        to: "const answer = await transactOnce(database, { request, work, onError }, round);\n      const { completion } = round as any;\n      if (completion !== undefined) {\n        await database.transaction(request.leaseMs, async ({ records }) => {\n          await records.claim([request]);\n          await records.complete([completion]);\n        });\n      }",
      },
      {
        file: rounds,
        from: "  const [isCompleted] = await open.records.complete([completion]);\n",
        to: "  (round as any).completion = completion;\n  const isCompleted = true;\n",
      },
    ],
  },
  {
    name: "rows-kept-with-a-failure",
    where: "engine",
    what: "a failure is committed as the outcome together with the rows that the work wrote before it threw",
    edits: [
      {
        file: rounds,
        from: "        thrown = { error };\n        throw error;\n",
        to: "        const kept = isRepeatable(error) ? undefined : onError(error);\n        if (kept !== undefined) return kept;\n        thrown = { error };\n        throw error;\n",
      },
    ],
  },
  {
    name: "unclear-commit-called-committed",
    where: "engine",
    what: "a COMMIT whose response is lost counts as committed",
    edits: [
      {
        file: rounds,
        from: "isInDoubt = round.isInDoubt || isUnclear;\n",
        to: "isInDoubt = round.isInDoubt || isUnclear;\n      if (isUnclear) return (round as any).granted;\n",
      },
      {
        file: rounds,
        from: "if (isCompleted) return answer;",
        to: "(round as any).granted = answer;\n  if (isCompleted) return answer;",
      },
    ],
  },
  {
    name: "committed-whatever-is-recorded",
    where: "engine",
    what: "any outcome that is recorded in the owner's name counts as the one that the transaction committed",
    edits: [
      {
        file: "transaction-work.ts",
        from: "return answer.owner === owner && answer.status === status && answer.body === body;",
        to: "return answer.owner === owner && [status, body].length > 0;",
      },
    ],
  },
];
