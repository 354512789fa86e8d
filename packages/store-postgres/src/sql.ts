/**
 * Every statement of the store. Times are epoch milliseconds on the server's clock, which is asked
 * where it is needed and not once per statement: what waited for a rival's commit is judged, and its
 * lease counted, from then on.
 */
import { entries, entry, type Pair, type Parameters, SETTING, standing, update } from "./pairs.ts";

export const COLUMNS = [
  "digest",
  "scope",
  "key",
  "status",
  "fingerprint",
  "owner",
  "token",
  "attempt",
  "taken_over",
  "lease_ends_at",
  "expires_at",
  "created_at",
  "completed_at",
  "checkpoint_revision",
  "checkpoint",
  "note",
  "body",
] as const;

const NOW_US = "(date_part('epoch', clock_timestamp()) * 1000000)::bigint";
const NOW = "(date_part('epoch', clock_timestamp()) * 1000)::bigint";
/** The statement's own time, which an index can be searched with. */
const STABLE_NOW = "(date_part('epoch', now()) * 1000)::bigint";

const REQUEST: Parameters = {
  digest: "uuid",
  scope: "text",
  key: "text",
  owner: "text",
  fingerprint: "text",
  lease_ms: "bigint",
  retention_ms: "bigint",
  take_over: "boolean",
  checkpoint: "text",
};

/** Whether somebody who asks may have a record that is there. Their own claim is asked for apart. */
function isClaimable(asked: string, takeOver: string): string {
  return `(
    (stored.status IN ('succeeded', 'failed', 'released') AND stored.expires_at <= ${NOW})
    OR (stored.status = 'released'
      AND stored.owner <> ${asked}.owner
      AND (stored.checkpoint IS NULL OR stored.fingerprint = ${asked}.fingerprint))
    OR (stored.status = 'claimed'
      AND stored.lease_ends_at <= ${NOW}
      AND stored.owner <> ${asked}.owner
      AND stored.fingerprint = ${asked}.fingerprint
      AND ${takeOver}))`;
}

const KEEPS_CHECKPOINT = `(stored.status = 'claimed'
      OR (stored.expires_at > ${NOW} AND stored.checkpoint IS NOT NULL))`;

function names(columns: readonly string[], of: string): string {
  return columns.map((column) => `${of}.${column}`).join(", ");
}

/**
 * Reads first, so that a replay takes no lock and writes nothing; then claims what is absent or
 * claimable. Answers the rows that were granted, and those that could not be; a record that somebody
 * else has claimed in between is in neither, and has to be asked for again.
 */
function claim(source: (parameters: Parameters) => string): string {
  return `
    WITH ${SETTING},
    request AS MATERIALIZED (${source(REQUEST)}),
    found AS MATERIALIZED (
      SELECT stored.*, ${NOW} AS now_ms, ${isClaimable("request", "request.take_over")} AS is_claimable
      FROM request CROSS JOIN LATERAL (
        SELECT * FROM idemkit_records WHERE digest = request.digest LIMIT 1) AS stored),
    granted AS (
      INSERT INTO idemkit_records AS stored
        (digest, scope, key, status, fingerprint, owner, token, attempt, taken_over,
         lease_ends_at, expires_at, created_at, checkpoint_revision, checkpoint)
      SELECT
        digest, scope, key, 'claimed', fingerprint, owner, now_us, 1, false,
        now_us / 1000 + lease_ms, now_us / 1000 + retention_ms, now_us / 1000,
        CASE WHEN checkpoint IS NOT NULL THEN 0 END, checkpoint
      FROM (SELECT *, ${NOW_US} AS now_us FROM request OFFSET 0) AS request
      WHERE NOT EXISTS (
        SELECT FROM found WHERE found.digest = request.digest AND NOT found.is_claimable)
      ON CONFLICT (digest) DO UPDATE SET
        status = 'claimed',
        fingerprint = excluded.fingerprint,
        owner = excluded.owner,
        token = greatest(stored.token + 1, ${NOW_US}),
        attempt = CASE
          WHEN stored.status <> 'claimed' AND stored.expires_at <= ${NOW} THEN 1
          ELSE stored.attempt + 1 END,
        taken_over = stored.status = 'claimed',
        lease_ends_at = ${NOW} + excluded.lease_ends_at - excluded.created_at,
        expires_at = ${NOW} + excluded.expires_at - excluded.created_at,
        created_at = CASE WHEN stored.status = 'claimed' THEN stored.created_at ELSE ${NOW} END,
        completed_at = NULL,
        checkpoint_revision = CASE
          WHEN ${KEEPS_CHECKPOINT} THEN stored.checkpoint_revision
          ELSE excluded.checkpoint_revision END,
        checkpoint = CASE
          WHEN ${KEEPS_CHECKPOINT} THEN stored.checkpoint ELSE excluded.checkpoint END,
        note = NULL,
        body = NULL
      WHERE ${isClaimable(
        "excluded",
        "(SELECT take_over FROM request WHERE request.digest = excluded.digest)",
      )}
      RETURNING stored.*)
    SELECT true, NULL::bigint, ${names(COLUMNS, "granted")} FROM granted
    UNION ALL
    SELECT false, now_ms, ${names(COLUMNS, "found")} FROM found WHERE NOT is_claimable`;
}

export const CLAIM: Pair = { one: claim(entry), list: claim(entries) };

const FENCE = "stored.owner = request.owner AND stored.token = request.token";

/** Gives an owner its own claim again. */
export const CLAIM_AGAIN: Pair = update(
  { digest: "uuid", owner: "text", lease_ms: "bigint" },
  `lease_ends_at = ${NOW} + request.lease_ms`,
  "stored.owner = request.owner AND stored.status = 'claimed'",
  `true, NULL::bigint, ${names(COLUMNS, "stored")}`,
);

export const RENEW: Pair = update(
  {
    digest: "uuid",
    owner: "text",
    token: "bigint",
    lease_ms: "bigint",
    revision: "bigint",
    checkpoint: "text",
  },
  `
      lease_ends_at = ${NOW} + request.lease_ms,
      checkpoint = CASE
        WHEN request.revision > coalesce(stored.checkpoint_revision, -1) THEN request.checkpoint
        ELSE stored.checkpoint END,
      checkpoint_revision = greatest(stored.checkpoint_revision, request.revision)`,
  `${FENCE} AND stored.status = 'claimed'`,
);

/**
 * The expiry stays as the claim set it while nine tenths of the retention are left: then no index is
 * written. `unknown` is open still, and its owner, or an operator, may decide it.
 */
export const COMPLETE: Pair = update(
  {
    digest: "uuid",
    owner: "text",
    token: "bigint",
    status: "text",
    body: "text",
    note: "text",
    retention_ms: "bigint",
    if_lapsed: "boolean",
  },
  `
      status = request.status,
      body = request.body,
      note = request.note,
      completed_at = ${NOW},
      expires_at = CASE
        WHEN (stored.expires_at - ${NOW}) * 10 < request.retention_ms * 9
          THEN greatest(stored.expires_at, ${NOW} + request.retention_ms)
        ELSE stored.expires_at END`,
  `${FENCE}
      AND stored.status IN ('claimed', 'unknown')
      AND (NOT request.if_lapsed OR stored.status = 'unknown' OR stored.lease_ends_at <= ${NOW})`,
);

/** Whether the outcomes of these claims stand there already. */
export const IS_COMPLETED: Pair = standing(
  { digest: "uuid", owner: "text", token: "bigint", status: "text", body: "text" },
  `${FENCE}
      AND stored.status = request.status AND stored.body = request.body
      AND stored.expires_at > ${NOW}`,
);

const CLAIM_PARAMETERS: Parameters = { digest: "uuid", owner: "text", token: "bigint" };

export const RELEASE: Pair = update(
  CLAIM_PARAMETERS,
  "status = 'released', body = NULL, completed_at = NULL",
  `${FENCE} AND stored.status IN ('claimed', 'unknown')`,
);

/** Whether these claims have been released already. */
export const IS_RELEASED: Pair = standing(
  CLAIM_PARAMETERS,
  `${FENCE} AND stored.status = 'released' AND stored.expires_at > ${NOW}`,
);

function read(source: (parameters: Parameters) => string): string {
  return `
    WITH ${SETTING}, request AS MATERIALIZED (${source({ digest: "uuid" })})
    SELECT false, ${NOW}, ${names(COLUMNS, "stored")}
    FROM request CROSS JOIN LATERAL (
      SELECT * FROM idemkit_records WHERE digest = request.digest LIMIT 1) AS stored`;
}

export const READ: Pair = { one: read(entry), list: read(entries) };

export const REMOVE: Pair = update(
  { digest: "uuid", token: "bigint" },
  `
      status = 'released',
      completed_at = NULL,
      checkpoint_revision = NULL,
      checkpoint = NULL,
      note = NULL,
      body = NULL`,
  `stored.token = request.token
      AND (stored.status IN ('claimed', 'unknown') OR stored.expires_at > ${NOW})`,
);

/**
 * The open records that follow a digest. There is no index on them, as it would cost two writes a
 * call: operators wait a little instead. Parameters: state, after, limit.
 */
export const LIST = `
  SELECT false, ${STABLE_NOW}, ${names(COLUMNS, "stored")}
  FROM idemkit_records AS stored
  WHERE stored.digest > $2::text::uuid
    AND stored.status IN ('claimed', 'unknown')
    AND CASE $1::text
      WHEN 'in-progress' THEN stored.status = 'claimed' AND stored.lease_ends_at > ${STABLE_NOW}
      WHEN 'lapsed' THEN stored.status = 'claimed' AND stored.lease_ends_at <= ${STABLE_NOW}
      WHEN 'unknown' THEN stored.status = 'unknown' END
  ORDER BY stored.digest
  LIMIT $3::text::bigint`;

/**
 * Deletes expired records, the oldest first, but for those whose token is ahead of the clock: it
 * would be issued again. What somebody else has locked is left for the next time. Parameters: limit.
 */
export const PURGE = `
  WITH purged AS (
    DELETE FROM idemkit_records WHERE ctid = ANY (ARRAY(
      SELECT ctid FROM idemkit_records
      WHERE expires_at <= ${STABLE_NOW}
        AND status IN ('succeeded', 'failed', 'released')
        AND token < ${STABLE_NOW} * 1000
      ORDER BY expires_at
      LIMIT $1::text::bigint
      FOR UPDATE SKIP LOCKED))
    RETURNING 1)
  SELECT count(*) FROM purged`;
