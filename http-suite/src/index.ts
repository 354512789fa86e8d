export { type Received, type Sent, send } from "./client.ts";
export { fastifyBinding } from "./fastify.ts";
export { koaBinding } from "./koa.ts";
export type { App, Binding, Exchange, Handler, Lab, Plan, Row } from "./lab.ts";
export { prove } from "./table.ts";

import type { Row } from "./lab.ts";
import { clientRows } from "./rows/clients.ts";
import { comparedBodyRows } from "./rows/compared-bodies.ts";
import { duplicateRows } from "./rows/duplicates.ts";
import { failureRows } from "./rows/failures.ts";
import { fingerprintRows } from "./rows/fingerprints.ts";
import { headerRows } from "./rows/headers.ts";
import { keyRows } from "./rows/keys.ts";
import { responseRows } from "./rows/responses.ts";
import { statusRows } from "./rows/status.ts";
import { surroundingRows } from "./rows/surroundings.ts";
import { webhookRows } from "./rows/webhooks.ts";

/** What every binding has to do, by topic. */
export const TABLE: Readonly<Record<string, readonly Row[]>> = {
  keys: keyRows,
  fingerprints: fingerprintRows,
  "the option fingerprint": comparedBodyRows,
  duplicates: duplicateRows,
  responses: responseRows,
  headers: headerRows,
  failures: failureRows,
  "clients and handlers": clientRows,
  surroundings: surroundingRows,
  status: statusRows,
  webhooks: webhookRows,
};
