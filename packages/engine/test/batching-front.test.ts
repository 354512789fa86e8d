import { describe, expect, test } from "vitest";
import { BatchingFront } from "../src/batching-front.ts";
import { memoryStore, type Store } from "../src/index.ts";
import { rejection, settled, VirtualTime } from "./world.ts";

const TIMEOUT_MS = 5_000;

/** A store whose lists wait until the test lets them go, one by one. */
function held(inner: Store) {
  const lists: { readonly operation: string; readonly digests: readonly string[] }[] = [];
  const gates: (() => void)[] = [];
  const through =
    <Entry extends { id: { digest: string } }, Answer>(
      operation: string,
      ask: (entries: readonly Entry[]) => Promise<readonly Answer[]>,
    ) =>
    async (entries: readonly Entry[]) => {
      lists.push({ operation, digests: entries.map(({ id }) => id.digest) });
      await new Promise<void>((resolve) => gates.push(resolve));
      return await ask(entries);
    };
  const store: Store = {
    ...inner,
    claim: through("claim", inner.claim),
    complete: through("complete", inner.complete),
    renew: through("renew", inner.renew),
  };
  return {
    store,
    lists,
    letGo: (count = gates.length) => {
      for (const go of gates.splice(0, count)) go();
    },
  };
}

const idOf = (name: string) => ({ digest: name.padStart(32, "0"), scope: "1:s", key: name });
const requestOf = (name: string, owner = `owner of ${name}`) => ({
  id: idOf(name),
  owner,
  fingerprint: "f",
  leaseMs: 30_000,
  retentionMs: 1e6,
  takeOver: false,
});

function front(store: Store = memoryStore()) {
  const time = new VirtualTime();
  return { time, front: new BatchingFront(store, time.runtime) };
}

describe("the batching front", () => {
  test("sends a call at once when the line is free", async () => {
    const { store, lists, letGo } = held(memoryStore());
    const { front: line } = front(store);
    const claim = line.claim(requestOf("a"), TIMEOUT_MS);
    await Promise.resolve();
    expect(lists).toHaveLength(1);
    letGo();
    expect(await claim).toMatchObject({ outcome: "claimed" });
  });

  test("lets the calls that come while lists are under way share the next one", async () => {
    const { store, lists, letGo } = held(memoryStore());
    const { front: line } = front(store);
    const names = Array.from({ length: 52 }, (_, index) => `${index}`);
    const calls: Promise<unknown>[] = [];
    for (const name of names) {
      calls.push(line.claim(requestOf(name), TIMEOUT_MS));
      await settled();
    }
    expect(lists.map(({ digests }) => digests.length)).toEqual([1, 1]);
    letGo(1);
    await settled();
    expect(lists.map(({ digests }) => digests.length)).toEqual([1, 1, 50]);
    letGo();
    expect(await Promise.all(calls)).toHaveLength(52);
  });

  test("sends calls of one turn together, 256 at most", async () => {
    const { store, lists, letGo } = held(memoryStore());
    const { front: line } = front(store);
    const names = Array.from({ length: 600 }, (_, index) => `${index}`);
    const calls = names.map((name) => line.claim(requestOf(name), TIMEOUT_MS));
    await settled();
    letGo();
    await settled();
    letGo();
    const outcomes = await Promise.all(calls);
    expect(outcomes.every(({ outcome }) => outcome === "claimed")).toBe(true);
    expect(lists.map(({ digests }) => digests.length)).toEqual([256, 256, 88]);
  });

  test("divides many claims between two lists once the store has been seen to work elsewhere", async () => {
    const { store, lists, letGo } = held(memoryStore());
    const { front: line, time } = front(store);
    const ask = (round: number) =>
      Array.from({ length: 64 }, (_, index) =>
        line.claim(requestOf(`${round} ${index}`), TIMEOUT_MS),
      );
    const first = ask(1);
    await time.advance(1);
    letGo();
    await Promise.all(first);
    const second = ask(2);
    await settled();
    letGo();
    await Promise.all(second);
    // Those answers came before any timer could ring, as those of a store in this process do.
    await Promise.all([...ask(3), settled().then(() => letGo())]);
    expect(lists.map(({ digests }) => digests.length)).toEqual([64, 32, 32, 64]);
  });

  test("never puts an id twice into a list, and keeps the order of its calls", async () => {
    const { store, lists, letGo } = held(memoryStore());
    const { front: line } = front(store);
    const owners = ["first", "second", "third"];
    const calls = [
      ...owners.map((owner) => line.claim(requestOf("same", owner), TIMEOUT_MS)),
      line.claim(requestOf("other"), TIMEOUT_MS),
    ];
    for (let round = 0; round < 3; round += 1) {
      await settled();
      letGo();
    }
    expect((await Promise.all(calls)).map(({ outcome }) => outcome)).toEqual([
      "claimed",
      "in-progress",
      "in-progress",
      "claimed",
    ]);
    for (const { digests } of lists) expect(new Set(digests).size).toBe(digests.length);
    expect(lists[0]?.digests).toHaveLength(2);
  });

  test("bounds a list to 1 MiB, and sends what is larger alone", async () => {
    const { store, lists, letGo } = held(memoryStore());
    const { front: line } = front(store);
    const sizes = { a: 400_000, b: 400_000, c: 400_000, d: 4_000_000, e: 10 };
    const calls = Object.entries(sizes).map(([name, size]) => {
      const completion = { id: idOf(name), owner: name, token: 1, status: "succeeded" } as const;
      return line.complete({ ...completion, body: "x".repeat(size) }, TIMEOUT_MS);
    });
    for (let round = 0; round < 4; round += 1) {
      await settled();
      letGo();
    }
    await Promise.all(calls);
    const keys = lists.map(({ digests }) => digests.map((digest) => digest.at(-1)).join(""));
    expect(keys).toEqual(["abe", "c", "d"]);
  });

  test("has a line for each operation: renewals pass by claims that hang", async () => {
    const { store, lists, letGo } = held(memoryStore());
    const { front: line } = front(store);
    const claims = ["a", "b", "c"].map((name) => line.claim(requestOf(name), TIMEOUT_MS));
    await settled();
    const renewal = line.renew({ id: idOf("z"), owner: "z", token: 1, leaseMs: 1_000 }, TIMEOUT_MS);
    await settled();
    expect(lists.map(({ operation }) => operation)).toEqual(["claim", "renew"]);
    letGo();
    expect(await renewal).toBe(false);
    await Promise.all(claims);
  });

  test("asks the entries of a failed list one by one: only the one at fault fails", async () => {
    const inner = memoryStore();
    const asked: number[] = [];
    const store: Store = {
      ...inner,
      claim: async (requests) => {
        asked.push(requests.length);
        if (requests.some(({ id }) => id.key === "bad")) throw new Error("row is locked");
        return await inner.claim(requests);
      },
    };
    const { time, front: line } = front(store);
    const calls = ["a", "bad", "b"].map((name) => line.claim(requestOf(name), TIMEOUT_MS));
    const bad = rejection(calls[1] as Promise<unknown>);
    await time.advance(1_000);
    expect(await bad).toMatchObject({ message: "row is locked" });
    expect(await calls[0]).toMatchObject({ outcome: "claimed" });
    expect(await calls[2]).toMatchObject({ outcome: "claimed" });
    expect(asked).toEqual([3, 1, 1, 1, 1]);
    expect(time.timers).toBe(0);
  });

  test("asks the entries of a hanging list one by one, and holds up nobody behind it", async () => {
    const inner = memoryStore();
    const store: Store = {
      ...inner,
      claim: async (requests) =>
        requests.some(({ id }) => id.key === "stuck")
          ? await new Promise(() => undefined)
          : await inner.claim(requests),
    };
    const { time, front: line } = front(store);
    const stuck = rejection(line.claim(requestOf("stuck"), TIMEOUT_MS));
    const beside = line.claim(requestOf("beside"), TIMEOUT_MS);
    await settled();
    expect(await line.claim(requestOf("later"), TIMEOUT_MS)).toMatchObject({ outcome: "claimed" });
    await time.advance(TIMEOUT_MS / 2);
    expect(await beside).toMatchObject({ outcome: "claimed" });
    await time.advance(TIMEOUT_MS / 2);
    expect(await stuck).toMatchObject({ code: "TIMED_OUT" });
    expect(time.timers).toBe(0);
  });

  test("lets no call wait past its time, sent or not", async () => {
    const { store } = held(memoryStore());
    const { time, front: line } = front(store);
    const ends: number[] = [];
    let now = 0;
    const calls = Array.from({ length: 20 }, async (_, index) => {
      await rejection(line.claim(requestOf("same", `${index}`), TIMEOUT_MS));
      ends.push(now);
    });
    for (; now < TIMEOUT_MS + 100; now += 50) await time.advance(50);
    await Promise.all(calls);
    expect(Math.max(...ends)).toBeLessThanOrEqual(TIMEOUT_MS);
    expect(time.timers).toBe(0);
  });

  test("refuses more than 100,000 waiting calls instead of filling the memory", async () => {
    const { store } = held(memoryStore());
    const { front: line } = front(store);
    const calls: Promise<unknown>[] = [];
    for (let index = 0; index <= 100_000; index += 1) {
      calls.push(line.read(idOf(`${index}`), TIMEOUT_MS).catch((error: unknown) => error));
    }
    expect(await calls.at(-1)).toMatchObject({ code: "QUEUE_FULL" });
  });

  const faults: readonly (readonly [string, Partial<Store>])[] = [
    ["no list", { claim: async () => undefined as never }],
    ["too few answers", { claim: async () => [] }],
    ["an unknown outcome", { claim: async () => [{ outcome: "granted" } as never] }],
    ["null", { claim: async () => [null as never] }],
    ["a token that is no safe integer", { claim: async () => [claimed({ token: 2 ** 53 })] }],
    ["a token of text", { claim: async () => [claimed({ token: "1" })] }],
    ["an attempt of 0", { claim: async () => [claimed({ attempt: 0 })] }],
    ["no createdAt", { claim: async () => [claimed({ createdAt: undefined })] }],
    ["no body", { claim: async () => [{ outcome: "completed", status: "failed" } as never] }],
  ];
  for (const [name, operations] of faults) {
    test(`fails loudly, and at once, where a store answers ${name}`, async () => {
      let asked = 0;
      const claim: Store["claim"] = async (requests) => {
        asked += 1;
        return (await operations.claim?.(requests)) as never;
      };
      const { front: line } = front({ ...memoryStore(), claim });
      const error = await rejection(line.claim(requestOf("a"), TIMEOUT_MS));
      expect(error).toMatchObject({ code: "FAULTY_STORE" });
      expect((error as Error).message).toMatch(/^claim: expected /);
      expect(asked).toBe(1);
    });
  }

  test("fails loudly where a store answers a number for a boolean", async () => {
    const { front: line } = front({ ...memoryStore(), renew: async () => [1 as never] });
    const renewal = line.renew({ id: idOf("a"), owner: "a", token: 1, leaseMs: 1 }, TIMEOUT_MS);
    expect(await rejection(renewal)).toMatchObject({ code: "FAULTY_STORE" });
  });
});

function claimed(given: Readonly<Record<string, unknown>>): never {
  const sound = { outcome: "claimed", token: 1, attempt: 1, takenOver: false, createdAt: 1 };
  return { ...sound, ...given } as never;
}
