import { InProgressError, type TransactionalEngine } from "@idemkit/engine";
import type { Broker, Message } from "./broker.ts";
import type { Row, ShopDatabase } from "./database.ts";
import type { Watcher } from "./order-service.ts";
import { LIST_UNPUBLISHED, markingPublished } from "./statements.ts";

const SCOPE = ["shop", "publish"];

/**
 * Takes events from the outbox to the broker. Any number of publishers may run, and die: the event's id
 * is the key under which it is sent once, and that it was sent is one commit with its mark.
 */
export class Publisher<Tx, IsSync extends boolean> {
  readonly #database: ShopDatabase<Tx, IsSync>;
  readonly #engine: TransactionalEngine<Tx, IsSync>;
  readonly #broker: Broker;
  readonly #watch: Watcher;

  constructor(
    database: ShopDatabase<Tx, IsSync>,
    broker: Broker,
    options: { readonly engine?: TransactionalEngine<Tx, IsSync>; readonly watch?: Watcher } = {},
  ) {
    const { engine = database.engine, watch = () => undefined } = options;
    this.#database = database;
    this.#engine = engine;
    this.#broker = broker;
    this.#watch = watch;
  }

  /** Sends a page of what waits in the outbox, and answers how many events this publisher has sent. */
  async publish(): Promise<number> {
    const rows = await this.#database.rows(LIST_UNPUBLISHED, []);
    let published = 0;
    for (const row of rows) {
      if (await this.#publishOnce(messageOf(row))) published += 1;
    }
    return published;
  }

  async #publishOnce(message: Message): Promise<boolean> {
    const send = async () => {
      await this.#broker.send(message);
      await this.#watch(`publish ${message.name}`);
    };
    const reconcile = async () =>
      (await this.#broker.has(message.id)) ? { happened: undefined } : ("did-not-happen" as const);
    try {
      const { replayed } = await this.#engine.execute(
        SCOPE,
        message.id,
        { ...message },
        async (context) => {
          await context.step("send", send, { reconcile });
          return await context.transaction<null>((tx) =>
            this.#database.writeIn(tx, markingPublished(message.id), null),
          );
        },
        { steps: true, onError: "release" },
      );
      return !replayed;
    } catch (error) {
      // Another publisher is at it, or has died at it: one of the next rounds will tell.
      if (error instanceof InProgressError) return false;
      throw error;
    }
  }
}

function messageOf({ id, name, order_id }: Row): Message {
  return { id: String(id), name: String(name), orderId: String(order_id) };
}
