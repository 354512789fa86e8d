import { subscribe, unsubscribe } from "node:diagnostics_channel";
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

  test("a listener that throws is reported and changes no outcome", async () => {
    const { engine } = world();
    const reported = vi.fn();
    const before = process.listeners("uncaughtException");
    process.removeAllListeners("uncaughtException");
    process.on("uncaughtException", reported);
    try {
      engine.on("completed", () => {
        throw new Error("listener");
      });
      expect(await engine.execute("s", "k", null, () => 1)).toMatchObject({ recorded: true });
      await settled();
      expect(reported).toHaveBeenCalledTimes(1);
    } finally {
      process.removeAllListeners("uncaughtException");
      for (const listener of before) process.on("uncaughtException", listener);
    }
  });
});
