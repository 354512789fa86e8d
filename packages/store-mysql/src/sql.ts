/**
 * Every statement of the store, in words that MySQL and MariaDB understand alike. Times are epoch
 * milliseconds on the server's clock, when the statement began.
 */
import { type Form, type Pair, type Parameters, pair } from "./pairs.ts";

const NOW_US = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))";
const NOW = `(${NOW_US} DIV 1000)`;

/** A record, as `recordInRow` reads it. */
const ROW = `
    CONCAT_WS(' ', ${NOW}, LOWER(HEX(record.digest)), record.status, record.token, record.attempt,
      record.taken_over, record.lease_ends_at, record.expires_at, record.created_at,
      COALESCE(record.completed_at, -1), COALESCE(record.checkpoint_revision, -1)),
    record.fingerprint, CONVERT(record.owner USING utf8mb4), record.checkpoint, record.body,
    record.note, record.scope, record.\`key\``;

/**
 * Each entry beside its record. A look-up one by one, in their order, locks in their order as well; of
 * a table with few rows the server would rather read, and lock, all.
 */
function joined({ isList, entries, value }: Form): string {
  return isList
    ? `${entries} STRAIGHT_JOIN idemkit_records AS record FORCE INDEX (PRIMARY)
    ON record.digest = ${value("digest")}`
    : "idemkit_records AS record";
}

/** Values are asked for in the order in which the text has them. */
function conditions({ isList, value }: Form, condition: (value: Form["value"]) => string): string {
  const isRecord = isList ? "" : `record.digest = ${value("digest")} AND `;
  return isRecord + condition(value);
}

export const READ: Pair = pair(
  { digest: "digest" },
  (form) => `SELECT ${ROW} FROM ${joined(form)} WHERE ${conditions(form, () => "TRUE")}`,
);

/**
 * Claims what is absent, and touches nothing else. For one entry LAST_INSERT_ID tells the token, or 0
 * where a record was there; for many it has to be read who owns them.
 */
export const CLAIM: Pair = pair(
  {
    digest: "digest",
    scope: "text",
    key: "text",
    owner: "text",
    fingerprint: "text",
    lease_ms: "bigint",
    retention_ms: "bigint",
    checkpoint_revision: "bigint",
    checkpoint: "text",
  },
  ({ isList, entries, value }) => {
    const token = isList ? NOW_US : `LAST_INSERT_ID(${NOW_US})`;
    const row = `${value("digest")}, ${value("scope")}, ${value("key")}, 'claimed',
    ${value("fingerprint")}, ${value("owner")}, ${token}, 1, FALSE,
    ${NOW} + ${value("lease_ms")}, ${NOW} + ${value("retention_ms")}, ${NOW},
    ${value("checkpoint_revision")}, ${value("checkpoint")}`;
    return `
  INSERT INTO idemkit_records (
    digest, scope, \`key\`, status, fingerprint, owner, token, attempt, taken_over,
    lease_ends_at, expires_at, created_at, checkpoint_revision, checkpoint)
  ${isList ? `SELECT ${row} FROM ${entries}` : `VALUES (${row})`}
  ON DUPLICATE KEY UPDATE
    attempt = ${isList ? "" : "LAST_INSERT_ID(0) + "}idemkit_records.attempt`;
  },
);

/** An update whose conditions compare the record with the entry. */
function update(
  parameters: Parameters,
  set: (value: Form["value"]) => string,
  condition: (value: Form["value"]) => string,
): Pair {
  return pair(parameters, (form) => {
    const change = set(form.value);
    return `
  UPDATE ${joined(form)} SET ${change}
  WHERE ${conditions(form, condition)}`;
  });
}

/**
 * Writes a claim over a record that was found free to be claimed, if nobody has touched it since: a
 * claim gives it another token, a renewal another end, a completion or release another status, and a
 * removal takes its checkpoint.
 */
export const CLAIM_FOUND: Pair = update(
  {
    digest: "digest",
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
  (value) => `
    record.status = 'claimed',
    record.fingerprint = ${value("fingerprint")},
    record.owner = ${value("owner")},
    record.token = GREATEST(record.token + 1, ${NOW_US}),
    record.attempt = ${value("attempt")},
    record.taken_over = ${value("taken_over")},
    record.lease_ends_at = ${NOW} + ${value("lease_ms")},
    record.expires_at = ${NOW} + ${value("retention_ms")},
    record.created_at = ${value("created_at")},
    record.completed_at = NULL,
    record.checkpoint_revision = ${value("checkpoint_revision")},
    record.checkpoint = ${value("checkpoint")},
    record.note = NULL,
    record.body = NULL`,
  (value) => `record.token = ${value("found_token")}
    AND record.status = ${value("found_status")}
    AND record.lease_ends_at = ${value("found_lease_ends_at")}
    AND record.checkpoint_revision <=> ${value("found_revision")}`,
);

/** Gives an owner its own claim again. */
export const CLAIM_AGAIN: Pair = update(
  { digest: "digest", owner: "text", lease_ms: "bigint" },
  (value) => `record.lease_ends_at = ${NOW} + ${value("lease_ms")}`,
  (value) => `record.owner = ${value("owner")} AND record.status = 'claimed'`,
);

const CLAIM_PARAMETERS: Parameters = { digest: "digest", owner: "text", token: "bigint" };

function fence(value: Form["value"]): string {
  return `record.owner = ${value("owner")} AND record.token = ${value("token")}`;
}

/** Assignments are made from left to right: the revision that decides comes last. */
export const RENEW: Pair = update(
  { ...CLAIM_PARAMETERS, lease_ms: "bigint", revision: "bigint", checkpoint: "text" },
  (value) => `
    record.lease_ends_at = COALESCE(${NOW} + ${value("lease_ms")}, record.lease_ends_at),
    record.checkpoint = IF(
      ${value("revision")} > COALESCE(record.checkpoint_revision, -1),
      ${value("checkpoint")}, record.checkpoint),
    record.checkpoint_revision = IF(
      ${value("revision")} > COALESCE(record.checkpoint_revision, -1),
      ${value("revision")}, record.checkpoint_revision)`,
  (value) => `${fence(value)} AND record.status = 'claimed'`,
);

/**
 * The expiry stays as the claim set it while nine tenths of the retention are left: then no index is
 * written. `unknown` is open still, and its owner, or an operator, may decide it.
 */
export const COMPLETE: Pair = update(
  {
    ...CLAIM_PARAMETERS,
    status: "text",
    body: "text",
    note: "text",
    retention_ms: "bigint",
    if_lapsed: "boolean",
  },
  (value) => `
    record.status = ${value("status")},
    record.body = ${value("body")},
    record.note = ${value("note")},
    record.completed_at = ${NOW},
    record.expires_at = IF(
      (record.expires_at - ${NOW}) * 10 < ${value("retention_ms")} * 9,
      GREATEST(record.expires_at, ${NOW} + ${value("retention_ms")}), record.expires_at)`,
  (value) => `${fence(value)}
    AND record.status IN ('claimed', 'unknown')
    AND (NOT ${value("if_lapsed")} OR record.status = 'unknown' OR record.lease_ends_at <= ${NOW})`,
);

export const RELEASE: Pair = update(
  CLAIM_PARAMETERS,
  () => "record.status = 'released', record.body = NULL, record.completed_at = NULL",
  (value) => `${fence(value)} AND record.status IN ('claimed', 'unknown')`,
);

export const REMOVE: Pair = update(
  { digest: "digest", token: "bigint" },
  () => `
    record.status = 'released',
    record.completed_at = NULL,
    record.checkpoint_revision = NULL,
    record.checkpoint = NULL,
    record.note = NULL,
    record.body = NULL`,
  (value) => `record.token = ${value("token")}
    AND (record.status IN ('claimed', 'unknown') OR record.expires_at > ${NOW})`,
);

/**
 * The open records that follow a digest. There is no index on them, as it would cost two writes a
 * call: operators wait a little instead. A limit cannot be a parameter that travels as text.
 */
export const list = (limit: number): Pair =>
  pair(
    { after: "digest", state: "text" },
    ({ value }) => `
  SELECT ${ROW}
  FROM idemkit_records AS record
  WHERE record.digest > ${value("after")}
    AND record.status IN ('claimed', 'unknown')
    AND CASE ${value("state")}
      WHEN 'in-progress' THEN record.status = 'claimed' AND record.lease_ends_at > ${NOW}
      WHEN 'lapsed' THEN record.status = 'claimed' AND record.lease_ends_at <= ${NOW}
      WHEN 'unknown' THEN record.status = 'unknown' END
  ORDER BY record.digest
  LIMIT ${Math.trunc(limit)}`,
  );

/** Not those whose token is ahead of the clock: it would be issued again. */
const IS_DUE = `record.expires_at <= ${NOW}
    AND record.status IN ('succeeded', 'failed', 'released')
    AND record.token < ${NOW_US}`;

/** The expired records that nobody has locked, the oldest first. */
export const due = (limit: number): string => `
  SELECT LOWER(HEX(record.digest)) FROM idemkit_records AS record
  WHERE ${IS_DUE}
  ORDER BY record.expires_at
  LIMIT ${Math.trunc(limit)}
  FOR UPDATE SKIP LOCKED`;

/** Deletes them by their key, in the order in which everybody locks records, if they still are due. */
export const PURGE: Pair = pair(
  { digest: "digest" },
  (form) => `
  DELETE record FROM ${joined(form)} WHERE ${conditions(form, () => IS_DUE)}`,
);

/** Kept in variables of the session, as they are set back by what may not know it. */
const LOCK_WAIT = "@idemkit_lock_wait";
const IDLE = "@idemkit_idle";
const AUTOCOMMIT = "@idemkit_autocommit";

/** How long a statement in a transaction waits for a row that somebody else has locked. */
const LOCK_WAIT_SECONDS = 2;

/** Bounds a transaction: how long it waits for rows, and how long the server keeps it when it is silent. */
export function boundSession(idleSeconds: number): string {
  return `SET ${LOCK_WAIT} = @@innodb_lock_wait_timeout, ${IDLE} = @@wait_timeout,
    ${AUTOCOMMIT} = @@autocommit, SESSION autocommit = 0,
    SESSION innodb_lock_wait_timeout = ${LOCK_WAIT_SECONDS}, SESSION wait_timeout = ${idleSeconds}`;
}

export const RESTORE_SESSION = `SET SESSION innodb_lock_wait_timeout = ${LOCK_WAIT},
  SESSION wait_timeout = ${IDLE}, SESSION autocommit = ${AUTOCOMMIT}`;

export const SAVEPOINT = "SAVEPOINT idemkit_work";
export const UNDO_WORK = "ROLLBACK TO SAVEPOINT idemkit_work";
export const RELEASE_SAVEPOINT = "RELEASE SAVEPOINT idemkit_work";
