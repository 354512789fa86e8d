/**
 * Every statement of the store. Times are epoch milliseconds on the server's clock, which is asked
 * where it is needed and not once per statement: what waited for a rival's commit is judged, and its
 * lease counted, from then on.
 */
import { type Pair, type Parameters, pair } from "./pairs.ts";

const NOW_US = "(date_part('epoch', clock_timestamp()) * 1000000)::bigint";
const NOW = "(date_part('epoch', clock_timestamp()) * 1000)::bigint";
/**
 * The statement's own time, which an index can be searched with. What is only read is judged by it: rows
 * are seen as they were then, and an owner may have renewed its lease while the statement waited.
 */
const STABLE_NOW = "(date_part('epoch', statement_timestamp()) * 1000)::bigint";

/** Rows of a record, as `recordInRow` reads them. */
function row(isGranted: boolean, now: string): string {
  const head = [
    now,
    "stored.digest",
    "stored.status",
    "stored.token",
    "stored.attempt",
    "stored.taken_over",
    "stored.lease_ends_at",
    "stored.expires_at",
    "stored.created_at",
    "coalesce(stored.completed_at, -1)",
    "coalesce(stored.checkpoint_revision, -1)",
    `${isGranted}`,
  ];
  return `concat_ws(' ', ${head.join(", ")}),
    stored.fingerprint, stored.owner, stored.checkpoint, stored.body`;
}

/** What only people read. */
const LABELS = "stored.note, stored.scope, stored.key";

/**
 * Reads first, so that a replay takes no lock and writes nothing; then claims what is absent. Answers
 * the rows that were there, and those that were granted; a record that somebody else has claimed in
 * between is in neither, and has to be asked for again.
 */
export const CLAIM: Pair = pair(
  {
    digest: "uuid",
    scope: "text",
    key: "text",
    owner: "text",
    fingerprint: "text",
    lease_ms: "bigint",
    retention_ms: "bigint",
    checkpoint: "text",
  },
  (form) => `
    WITH ${form.with}
    found AS MATERIALIZED (SELECT stored.* FROM ${form.found}),
    granted AS (
      INSERT INTO idemkit_records
        (digest, scope, key, status, fingerprint, owner, token, attempt, taken_over,
         lease_ends_at, expires_at, created_at, checkpoint_revision, checkpoint)
      SELECT
        digest, scope, key, 'claimed', fingerprint, owner, ${NOW_US}, 1, false,
        ${NOW} + lease_ms, ${NOW} + retention_ms, ${NOW},
        CASE WHEN checkpoint IS NOT NULL THEN 0 END, checkpoint
      FROM ${form.request}
      WHERE ${form.isAbsent} AND ${form.waits}
      ON CONFLICT (digest) DO NOTHING
      RETURNING *)
    SELECT ${row(true, "stored.created_at")} FROM granted AS stored
    UNION ALL
    SELECT ${row(false, STABLE_NOW)} FROM found AS stored`,
);

/** An update whose conditions compare `stored` with `request`. Answers something of each changed row. */
function update(
  parameters: Parameters,
  set: string,
  condition: string,
  answer = "stored.digest",
): Pair {
  return pair(
    parameters,
    (form) => `
    ${form.withLocked}
    UPDATE idemkit_records AS stored SET ${set}
    FROM ${form.locked}
    WHERE stored.digest = request.digest AND ${condition} AND ${form.waits}
    RETURNING ${answer}`,
  );
}

/**
 * Writes a claim over a record that was found free to be claimed, if nobody has touched it since: a
 * claim gives it another token, a renewal another end, a completion or release another status, and a
 * removal takes its checkpoint.
 */
export const CLAIM_FOUND: Pair = update(
  {
    digest: "uuid",
    found_token: "bigint",
    found_status: "text",
    found_lease_ends_at: "bigint",
    found_revision: "bigint",
    owner: "text",
    fingerprint: "text",
    attempt: "bigint",
    taken_over: "boolean",
    lease_ms: "bigint",
    retention_ms: "bigint",
    created_at: "bigint",
    checkpoint_revision: "bigint",
    checkpoint: "text",
  },
  `
      status = 'claimed',
      fingerprint = request.fingerprint,
      owner = request.owner,
      token = greatest(stored.token + 1, ${NOW_US}),
      attempt = request.attempt,
      taken_over = request.taken_over,
      lease_ends_at = ${NOW} + request.lease_ms,
      expires_at = ${NOW} + request.retention_ms,
      created_at = request.created_at,
      completed_at = NULL,
      checkpoint_revision = request.checkpoint_revision,
      checkpoint = request.checkpoint,
      note = NULL,
      body = NULL`,
  `stored.token = request.found_token
      AND stored.status = request.found_status
      AND stored.lease_ends_at = request.found_lease_ends_at
      AND stored.checkpoint_revision IS NOT DISTINCT FROM request.found_revision`,
  row(true, NOW),
);

const FENCE = "stored.owner = request.owner AND stored.token = request.token";

/** Gives an owner its own claim again. */
export const CLAIM_AGAIN: Pair = update(
  { digest: "uuid", owner: "text", lease_ms: "bigint" },
  `lease_ends_at = ${NOW} + request.lease_ms`,
  "stored.owner = request.owner AND stored.status = 'claimed'",
  row(true, NOW),
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
      lease_ends_at = coalesce(${NOW} + request.lease_ms, stored.lease_ends_at),
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
export const COMPLETE: Pair = completion("true");

/**
 * The same in the transaction that has claimed the record: the row is of this very transaction, which the
 * work may have ended.
 */
export const COMPLETE_HERE: Pair = completion(
  "stored.xmin::text::bigint = (txid_current() & 4294967295)",
);

function completion(condition: string): Pair {
  return update(
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
      AND (NOT request.if_lapsed OR stored.status = 'unknown' OR stored.lease_ends_at <= ${NOW})
      AND ${condition}`,
  );
}

const CLAIM_PARAMETERS: Parameters = { digest: "uuid", owner: "text", token: "bigint" };

export const RELEASE: Pair = update(
  CLAIM_PARAMETERS,
  "status = 'released', body = NULL, completed_at = NULL",
  `${FENCE} AND stored.status IN ('claimed', 'unknown')`,
);

export const READ: Pair = pair(
  { digest: "uuid" },
  (form) => `
    WITH ${form.with}
    found AS MATERIALIZED (SELECT stored.* FROM ${form.found})
    SELECT ${row(false, STABLE_NOW)}, ${LABELS} FROM found AS stored`,
);

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
  SELECT ${row(false, STABLE_NOW)}, ${LABELS}
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

/** How long a statement in a transaction waits for a row that somebody else has locked. */
const WORK_LOCK_TIMEOUT_MS = 2_000;

/** Bounds a transaction, in two statements that answer nothing. What is set ends with it. */
export function boundTransaction(idleMs: number): string {
  return `SET LOCAL lock_timeout = ${WORK_LOCK_TIMEOUT_MS};
    SET LOCAL idle_in_transaction_session_timeout = ${Math.ceil(idleMs)}`;
}
