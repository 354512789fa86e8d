import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { Store } from "@idemkit/engine";
import { onTestFinished } from "vitest";
import type { CleanUp } from "./database.ts";

/** A call over the channel between the processes, and its answer. */
export interface RemoteCall {
  readonly number: number;
  readonly operation: keyof Store;
  readonly given: readonly unknown[];
}

export type RemoteAnswer = { readonly number: number } & (
  | { readonly answer: unknown }
  | { readonly error: string }
);

/** A store on the same file that runs in a process of its own, which ends with its user. */
export async function storeInAnotherProcess(
  path: string,
  cleanUp: CleanUp = onTestFinished,
): Promise<Store> {
  const child = fork(fileURLToPath(new URL("store-process.ts", import.meta.url)), [path], {
    execArgv: ["--conditions=@idemkit/source", "--import", "tsx"],
    serialization: "advanced",
  });
  cleanUp(() => {
    child.kill("SIGKILL");
  });
  const waiting = new Map<number, (answer: RemoteAnswer) => void>();
  await once(child, "message");
  child.on("message", (answer: RemoteAnswer) => waiting.get(answer.number)?.(answer));
  let calls = 0;
  const remote =
    (operation: keyof Store) =>
    async (...given: readonly unknown[]): Promise<never> => {
      calls += 1;
      const call: RemoteCall = { number: calls, operation, given };
      const answered = new Promise<RemoteAnswer>((resolve) => waiting.set(call.number, resolve));
      child.send(call);
      const answer = await answered;
      waiting.delete(call.number);
      if ("error" in answer) throw new Error(answer.error);
      return answer.answer as never;
    };
  return {
    claim: remote("claim"),
    renew: remote("renew"),
    complete: remote("complete"),
    release: remote("release"),
    read: remote("read"),
    list: remote("list"),
    remove: remote("remove"),
    purge: remote("purge"),
  };
}
