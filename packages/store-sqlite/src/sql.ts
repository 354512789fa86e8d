/**
 * Every statement of the store. Times are epoch milliseconds; `@now` is the database's own clock,
 * read once per list after the write lock was granted, and `@token` the same in microseconds.
 */

const COLUMNS = `digest, scope, key, status, fingerprint, owner, token, attempt, taken_over,
  lease_ends_at, expires_at, created_at, completed_at, checkpoint_revision, checkpoint, note, body`;

/** What a claim answers; see {@link ClaimedRow}. */
const CLAIMED = "digest, token, attempt, taken_over, created_at, checkpoint_revision, checkpoint";

/** Parameters: none. */
export const NOW = "SELECT CAST(round(unixepoch('subsec') * 1000) AS INTEGER) AS now";

/** Parameters: digest. */
export const READ = `SELECT ${COLUMNS} FROM idemkit_records WHERE digest = @digest`;

/** Claims an absent record. Parameters: those of a claim request, token, now. */
export const CLAIM_ABSENT = `
  INSERT OR IGNORE INTO idemkit_records
    (digest, scope, key, status, fingerprint, owner, token, attempt, taken_over,
     lease_ends_at, expires_at, created_at, checkpoint_revision, checkpoint)
  VALUES
    (@digest, @scope, @key, 'claimed', @fingerprint, @owner, @token, 1, 0,
     @now + @leaseMs, @now + @retentionMs, @now, iif(@checkpoint IS NULL, NULL, 0), @checkpoint)`;

/** Gives an owner its own claim again. Parameters: digest, owner, leaseMs, now. */
export const CLAIM_AGAIN = `
  UPDATE idemkit_records SET lease_ends_at = @now + @leaseMs
  WHERE digest = @digest AND owner = @owner AND status = 'claimed'
  RETURNING ${CLAIMED}`;

/**
 * Claims a record that is there: expired, released, or lapsed. Every expression sees the row as it
 * was. Parameters: those of a claim request, token, now.
 */
export const CLAIM_PRESENT = `
  UPDATE idemkit_records SET
    status = 'claimed',
    fingerprint = @fingerprint,
    owner = @owner,
    token = max(token + 1, @token),
    attempt = iif(status <> 'claimed' AND expires_at <= @now, 1, attempt + 1),
    taken_over = status = 'claimed',
    lease_ends_at = @now + @leaseMs,
    expires_at = @now + @retentionMs,
    created_at = iif(status = 'claimed', created_at, @now),
    completed_at = NULL,
    checkpoint_revision = CASE
      WHEN status = 'claimed' OR (expires_at > @now AND checkpoint IS NOT NULL)
        THEN checkpoint_revision
      WHEN @checkpoint IS NOT NULL THEN 0 END,
    checkpoint = iif(
      status = 'claimed' OR (expires_at > @now AND checkpoint IS NOT NULL),
      checkpoint, @checkpoint),
    note = NULL,
    body = NULL
  WHERE digest = @digest AND (
    (status IN ('succeeded', 'failed', 'released') AND expires_at <= @now)
    OR (status = 'released'
      AND owner <> @owner
      AND (checkpoint IS NULL OR fingerprint = @fingerprint))
    OR (status = 'claimed'
      AND lease_ends_at + @takeOverAfterMs <= @now
      AND fingerprint = @fingerprint
      AND @takeOver))
  RETURNING ${CLAIMED}`;

/** Parameters: digest, owner, token, leaseMs or NULL, revision, checkpoint, now. */
export const RENEW = `
  UPDATE idemkit_records SET
    lease_ends_at = ifnull(@now + @leaseMs, lease_ends_at),
    checkpoint = iif(@revision > ifnull(checkpoint_revision, -1), @checkpoint, checkpoint),
    checkpoint_revision = max(ifnull(@revision, checkpoint_revision),
      ifnull(checkpoint_revision, @revision))
  WHERE digest = @digest AND owner = @owner AND token = @token
    AND status = 'claimed'`;

/**
 * The expiry stays as the claim set it while nine tenths of the retention are left: most runs are
 * short, and an index entry is saved. Parameters: digest, owner, token, status, body, note, retentionMs,
 * now.
 */
export const COMPLETE = `
  UPDATE idemkit_records SET
    status = @status,
    body = @body,
    note = @note,
    completed_at = @now,
    expires_at = iif((expires_at - @now) * 10 < @retentionMs * 9,
      max(expires_at, @now + @retentionMs), expires_at)
  WHERE digest = @digest AND owner = @owner AND token = @token
    AND status IN ('claimed', 'unknown')
    AND (NOT @ifLapsed OR status = 'unknown' OR lease_ends_at <= @now)`;

/** Whether this claim's outcome stands there already. Parameters: digest, owner, token, status, body, now. */
export const IS_COMPLETED = `
  SELECT 1 FROM idemkit_records
  WHERE digest = @digest AND owner = @owner AND token = @token
    AND status = @status AND body = @body
    AND expires_at > @now`;

/** Parameters: digest, owner, token. */
export const RELEASE = `
  UPDATE idemkit_records SET status = 'released', body = NULL, completed_at = NULL
  WHERE digest = @digest AND owner = @owner AND token = @token
    AND status IN ('claimed', 'unknown')`;

/** Whether this claim has been released already. Parameters: digest, owner, token, now. */
export const IS_RELEASED = `
  SELECT 1 FROM idemkit_records
  WHERE digest = @digest AND owner = @owner AND token = @token
    AND status = 'released' AND expires_at > @now`;

/** Parameters: digest, token, now. */
export const REMOVE = `
  UPDATE idemkit_records SET
    status = 'released',
    completed_at = NULL,
    checkpoint_revision = NULL,
    checkpoint = NULL,
    note = NULL,
    body = NULL
  WHERE digest = @digest AND token = @token
    AND (status IN ('claimed', 'unknown') OR expires_at > @now)`;

/**
 * The open records among so many that follow a digest. There is no index on them, as it would cost
 * two writes a call: a scan in steps costs operators a little instead. Parameters: state, after,
 * scanned, limit, now.
 */
export const LIST = `
  SELECT ${COLUMNS} FROM (
    SELECT * FROM idemkit_records WHERE digest > @after ORDER BY digest LIMIT @scanned)
  WHERE CASE @state
    WHEN 'in-progress' THEN status = 'claimed' AND lease_ends_at > @now
    WHEN 'lapsed' THEN status = 'claimed' AND lease_ends_at <= @now
    WHEN 'unknown' THEN status = 'unknown' END
  ORDER BY digest
  LIMIT @limit`;

/** The last digest of such a step, or NULL after the last one. Parameters: after, scanned. */
export const LIST_STEP = `
  SELECT digest FROM idemkit_records WHERE digest > @after
  ORDER BY digest LIMIT 1 OFFSET @scanned - 1`;

/**
 * Deletes expired records, the oldest first, but for those whose token is ahead of the clock: it
 * would be issued again. Parameters: limit, now.
 */
export const PURGE = `
  DELETE FROM idemkit_records WHERE rowid IN (
    SELECT rowid FROM idemkit_records
    WHERE status IN ('succeeded', 'failed', 'released')
      AND expires_at <= @now AND token < @now * 1000
    ORDER BY expires_at
    LIMIT @limit)`;
