export { type Received, type Sent, send } from "./client.ts";
export { fastifyBinding } from "./fastify.ts";
export { koaBinding } from "./koa.ts";
export type { App, Binding, Exchange, Handler, Lab, Plan, Row } from "./lab.ts";
export { prove } from "./table.ts";

import type { Row } from "./lab.ts";
import { clientRows } from "./rows/clients.ts";
import { comparedBodyRows } from "./rows/compared-bodies.ts";
import { disconnectRows } from "./rows/disconnects.ts";
import { duplicateRows } from "./rows/duplicates.ts";
import { failureRows } from "./rows/failures.ts";
import { fingerprintRows } from "./rows/fingerprints.ts";
import { headerRows } from "./rows/headers.ts";
import { keyRows } from "./rows/keys.ts";
import { layerRows } from "./rows/layers.ts";
import { openOutcomeRows } from "./rows/open-outcomes.ts";
import { policyRows } from "./rows/policies.ts";
import { responseRows } from "./rows/responses.ts";
import { statusRows } from "./rows/status.ts";
import { surroundingRows } from "./rows/surroundings.ts";
import { takenRows } from "./rows/taken.ts";
import { thrownRows } from "./rows/thrown.ts";
import { webhookRows } from "./rows/webhooks.ts";

/** What every binding has to do, by topic. */
export const TABLE: Readonly<Record<string, readonly Row[]>> = {
  keys: keyRows,
  fingerprints: fingerprintRows,
  "the option fingerprint": comparedBodyRows,
  duplicates: duplicateRows,
  responses: responseRows,
  "taken responses": takenRows,
  headers: headerRows,
  failures: failureRows,
  "clients and handlers": clientRows,
  "clients that leave": disconnectRows,
  surroundings: surroundingRows,
  layers: layerRows,
  "thrown errors": thrownRows,
  "policies of the engine": policyRows,
  "open outcomes": openOutcomeRows,
  status: statusRows,
  webhooks: webhookRows,
};
