/**
 * Every script of the store. All but one take one key, KEYS[1], and all are safe to repeat. Time is the
 * server's own, in milliseconds.
 *
 * A record is one string: a letter for its status, the end of its lease in thirteen digits, and all of
 * it packed as a list. The letter and the digits can be read without the rest, which a scan does. The
 * letter is upper case once an outcome is known to have reached the replicas.
 *
 * Every result begins with the call that it belongs to, so that a client out of step is found out.
 */

/** In hexadecimal, at the end of each key. */
export const DIGEST_LENGTH = 32;

/** Where a scan finds the status, and the end of the lease. */
export const HEADER_LENGTH = 14;

/** The fields of a record, in the order in which they are packed. */
const FIELDS = [
  "status",
  "leaseEndsAt",
  "owner",
  "token",
  "fingerprint",
  "attempt",
  "takenOver",
  "expiresAt",
  "createdAt",
  "completedAt",
  "revision",
  "checkpoint",
  "note",
  "body",
  "scope",
  "key",
] as const;

const FIELD_NUMBERS = FIELDS.map((name, index) => `local ${name} = ${index + 1}`).join("\n");

const PRELUDE = `
${FIELD_NUMBERS}

local time = redis.call('TIME')
local us = time[1] * 1000000 + time[2]
local now = math.floor(us / 1000)

local digest = string.sub(KEYS[1], -${DIGEST_LENGTH})

-- The record, and whether its outcome is known to have reached the replicas: lower case begins at 97. What
-- is missing is false, as a list cannot end in nothing.
local function load(name)
  local value = redis.call('GET', name or KEYS[1])
  if not value then
    return false, false
  end
  return cmsgpack.unpack(string.sub(value, ${HEADER_LENGTH + 1})), string.byte(value) < 97
end

local function isOpen(record)
  return record[status] == 'claimed' or record[status] == 'unknown'
end

local function isExpired(record)
  return not isOpen(record) and record[expiresAt] <= now
end

-- Open records are kept whatever their age.
local function save(record)
  local header = string.sub(record[status], 1, 1) .. string.format('%013.0f', record[leaseEndsAt])
  local value = header .. cmsgpack.pack(record)
  if isOpen(record) then
    redis.call('SET', KEYS[1], value)
  else
    redis.call('SET', KEYS[1], value, 'PX', string.format('%.0f', math.max(1, record[expiresAt] - now)))
  end
end

-- An optional text travels behind an equals sign.
local function optional(text)
  return text ~= '' and string.sub(text, 2)
end

-- The row that recordInRow reads: all that is no foreign text in one string, and then the texts.
local function row(record, isGranted)
  local head = string.format(
    '%.0f %s %s %.0f %.0f %d %.0f %.0f %.0f %.0f %.0f %d',
    now, digest, record[status], record[token], record[attempt],
    record[takenOver] and 1 or 0, record[leaseEndsAt], record[expiresAt], record[createdAt],
    record[completedAt] or -1, record[revision] or -1, isGranted and 1 or 0)
  return { head, record[fingerprint], record[owner], record[checkpoint], record[body] }
end

local function isHeldBy(record, byOwner, byToken)
  return record[owner] == byOwner and record[token] == tonumber(byToken)
end
`;

const REPLICAS = `
-- The history that this primary writes: another one after each restart and each failover.
local function history()
  return string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)') or 'unnamed'
end
`;

const WRITE = `${REPLICAS}
-- The result of a write that was asked for under a token: 1 or 0. Behind it stands the history whose
-- replicas have to confirm it, if there is one.
local function verdict(operation, byToken, isDone, needsReplicas)
  local text = operation .. ' ' .. digest .. ' ' .. byToken .. ' ' .. (isDone and '1' or '0')
  return needsReplicas and text .. ' ' .. history() or text
end
`;

/**
 * ARGV: owner, fingerprint, leaseMs, retentionMs, takeOverAfterMs (empty: never), checkpoint (optional), scope, key,
 * replicas (1 where they have to confirm, or 0).
 * Returns the record's row, whose head ends in 1 where the script has granted it, and in 0 where not. With
 * replicas there are two more: the history whose replicas have to confirm what the row says, if it has to be
 * confirmed, and whether the token was issued by this very call (1 or 0).
 */
export const CLAIM = `${PRELUDE}${REPLICAS}
local asOwner, asFingerprint, leaseMs, retentionMs = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local takeOverAfterMs, given, needsReplicas = tonumber(ARGV[5]), optional(ARGV[6]), ARGV[9] == '1'

local record, isReplicated = load()

local function answer(record, isGranted, isNew)
  local found = row(record, isGranted)
  if needsReplicas then
    local isOutcome = record[status] ~= 'claimed' and record[status] ~= 'released'
    -- A claim that was given back is refused to its own owner only once the replicas know of that.
    local isOwnRelease = record[status] == 'released' and record[owner] == asOwner
    local isConfirmed = isOutcome and isReplicated
    local counts = isGranted or isOwnRelease or isOutcome
    found[6], found[7] = counts and not isConfirmed and history(), isNew and 1 or 0
  end
  return found
end

local isThere = record and not isExpired(record)
local isTakenOver = false
local keptRevision, keptCheckpoint = false, false
if isThere then
  if record[status] == 'claimed' then
    if record[owner] == asOwner then
      record[leaseEndsAt] = now + leaseMs
      save(record)
      return answer(record, true, false)
    end
    local mayTakeOver = takeOverAfterMs and record[leaseEndsAt] + takeOverAfterMs <= now
    if not mayTakeOver or record[fingerprint] ~= asFingerprint then
      return answer(record, false, false)
    end
    isTakenOver = true
  elseif record[status] == 'released' then
    local isOtherWork = record[checkpoint] and record[fingerprint] ~= asFingerprint
    if record[owner] == asOwner or isOtherWork then
      return answer(record, false, false)
    end
  else
    return answer(record, false, false)
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
return answer(granted, true, true)
`;

/**
 * ARGV: owner, token, leaseMs (or nothing), revision (or nothing), checkpoint, replicas (1 where they have to confirm, or
 * 0). Returns a verdict: whether it renewed.
 */
export const RENEW = `${PRELUDE}${WRITE}
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
return verdict('renew', ARGV[2], true, ARGV[6] == '1')
`;

/**
 * The expiry stays as the claim set it while nine tenths of the retention are left. ARGV: owner, token,
 * status, body, note (optional), retentionMs, ifLapsed (1 or 0), replicas (1 where they have to confirm, or
 * 0). Returns a verdict: whether the outcome stands.
 */
export const COMPLETE = `${PRELUDE}${WRITE}
local record, isReplicated = load()
local needsReplicas = ARGV[8] == '1'
if not record or isExpired(record) or not isHeldBy(record, ARGV[1], ARGV[2]) then
  return verdict('complete', ARGV[2], false)
end
if not isOpen(record) then
  local isSame = record[status] == ARGV[3] and record[body] == ARGV[4]
  return verdict('complete', ARGV[2], isSame, isSame and needsReplicas and not isReplicated)
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
return verdict('complete', ARGV[2], true, needsReplicas)
`;

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
