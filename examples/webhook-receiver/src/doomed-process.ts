import { openReceiver } from "./receiver.ts";

/** A receiver that stops doing anything at some point of a delivery, until it is killed from outside. */
export interface Doomed {
  readonly database: string;
  readonly secret: string;
  readonly leaseMs: number;
  /** `rate`: before anything is written. `reply`: the commit is done, and the sender has no response yet. */
  readonly diesAt: "rate" | "reply";
}

const { diesAt, ...options } = JSON.parse(process.argv[2] ?? "") as Doomed;

const dieAt = async (point: Doomed["diesAt"]): Promise<void> => {
  if (point !== diesAt) return;
  process.send?.({ diesAt });
  await new Promise(() => undefined);
};
const { app, accounts } = await openReceiver({
  ...options,
  rateOf: async () => {
    await dieAt("rate");
    return 1;
  },
});
accounts.open("ann");
app.addHook("onSend", async () => await dieAt("reply"));
const origin = await app.listen({ port: 0, host: "127.0.0.1" });
process.send?.({ origin });
