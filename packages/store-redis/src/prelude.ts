/**
 * A record is one string: a letter for its status, the end of its lease in thirteen digits, and all of
 * it packed as a list. The letter and the digits can be read without the rest, which a scan does. The
 * letter is upper case once an outcome is known to have reached the replicas.
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

/** The beginning of every script. */
export const PRELUDE = `
${FIELD_NUMBERS}

local time = redis.call('TIME')
local us = time[1] * 1000000 + time[2]
local now = math.floor(us / 1000)

local digest = string.sub(KEYS[1], -${DIGEST_LENGTH})

local value

-- What is missing is false, as a list cannot end in nothing.
local function load(name)
  value = redis.call('GET', name or KEYS[1])
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
  local packed = header .. cmsgpack.pack(record)
  if isOpen(record) then
    redis.call('SET', KEYS[1], packed)
  else
    redis.call('SET', KEYS[1], packed, 'PX', string.format('%.0f', math.max(1, record[expiresAt] - now)))
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

/** For scripts that write on behalf of a claim or an operator. */
export const WRITE = `
-- The result of a write that was asked for under a token: 1 or 0.
local function verdict(operation, byToken, isDone)
  return operation .. ' ' .. digest .. ' ' .. byToken .. ' ' .. (isDone and '1' or '0')
end
`;

/** For scripts whose results replicas have to confirm. */
const REPLICAS = `
-- The history that this primary writes: another one after each restart and each failover.
local function history()
  return string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)') or 'unnamed'
end
`;

/**
 * Puts two columns behind the row of a claim: the history whose replicas have to confirm the row, if they have
 * to, and whether the token was issued by this very call (1 or 0).
 */
export const CLAIM_WITH_REPLICAS = `${REPLICAS}
local plainRow = row
local function row(record, isGranted, isNew)
  local isOutcome = record[status] ~= 'claimed' and record[status] ~= 'released'
  -- The status is an upper-case letter, which is less than 97, if the replicas have the outcome.
  local isUnconfirmed = isOutcome and string.byte(value) >= 97
  -- A claim that was given back is refused to its own owner only once the replicas know of that.
  local isOwnRelease = record[status] == 'released' and record[owner] == ARGV[1]
  local columns = plainRow(record, isGranted)
  columns[6] = (isGranted or isOwnRelease or isUnconfirmed) and history()
  columns[7] = isNew and 1 or 0
  return columns
end
`;

/** Puts behind a verdict the history whose replicas have to confirm it, if they have to. */
export const WRITE_WITH_REPLICAS = `${WRITE}${REPLICAS}
local plainVerdict = verdict
local function verdict(operation, byToken, isDone)
  local text = plainVerdict(operation, byToken, isDone)
  -- The status is an upper-case letter, which is less than 97, if the replicas have the outcome.
  local isConfirmed = not isDone or string.byte(value) < 97
  return isConfirmed and text or text .. ' ' .. history()
end
`;
