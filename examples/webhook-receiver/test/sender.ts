import { Webhook } from "standardwebhooks";

export const SECRET = `whsec_${Buffer.alloc(24, 7).toString("base64")}`;

export interface Event {
  readonly id: string;
  readonly account?: string;
  readonly amountCents?: number;
  readonly currency?: string;
  readonly type?: string;
}

export interface Reply {
  readonly status: number;
  readonly body: unknown;
  readonly isReplayed: boolean;
}

/** Delivers events as Standard Webhooks has it. Each attempt is signed anew, and its body differs. */
export class Sender {
  readonly #origin: string;
  readonly #webhook: Webhook;
  #attempts = 0;

  constructor(origin: string, secret = SECRET) {
    this.#origin = origin;
    this.#webhook = new Webhook(secret);
  }

  async deliver({ id, type = "deposit.received", ...data }: Event): Promise<Reply> {
    this.#attempts += 1;
    const sentAt = new Date();
    const { account = "ann", amountCents = 500, currency = "EUR" } = data;
    const body = JSON.stringify({
      ...{ type, createdAt: sentAt.toISOString() },
      ...{ attempts: this.#attempts, pending_webhooks: 10 - this.#attempts },
      data: { account, amountCents, currency },
    });
    const response = await fetch(`${this.#origin}/hooks/deposits`, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        "webhook-id": id,
        "webhook-timestamp": String(Math.floor(sentAt.getTime() / 1000)),
        "webhook-signature": this.#webhook.sign(id, sentAt, body),
      },
      body,
    });
    const text = await response.text();
    return {
      status: response.status,
      body: text === "" ? undefined : JSON.parse(text),
      isReplayed: response.headers.get("idempotency-replayed") === "true",
    };
  }
}
