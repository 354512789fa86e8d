/**
 * Every script of the store. All of them take one key, KEYS[1], and are safe to repeat. Time is the
 * server's own, in milliseconds.
 *
 * A record is one string: a letter for its status, the end of its lease in thirteen digits, and all of
 * it packed as a list. The letter and the digits can be read without the rest, which a scan does.
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

-- What is missing is false, as a list cannot end in nothing.
local function load()
  local value = redis.call('GET', KEYS[1])
  return value and cmsgpack.unpack(string.sub(value, ${HEADER_LENGTH + 1}))
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
    now, string.sub(KEYS[1], -${DIGEST_LENGTH}), record[status], record[token], record[attempt],
    record[takenOver] and 1 or 0, record[leaseEndsAt], record[expiresAt], record[createdAt],
    record[completedAt] or -1, record[revision] or -1, isGranted and 1 or 0)
  return { head, record[fingerprint], record[owner], record[checkpoint], record[body] }
end

local function isHeldBy(record, byOwner, byToken)
  return record[owner] == byOwner and record[token] == tonumber(byToken)
end
`;

/**
 * ARGV: owner, fingerprint, leaseMs, retentionMs, takeOverAfterMs (empty: never), checkpoint (optional),
 * scope, key.
 * Answers the record's row, whose head ends in 1 where the script has granted it, and in 0 where not.
 */
export const CLAIM = `${PRELUDE}
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
      return row(record, true)
    end
    local mayTakeOver = takeOverAfterMs and record[leaseEndsAt] + takeOverAfterMs <= now
    if not mayTakeOver or record[fingerprint] ~= asFingerprint then
      return row(record, false)
    end
    isTakenOver = true
  elseif record[status] == 'released' then
    local isOtherWork = record[checkpoint] and record[fingerprint] ~= asFingerprint
    if record[owner] == asOwner or isOtherWork then
      return row(record, false)
    end
  else
    return row(record, false)
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
return row(granted, true)
`;

/** ARGV: owner, token, leaseMs (or nothing), revision (or nothing), checkpoint. Answers 1 where it renewed, or 0. */
export const RENEW = `${PRELUDE}
local record = load()
if not record or record[status] ~= 'claimed' or not isHeldBy(record, ARGV[1], ARGV[2]) then
  return 0
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
return 1
`;

/**
 * The expiry stays as the claim set it while nine tenths of the retention are left. ARGV: owner, token,
 * status, body, note (optional), retentionMs, ifLapsed (1 or 0). Answers 1 where the outcome stands, or 0.
 */
export const COMPLETE = `${PRELUDE}
local record = load()
if not record or isExpired(record) or not isHeldBy(record, ARGV[1], ARGV[2]) then
  return 0
end
if not isOpen(record) then
  return record[status] == ARGV[3] and record[body] == ARGV[4] and 1 or 0
end
local isRunning = record[status] == 'claimed' and record[leaseEndsAt] > now
if ARGV[7] == '1' and isRunning then
  return 0
end
local retentionMs = tonumber(ARGV[6])
if (record[expiresAt] - now) * 10 < retentionMs * 9 then
  record[expiresAt] = math.max(record[expiresAt], now + retentionMs)
end
record[status], record[body], record[note] = ARGV[3], ARGV[4], optional(ARGV[5])
record[completedAt] = now
save(record)
return 1
`;

/** ARGV: owner, token. Answers 1 where it released, or had been released by this claim already, or 0. */
export const RELEASE = `${PRELUDE}
local record = load()
if not record or isExpired(record) or not isHeldBy(record, ARGV[1], ARGV[2]) then
  return 0
end
if isOpen(record) then
  record[status], record[body], record[completedAt] = 'released', false, false
  save(record)
end
return record[status] == 'released' and 1 or 0
`;

/** ARGV: token. Answers 1 where it removed the record of that token, or 0. */
export const REMOVE = `${PRELUDE}
local record = load()
if not record or isExpired(record) or record[token] ~= tonumber(ARGV[1]) then
  return 0
end
record[status] = 'released'
for _, field in ipairs({ completedAt, revision, checkpoint, note, body }) do
  record[field] = false
end
save(record)
return 1
`;

/** ARGV: none. Answers the record's row with note, scope and key; or nothing. It writes nothing. */
export const READ = `${PRELUDE}
local record = load()
if not record then
  return false
end
local answer = row(record, false)
answer[6], answer[7], answer[8] = record[note], record[scope], record[key]
return answer
`;

/** Moves every time of the record back. For tests. ARGV: milliseconds. Answers nothing. */
export const ELAPSE = `${PRELUDE}
local record = load()
if record then
  for _, field in ipairs({ leaseEndsAt, expiresAt, createdAt, completedAt }) do
    record[field] = record[field] and record[field] - tonumber(ARGV[1])
  end
  save(record)
end
`;
