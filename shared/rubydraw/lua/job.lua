-- What the transitions of a job share. KEYS[1] is the job's hash, ARGV[1] its channel; time is Redis' own.
local KEY, CHANNEL = KEYS[1], ARGV[1]
local UNSETTLED_MS, SETTLED_MS = 24 * 60 * 60 * 1000, 60 * 60 * 1000

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local NOW = now_ms()

local function read()
  local job, flat = {}, redis.call('HGETALL', KEY)
  for i = 1, #flat, 2 do job[flat[i]] = flat[i + 1] end
  return job
end

local function number(value)
  return tonumber(value or '') or 0
end

local function settled(status)
  return status == 'done' or status == 'error'
end

-- The ms since the job was accepted, or replayed by an operator: a replay gives it all its time again.
local function age(job)
  return NOW - math.max(number(job.created_at), number(job.replayed_at))
end

local function leased(job)
  return job.status == 'running' and number(job.lease_until_ms) > NOW
end

-- The only place where a job's status changes: write, count the version, set the life time, announce.
local function move(status, fields)
  fields.status = status
  fields.updated_at = string.format('%d', math.max(NOW, number(redis.call('HGET', KEY, 'updated_at'))))
  local flat = {}
  for name, value in pairs(fields) do
    flat[#flat + 1] = name
    flat[#flat + 1] = value
  end
  redis.call('HSET', KEY, unpack(flat))
  redis.call('HINCRBY', KEY, 'version', 1)
  redis.call('PEXPIRE', KEY, settled(status) and SETTLED_MS or UNSETTLED_MS)
  redis.call('PUBLISH', CHANNEL, status)
end

local function expire()
  move('error', { code = 'EXPIRED', message = '', retry_at = '', lease_until_ms = '0' })
end
