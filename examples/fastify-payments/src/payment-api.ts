import formbody from "@fastify/formbody";
import swagger, { type FastifyDynamicSwaggerOptions } from "@fastify/swagger";
import type { TransactionalEngine } from "@idemkit/engine";
import {
  type FastifyIdempotencyOptions,
  idempotency,
  idempotencyStatus,
  idempotencyTransform,
} from "@idemkit/fastify";
import fastify, { type FastifyInstance } from "fastify";
import { answerError } from "./api-error.ts";
import { Authentication, scopeOf } from "./authentication.ts";
import type { CardNetwork } from "./card-network.ts";
import { declareCharges, type Watcher } from "./charges.ts";
import { parsedForm } from "./form.ts";
import type { Ledger } from "./ledger.ts";

export interface PaymentApiOptions<Tx> {
  /** On the ledger's database, with `steps`. */
  readonly engine: TransactionalEngine<Tx, boolean>;
  readonly ledger: Ledger<Tx>;
  readonly network: CardNetwork;
  /** The accounts by their bearer tokens. */
  readonly accounts: ReadonlyMap<string, string>;
  /** Default: true. */
  readonly isProtected?: boolean;
  readonly logLevel?: "silent" | "warn";
  readonly watch?: Watcher;
}

const OPENAPI: NonNullable<FastifyDynamicSwaggerOptions["openapi"]> = {
  openapi: "3.1.0",
  info: { title: "Payments", version: "1.0.0" },
  components: { securitySchemes: { bearer: { type: "http", scheme: "bearer" } } },
  security: [{ bearer: [] }],
};

/** An API that speaks as Stripe does, so that Stripe's clients can be used with it. */
export async function paymentApi<Tx>(options: PaymentApiOptions<Tx>): Promise<FastifyInstance> {
  const { engine, ledger, network, accounts, isProtected = true, logLevel = "warn" } = options;
  const { watch = () => undefined } = options;
  const app = fastify({
    logger: { level: logLevel },
    // A parameter that is misspelt is refused: without it the charge would be another one.
    ajv: { customOptions: { removeAdditional: false } },
  });
  const byStripe = {
    ...{ engine, scope: scopeOf, preset: "stripe" },
    // The preset would record them.
    on5xx: "release",
  } as const satisfies FastifyIdempotencyOptions;
  const status = { engine, scope: scopeOf, preset: "stripe" } as const;
  app.setErrorHandler(answerError);
  app.decorateRequest("account", "");
  await app.register(swagger, { openapi: OPENAPI, transform: idempotencyTransform(byStripe) });
  await app.register(formbody, { parser: parsedForm });
  // Awaited, and before the routes: it protects those that are declared from here on.
  await app.register(idempotency, byStripe);
  await app.register(
    (v1, _options, done) => {
      v1.addHook("onRequest", new Authentication(accounts).hook);
      declareCharges(v1, { ledger, network, isProtected, watch });
      v1.get("/idempotency-keys/:key", {
        schema: { summary: "Tell what has become of a key" },
        handler: idempotencyStatus(status),
      });
      done();
    },
    { prefix: "/v1" },
  );
  app.get("/openapi.json", { schema: { hide: true } }, async () => app.swagger());
  return app;
}
