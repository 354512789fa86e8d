import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { Store } from "@idemkit/engine";

/** A call over the channel between the processes, and its answer. */
interface RemoteCall {
  readonly number: number;
  readonly operation: keyof Store;
  readonly given: readonly unknown[];
}

type RemoteAnswer = { readonly number: number } & (
  | { readonly answer: unknown }
  | { readonly error: string }
);

/** A store that runs in a process of its own, which ends with its user. */
export async function storeInAnotherProcess(
  script: URL,
  args: readonly string[],
  cleanUp: (undo: () => Promise<void>) => void,
): Promise<Store> {
  const child = fork(fileURLToPath(script), args, {
    execArgv: ["--conditions=@idemkit/source", "--import", "tsx"],
    serialization: "advanced",
  });
  cleanUp(async () => {
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

/** Serves a store to the process that forked this one, for as long as that one lives. */
export function serveStore(store: Store): void {
  const operations = store as unknown as Record<string, (...given: readonly unknown[]) => unknown>;
  process.on("message", async ({ number, operation, given }: RemoteCall) => {
    const answer: RemoteAnswer = await Promise.resolve(operations[operation]?.(...given)).then(
      (value) => ({ number, answer: value }),
      (error: unknown) => ({ number, error: String(error) }),
    );
    process.send?.(answer);
  });
  process.on("disconnect", () => process.exit());
  process.send?.("ready");
}
