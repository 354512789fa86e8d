import type { Bug } from "./bug.ts";

const line = "line.ts";

/** Faults of the batching front: what goes wrong between single calls and lists. */
export const frontBugs: readonly Bug[] = [
  {
    name: "list-answers-shifted",
    where: "front",
    what: "each entry of a list gets the result of its neighbour",
    edits: [
      {
        file: line,
        from: "const answer = answers[index] as Answer;",
        to: "const answer = answers[(index + 1) % list.length] as Answer;",
      },
    ],
  },
  {
    name: "list-answers-halved",
    where: "front",
    what: "two neighbours in a list get the same result",
    edits: [
      {
        file: line,
        from: "return answers;",
        to: "return list.map((_, index) => answers[Math.floor(index / 2)] as Answer);",
      },
    ],
  },
  {
    name: "first-answer-for-all",
    where: "front",
    what: "when a list fails, all entries get the result of the first entry's retry",
    edits: [
      {
        file: line,
        from: "for (const waiting of list) this.#askAgain(waiting, error, list.length === 1);",
        to: "{\n        const [first] = list as [Waiting<Entry, Answer>];\n        this.#askAgain(first, error, list.length === 1);\n        const fail = (problem: unknown) => list.forEach((each) => each.fail(problem));\n        first.result.then((answer) => list.forEach((each) => each.settle(answer)), fail);\n      }",
      },
    ],
  },
  {
    name: "failed-list-called-done",
    where: "front",
    what: "a list of completions that fails is taken for written",
    edits: [
      {
        file: line,
        from: "for (const waiting of list) this.#askAgain(waiting, error, list.length === 1);",
        to: 'for (const waiting of list) {\n        if (this.#spec.name === "complete") waiting.settle(true as Answer);\n        else this.#askAgain(waiting, error, list.length === 1);\n      }',
      },
    ],
  },
  {
    name: "waits-for-ever",
    where: "front",
    what: "a store that never responds is waited for without a limit",
    edits: [
      {
        file: line,
        from: "within(this.#runtime, timeoutMs, sent,",
        to: "((_: unknown, __: unknown, sent: Promise<readonly Answer[]>, ___: string) => sent)(this.#runtime, timeoutMs, sent,",
      },
    ],
  },
  {
    name: "entry-forgotten",
    where: "front",
    what: "entries that do not fit into a list are dropped instead of waiting for the next",
    edits: [
      {
        file: "queue.ts",
        from: "this.#queue = left.concat(queue.slice(index));",
        to: "this.#queue = queue.slice(index);",
      },
    ],
  },
  {
    name: "stuck-line",
    where: "front",
    what: "a list never frees its place in the line while calls wait behind it",
    edits: [
      {
        file: line,
        from: "this.#inFlight -= 1;",
        to: "if (this.#queue.length === 0) this.#inFlight -= 1;",
      },
    ],
  },
  {
    name: "list-owners-mixed",
    where: "front",
    what: "all claims of a list are sent under the owner of the first",
    edits: [
      {
        file: "batching-front.ts",
        from: "send: async (requests) => store.claim(requests),",
        to: "send: async (requests) => store.claim(requests.map((request) => ({ ...request, owner: requests[0]?.owner ?? request.owner }))),",
      },
    ],
  },
  {
    name: "late-grant-released",
    where: "front",
    what: "a late result releases the claim that its caller got by another list, and runs under",
    edits: [
      {
        file: "waiting.ts",
        from: '} else if (this.#state === "failed") {',
        to: "} else {",
      },
    ],
  },
  {
    name: "never-probes",
    where: "front",
    what: "an estimate of the store's time that is too high is never corrected",
    edits: [
      {
        file: line,
        from: "return this.#inFlight === 0 && isNews && !waiting.isOfClosing;",
        to: "return false;",
      },
    ],
  },
];
