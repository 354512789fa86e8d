import { createHash } from "node:crypto";
import type { FastifyRequest } from "fastify";
import { ApiError } from "./api-error.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** Who was authenticated; empty on routes that ask nobody. */
    account: string;
  }
}

/** Knows accounts by their bearer tokens, of which it keeps no more than digests. */
export class Authentication {
  readonly #accounts: ReadonlyMap<string, string>;

  /** @param accounts by token */
  constructor(accounts: ReadonlyMap<string, string>) {
    const entries = [...accounts].map(([token, account]) => [digestOf(token), account] as const);
    this.#accounts = new Map(entries);
  }

  /** A hook that lets only known accounts pass. */
  readonly hook = async (request: FastifyRequest): Promise<void> => {
    const [, token] = /^Bearer (\S+)$/i.exec(request.headers.authorization ?? "") ?? [];
    // Looked up by digest, so that the time it takes tells nothing about other tokens.
    const account = token === undefined ? undefined : this.#accounts.get(digestOf(token));
    if (account === undefined) {
      throw new ApiError(401, { type: "invalid_request_error", message: "Unknown bearer token." });
    }
    request.account = account;
  };
}

/**
 * Whom a key belongs to: the account that was authenticated, and nothing that a client may choose.
 * Two accounts may then use the same key, and neither learns of the other.
 */
export function scopeOf({ account }: FastifyRequest): readonly string[] {
  // A route that forgets to authenticate must fail, and not share one scope among all its callers.
  if (account === "") throw new Error("A protected route has authenticated nobody.");
  return ["payments", account];
}

function digestOf(token: string): string {
  return createHash("sha256").update(token).digest("base64");
}
