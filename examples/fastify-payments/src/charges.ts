import { randomUUID } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import type { FastifyInstance, FastifyRequest } from "fastify";
import { ApiError } from "./api-error.ts";
import type { CardNetwork, Verdict } from "./card-network.ts";
import type { Charge, ChargeRequest, Ledger } from "./ledger.ts";
import { CHARGE, CHARGE_REQUEST, DECLINED, NOT_FOUND } from "./schemas.ts";

export interface ChargeRoutes {
  readonly ledger: Ledger;
  readonly network: CardNetwork;
  /** Off only to see what it is there for. */
  readonly isProtected: boolean;
}

/** How much of a derived key stands in the id of a charge: 96 bits. */
const ID_DIGITS = 24;

/** Declares the routes of charges. They need an authenticated account. */
export function declareCharges(app: FastifyInstance, routes: ChargeRoutes): void {
  const { ledger, isProtected } = routes;
  app.post<{ readonly Body: ChargeRequest }>("/charges", {
    config: { idempotency: isProtected },
    schema: {
      summary: "Charge a card, once for each key",
      consumes: ["application/x-www-form-urlencoded", "application/json"],
      body: CHARGE_REQUEST,
      response: { 200: CHARGE, 402: DECLINED },
    },
    handler: async (request) => {
      const charge = await charged(routes, request);
      if (charge.status !== "failed") return charge;
      throw new ApiError(402, {
        ...{ type: "card_error", code: "card_declined", message: "The card was declined." },
        charge: charge.id,
      });
    },
  });
  app.get<{ readonly Params: { readonly id: string } }>("/charges/:id", {
    schema: { summary: "Read a charge", response: { 200: CHARGE, 404: NOT_FOUND } },
    handler: async ({ params, account }) => {
      const charge = ledger.find(params.id, account);
      if (charge !== undefined) return charge;
      throw new ApiError(404, { type: "invalid_request_error", message: "No such charge." });
    },
  });
}

/**
 * Charges a card under an id that is derived from the key. Whoever comes after a crash, or after
 * the key was forgotten, finds what was begun under the same id, and goes on there.
 */
async function charged(
  { ledger, network }: ChargeRoutes,
  request: FastifyRequest<{ readonly Body: ChargeRequest }>,
): Promise<Charge> {
  const { account, body, idempotency } = request;
  const derived = idempotency?.deriveKey("charge") ?? randomUUID().replaceAll("-", "");
  const id = `ch_${derived.slice(0, ID_DIGITS)}`;
  const begun = ledger.begin(id, account, body);
  refuseOther(begun, body);
  if (begun.status !== "pending") return begun;
  let verdict: Verdict;
  try {
    verdict = await network.authorise(body.source, body.amount, { idempotencyKey: derived });
  } catch {
    // What the network did is not known, but it knows our key: the next attempt asks again.
    idempotency?.release();
    throw new ApiError(503, { type: "api_error", message: "The card network is not available." });
  }
  return ledger.decide(id, account, verdict === "approved" ? "succeeded" : "failed");
}

/** Records expire after a day, charges never: an old key with another charge is refused. */
function refuseOther(begun: Charge, { metadata = {}, ...asked }: ChargeRequest): void {
  const { amount, currency, source, metadata: known } = begun;
  const isSame = isDeepStrictEqual(
    { amount, currency, source, metadata: known },
    { ...asked, metadata },
  );
  if (isSame) return;
  throw new ApiError(400, {
    type: "idempotency_error",
    message: "This key was used for another charge.",
  });
}
