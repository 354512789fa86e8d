import { execFile } from "node:child_process";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, test, vi } from "vitest";
import { rejection, settled, world } from "./world.ts";

describe("events", () => {
  test("tell the story of a key in order, by digest alone", async () => {
    const { engine, events, time } = world();
    await engine.execute(["tenant"], "secret-key", { secret: "payload" }, () => "secret-result");
    await time.advance(1_000);
    await engine.execute(["tenant"], "secret-key", { secret: "payload" }, () => "");
    await rejection(engine.execute(["tenant"], "secret-key", "other", () => ""));
    const digest = (await engine.inspect(["tenant"], "secret-key"))?.digest;
    expect(events.map(({ name }) => name)).toEqual([
      "claimed",
      "completed",
      "replayed",
      "conflict",
    ]);
    expect(events.every(({ event }) => "digest" in event && event.digest === digest)).toBe(true);
    expect(JSON.stringify(events)).not.toMatch(/secret|tenant/);
    expect(events[2]?.event).toMatchObject({ status: "succeeded", ageMs: 1_000 });
  });

  test("reach the process through diagnostics_channel", async () => {
    const seen: unknown[] = [];
    const listener = (message: unknown, name: string | symbol) => seen.push([name, message]);
    subscribe("idemkit:claimed", listener);
    const { engine } = world();
    await engine.execute("s", "k", null, () => 1);
    unsubscribe("idemkit:claimed", listener);
    await engine.execute("s", "k2", null, () => 1);
    expect(seen).toEqual([["idemkit:claimed", expect.objectContaining({ attempt: 1 })]]);
  });

  test("stop when the listener is taken back", async () => {
    const { engine } = world();
    const listener = vi.fn();
    const stop = engine.on("claimed", listener);
    await engine.execute("s", "a", null, () => 1);
    stop();
    await engine.execute("s", "b", null, () => 1);
    expect(listener).toHaveBeenCalledTimes(1);
  });
});

/** Runs a key to its end, for a listener of `completed`. */
async function complete({ engine }: ReturnType<typeof world>, key = "k"): Promise<void> {
  expect(await engine.execute("s", key, null, () => 1)).toMatchObject({ recorded: true });
  await settled();
}

function revoked(): object {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
}

describe("a listener that fails", () => {
  test("by a throw or a rejection ends no process, and a process warning reports each", async () => {
    const program = fileURLToPath(new URL("failing-listeners.ts", import.meta.url));
    const options = ["--conditions=@idemkit/source", "--import", import.meta.resolve("tsx")];
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [...options, program]);
    expect(stdout).toBe("done: a\ndone: b\n");
    expect(stderr.match(/IdempotencyWarning: A listener of the event 'completed'/g)).toHaveLength(
      2,
    );
    expect(stderr).not.toContain("text of");
  });

  test("disturbs no call and no other listener, and stays subscribed", async () => {
    const shared = world();
    let calls = 0;
    const next = vi.fn();
    shared.engine.on("completed", () => {
      calls += 1;
      throw new RangeError("too far");
    });
    shared.engine.on("completed", async () => {
      calls += 1;
      throw new RangeError("too late");
    });
    shared.engine.on("completed", next);
    await complete(shared, "a");
    await complete(shared, "b");
    expect(calls).toBe(4);
    expect(next).toHaveBeenCalledTimes(2);
    expect(shared.time.warnings).toEqual(
      [1, 2].map(() =>
        expect.stringContaining("'completed' failed with an instance of RangeError"),
      ),
    );
  });

  test("causes one warning a minute, and each other listener one of its own", async () => {
    const shared = world();
    const fail = () => {
      throw new Error("one");
    };
    shared.engine.on("completed", fail);
    shared.engine.on("completed", () => Promise.reject(new Error("two")));
    // The same listener: its minute counts for both of its events.
    shared.engine.on("claimed", fail);
    await complete(shared, "a");
    expect(shared.time.warnings).toHaveLength(2);
    await shared.time.advance(59_999);
    await complete(shared, "b");
    expect(shared.time.warnings).toHaveLength(2);
    await shared.time.advance(1);
    await complete(shared, "c");
    expect(shared.time.warnings).toHaveLength(4);
    expect(shared.time.timers).toBe(0);
  });

  test("is warned of without the text of its error, which may hold rows and names", async () => {
    const shared = world();
    const secret = "sk_live_51Habcdef";
    const errors: readonly unknown[] = [
      Object.assign(new Error(secret), { code: secret, name: secret, row: secret }),
      new Error(`${secret}\n    at ${secret} (/${secret}.js:1:1)`),
      new (class extends Error {
        override readonly name = `Error ${secret}`;
        override get message(): string {
          throw new Error(secret);
        }
      })(),
      secret,
      { name: secret, stack: `    at ${secret}` },
      new Proxy(new Error(secret), {
        get: () => {
          throw new Error(secret);
        },
      }),
      revoked(),
      null,
      undefined,
    ];
    for (const [index, error] of errors.entries()) {
      const stops = [
        shared.engine.on("completed", () => {
          throw error;
        }),
        shared.engine.on("completed", () => Promise.reject(error)),
      ];
      await complete(shared, `${secret} ${index}`);
      expect(shared.time.warnings).toHaveLength(2 * (index + 1));
      for (const stop of stops) stop();
    }
    for (const warning of shared.time.warnings) {
      expect(warning).toMatch(
        /^A listener of the event 'completed' failed with (an? |null|undefined)/,
      );
      expect(warning).not.toContain(secret);
    }
  });
});
