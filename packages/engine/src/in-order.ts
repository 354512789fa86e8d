/**
 * Runs tasks on one connection, each once the one before is over: some drivers take no more than one. In
 * a transaction nothing may follow what has failed: on some databases it would be on its own.
 */
export class InOrder {
  #last: Promise<unknown> = Promise.resolve();
  #failure: { readonly cause: unknown } | undefined;

  async run<T>(task: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(async () => {
      if (this.#failure !== undefined) {
        throw new Error("A statement of this transaction has failed: roll it back.", this.#failure);
      }
      return await task();
    });
    this.#last = mine.catch((cause: unknown) => {
      this.#failure ??= { cause };
    });
    return await mine;
  }
}
