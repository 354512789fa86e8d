import { CLAIM_WITH_REPLICAS, PRELUDE, WRITE, WRITE_WITH_REPLICAS } from "./prelude.ts";

/**
 * Every script of the store. All but one take one key, KEYS[1], and all are safe to repeat. Time is the
 * server's own, in milliseconds.
 *
 * Every result carries the digest of its record, and the result of a write its operation and token as well:
 * a result of another call is refused.
 */

const CLAIM_BODY = `
local asOwner, asFingerprint, leaseMs, retentionMs = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local takeOverAfterMs, given = tonumber(ARGV[5]), optional(ARGV[6])

local record = load()
local isThere = record and not isExpired(record)
local isTakenOver = false
local keptRevision, keptCheckpoint = false, false
if isThere then
  if record[status] == 'claimed' then
    if record[owner] == asOwner then
      record[leaseEndsAt] = now + leaseMs
      save(record)
      return row(record, true, false)
    end
    local mayTakeOver = takeOverAfterMs and record[leaseEndsAt] + takeOverAfterMs <= now
    if not mayTakeOver or record[fingerprint] ~= asFingerprint then
      return row(record, false, false)
    end
    isTakenOver = true
  elseif record[status] == 'released' then
    local isOtherWork = record[checkpoint] and record[fingerprint] ~= asFingerprint
    if record[owner] == asOwner or isOtherWork then
      return row(record, false, false)
    end
  else
    return row(record, false, false)
  end
  keptRevision, keptCheckpoint = record[revision], record[checkpoint]
end
if not isTakenOver and not keptCheckpoint then
  keptRevision, keptCheckpoint = given and 0, given
end
local granted = {
  'claimed',
  now + leaseMs,
  asOwner,
  math.max((record and record[token] or 0) + 1, us),
  asFingerprint,
  isThere and record[attempt] + 1 or 1,
  isTakenOver,
  now + retentionMs,
  isTakenOver and record[createdAt] or now,
  false,
  keptRevision,
  keptCheckpoint,
  false,
  false,
  record and record[scope] or ARGV[7],
  record and record[key] or ARGV[8],
}
save(granted)
return row(granted, true, true)
`;

/**
 * ARGV: owner, fingerprint, leaseMs, retentionMs, takeOverAfterMs (empty: never), checkpoint (optional),
 * scope, key.
 * Returns the record's row, whose head ends in 1 where the script has granted it, and in 0 where not.
 */
export const CLAIM = `${PRELUDE}${CLAIM_BODY}`;
export const CLAIM_CONFIRMED = `${PRELUDE}${CLAIM_WITH_REPLICAS}${CLAIM_BODY}`;

const RENEW_BODY = `
local record = load()
if not record or record[status] ~= 'claimed' or not isHeldBy(record, ARGV[1], ARGV[2]) then
  return verdict('renew', ARGV[2], false)
end
local leaseMs = tonumber(ARGV[3])
if leaseMs then
  record[leaseEndsAt] = now + leaseMs
end
local given = tonumber(ARGV[4])
if given and given > (record[revision] or -1) then
  record[revision], record[checkpoint] = given, ARGV[5]
end
save(record)
return verdict('renew', ARGV[2], true)
`;

/** ARGV: owner, token, leaseMs (or nothing), revision (or nothing), checkpoint. Returns a verdict: whether it renewed. */
export const RENEW = `${PRELUDE}${WRITE}${RENEW_BODY}`;
export const RENEW_CONFIRMED = `${PRELUDE}${WRITE_WITH_REPLICAS}${RENEW_BODY}`;

const COMPLETE_BODY = `
local record = load()
if not record or isExpired(record) or not isHeldBy(record, ARGV[1], ARGV[2]) then
  return verdict('complete', ARGV[2], false)
end
if not isOpen(record) then
  return verdict('complete', ARGV[2], record[status] == ARGV[3] and record[body] == ARGV[4])
end
local isRunning = record[status] == 'claimed' and record[leaseEndsAt] > now
if ARGV[7] == '1' and isRunning then
  return verdict('complete', ARGV[2], false)
end
local retentionMs = tonumber(ARGV[6])
if (record[expiresAt] - now) * 10 < retentionMs * 9 then
  record[expiresAt] = math.max(record[expiresAt], now + retentionMs)
end
record[status], record[body], record[note] = ARGV[3], ARGV[4], optional(ARGV[5])
record[completedAt] = now
save(record)
return verdict('complete', ARGV[2], true)
`;

/**
 * The expiry stays as the claim set it while nine tenths of the retention are left. ARGV: owner, token,
 * status, body, note (optional), retentionMs, ifLapsed (1 or 0). Returns a verdict: whether the outcome
 * stands.
 */
export const COMPLETE = `${PRELUDE}${WRITE}${COMPLETE_BODY}`;
export const COMPLETE_CONFIRMED = `${PRELUDE}${WRITE_WITH_REPLICAS}${COMPLETE_BODY}`;

/**
 * Records that the replicas have these outcomes: the only script that takes several keys, which are on one
 * primary. Another call can still change an unknown outcome, so that one is never marked.
 * ARGV: owner and token for each key. Returns nothing.
 */
export const MARK = `${PRELUDE}
for index, name in ipairs(KEYS) do
  local record = load(name)
  local isFinal = record and not isOpen(record) and record[status] ~= 'released'
  if isFinal and isHeldBy(record, ARGV[2 * index - 1], ARGV[2 * index]) then
    redis.call('SETRANGE', name, 0, string.upper(string.sub(record[status], 1, 1)))
  end
end
`;

/**
 * ARGV: owner, token. Returns a verdict: whether it released, or had been released by this claim already.
 */
export const RELEASE = `${PRELUDE}${WRITE}
local record = load()
if not record or isExpired(record) or not isHeldBy(record, ARGV[1], ARGV[2]) then
  return verdict('release', ARGV[2], false)
end
if isOpen(record) then
  record[status], record[body], record[completedAt] = 'released', false, false
  save(record)
end
return verdict('release', ARGV[2], record[status] == 'released')
`;

/** ARGV: token. Returns a verdict: whether it removed the record of that token. */
export const REMOVE = `${PRELUDE}${WRITE}
local record = load()
if not record or isExpired(record) or record[token] ~= tonumber(ARGV[1]) then
  return verdict('remove', ARGV[1], false)
end
record[status] = 'released'
for _, field in ipairs({ completedAt, revision, checkpoint, note, body }) do
  record[field] = false
end
save(record)
return verdict('remove', ARGV[1], true)
`;

/** ARGV: none. Returns the record's row with note, scope and key; or the digest alone. It writes nothing. */
export const READ = `${PRELUDE}
local record = load()
if not record then
  return digest
end
local answer = row(record, false)
answer[6], answer[7], answer[8] = record[note], record[scope], record[key]
return answer
`;

/** Moves every time of the record back. For tests. ARGV: milliseconds. Returns nothing. */
export const ELAPSE = `${PRELUDE}
local record = load()
if record then
  for _, field in ipairs({ leaseEndsAt, expiresAt, createdAt, completedAt }) do
    record[field] = record[field] and record[field] - tonumber(ARGV[1])
  end
  save(record)
end
`;
