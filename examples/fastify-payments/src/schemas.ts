/** What is asked for. Forms have texts only: Fastify makes numbers of those that have to be. */
export const CHARGE_REQUEST = {
  type: "object",
  required: ["amount", "currency", "source"],
  additionalProperties: false,
  properties: {
    amount: { type: "integer", minimum: 1, maximum: 99_999_999, description: "In cents." },
    currency: { type: "string", pattern: "^[a-z]{3}$" },
    source: { type: "string", minLength: 1, maxLength: 255, description: "A token of a card." },
    metadata: {
      type: "object",
      maxProperties: 50,
      additionalProperties: { type: "string", maxLength: 500 },
    },
  },
} as const;

export const CHARGE = {
  description: "The charge.",
  type: "object",
  required: ["id", "object", "amount", "currency", "source", "metadata", "status", "created"],
  properties: {
    id: { type: "string" },
    object: { type: "string", enum: ["charge"] },
    amount: { type: "integer" },
    currency: { type: "string" },
    source: { type: "string" },
    metadata: { type: "object", additionalProperties: { type: "string" } },
    status: { type: "string", enum: ["succeeded", "failed"] },
    created: { type: "integer", description: "Seconds since 1970." },
  },
} as const;

const ERROR = {
  type: "object",
  required: ["error"],
  properties: {
    error: {
      type: "object",
      required: ["type", "message"],
      properties: {
        type: { type: "string" },
        code: { type: "string" },
        message: { type: "string" },
        charge: { type: "string" },
      },
    },
  },
} as const;

export const DECLINED = { description: "The card was declined.", ...ERROR } as const;

export const NOT_FOUND = { description: "There is none, or it is not yours.", ...ERROR } as const;
