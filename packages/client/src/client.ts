import { untilSettled } from "./attempts.ts";
import type { FetchLike } from "./fetch.ts";
import { newKey } from "./key.ts";
import {
  type ClientOptions,
  type OperationOptions,
  operationSettingsOf,
  type Settings,
  settingsOf,
} from "./options.ts";
import { outgoing, signalOf } from "./outgoing.ts";

/** A final answer, and how it came. */
export interface Answer<F extends FetchLike = typeof globalThis.fetch> {
  /** As fetch would have given it, whatever its status, with its body unread. */
  readonly response: Awaited<ReturnType<F>>;
  /** The key that all attempts had. */
  readonly key: string;
  /** How often the request was sent, counted from 1. */
  readonly attempts: number;
  /** Whether the server said that this is the recorded response of an earlier request. */
  readonly replayed: boolean;
}

/** One operation under one key, which may be tried again by another process. */
export interface Operation<F extends FetchLike = typeof globalThis.fetch> {
  /**
   * Save it before the first send. The JSON of an operation is `{ key }`, which `client.operation`
   * takes to go on with it.
   */
  readonly key: string;
  /**
   * Sends the request of this operation until its answer is final. Each call has a deadline of its
   * own. Other content under the same key is refused by the server, with 422.
   *
   * @throws as `Client.fetch` does
   */
  fetch(input: Parameters<F>[0], init?: Parameters<F>[1]): Promise<Answer<F>>;
}

/** Sends requests, each under a key of its own, until there is a final answer. */
export interface Client<F extends FetchLike = typeof globalThis.fetch> {
  /**
   * Sends one operation: a request with a key that is the same on every attempt. It resolves with
   * an answer that is final, whatever its status; `docs/guides/client.md` says which are.
   *
   * @throws IdempotencyDeadlineError if there was none by the deadline: nobody knows whether it
   *   happened, and it may be tried again later with the same key
   * @throws ShouldRetryError if the option `shouldRetry` throws
   * @throws the reason of the signal in `init` or of the Request, at once
   * @throws TypeError for what could not be sent, or not again, before anything is sent
   */
  fetch(
    input: Parameters<F>[0],
    init?: Parameters<F>[1],
    options?: OperationOptions,
  ): Promise<Answer<F>>;
  /**
   * Names an operation before it is sent, so that its key can be saved and outlives the process.
   *
   * @param options a saved operation, or limits for a new one
   * @throws TypeError for options that are wrong
   */
  operation(options?: OperationOptions): Operation<F>;
}

/** @throws TypeError for options that are wrong */
export function createClient<F extends FetchLike = typeof globalThis.fetch>(
  options: ClientOptions<F> = {},
): Client<F> {
  const base = settingsOf(options);
  return Object.freeze({
    async fetch(input: unknown, init?: RequestInit, callOptions: OperationOptions = {}) {
      const { settings, key } = operationSettingsOf(base, callOptions);
      return await send<F>(input, init, key ?? newKey(), key === undefined, settings);
    },
    operation(operationOptions: OperationOptions = {}) {
      const { settings, key = newKey() } = operationSettingsOf(base, operationOptions);
      return Object.freeze({
        key,
        fetch: (input: unknown, init?: RequestInit) => send<F>(input, init, key, false, settings),
      });
    },
  });
}

async function send<F extends FetchLike>(
  input: unknown,
  init: RequestInit = {},
  key: string,
  isFresh: boolean,
  settings: Settings,
): Promise<Answer<F>> {
  const given = signalOf(input, init);
  given?.throwIfAborted();
  // One of its own, as many calls may share theirs, each with listeners that Node would take for a leak.
  const signal = given && AbortSignal.any([given]);
  const request = await outgoing(input, init, key, settings, signal);
  const call = { outgoing: request, key, isFresh, signal, settings };
  const { response, attempts, replayed } = await untilSettled(call);
  return { response: response as unknown as Awaited<ReturnType<F>>, key, attempts, replayed };
}
