import type { Bug } from "./bug.ts";

const line = "line.ts";

/** Faults of the batching front: what goes wrong between single calls and lists. */
export const frontBugs: readonly Bug[] = [
  {
    name: "list-answers-shifted",
    where: "front",
    what: "each entry of a list is given the answer to its neighbour",
    edits: [
      {
        file: line,
        from: "this.#settle(list[index] as Waiting<Entry, Answer>, answers[index] as Answer);",
        to: "this.#settle(list[index] as Waiting<Entry, Answer>, answers[(index + 1) % list.length] as Answer);",
      },
    ],
  },
  {
    name: "list-answers-halved",
    where: "front",
    what: "two neighbours in a list are given the same answer",
    edits: [
      {
        file: line,
        from: "if (Array.isArray(answers) && answers.length === list.length) return answers;",
        to: "if (Array.isArray(answers)) return list.map((_, index) => answers[Math.floor(index / 2)] as Answer);",
      },
    ],
  },
  {
    name: "first-answer-for-all",
    where: "front",
    what: "when a list fails, what the first entry is told alone is told to all",
    edits: [
      {
        file: line,
        from: "for (const waiting of list) void this.#askAgain(waiting, error, list.length === 1);",
        to: "void this.#askAgain({ ...(list[0] as Waiting<Entry, Answer>), resolve: (answer) => { for (const each of list) each.resolve(answer); }, reject: (problem) => { for (const each of list) each.reject(problem); } }, error, list.length === 1);",
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
        from: "for (const waiting of list) void this.#askAgain(waiting, error, list.length === 1);",
        to: 'for (const waiting of list) {\n        if (this.#spec.name === "complete") waiting.resolve(true as Answer);\n        else void this.#askAgain(waiting, error, list.length === 1);\n      }',
      },
    ],
  },
  {
    name: "waits-for-ever",
    where: "front",
    what: "a store that never answers is waited for without a limit",
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
    what: "what does not fit into a list is dropped instead of waiting for the next",
    edits: [
      {
        file: line,
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
];
