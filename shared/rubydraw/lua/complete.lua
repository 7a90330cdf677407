-- running | queued | (nothing) -> done, by any worker, with or without the lease: drawings are content-addressed.
-- KEYS[2]: the durations of recent jobs, newest first; KEYS[3], if this Redis has the results too: the drawing.
-- ARGV: channel, token, digest, outcome, created_at, generation, owner, trace, replayed_at,
-- how many durations to keep, for how many ms, and the drawing's earliest created_at_ms: an older one is not the job's
-- Answers the status and code that the job now has; or gone if the drawing is gone: then nothing is changed.
local outcome = ARGV[4]
if KEYS[3] and not (kept(KEYS[3]) and number(redis.call('HGET', KEYS[3], 'created_at_ms')) >= number(ARGV[12])) then
  return { 'gone', '' }
end
local job = read()
if settled(job.status) then
  return { job.status, job.code or '' }
end
local fields = {
  token = ARGV[2], digest = ARGV[3], outcome = outcome, lease_until_ms = '0', code = '', message = '', retry_at = '',
}
if not job.status then
  fields.created_at = string.format('%d', math.min(number(ARGV[5]), NOW))
  fields.attempt, fields.generation, fields.owner, fields.trace = '1', ARGV[6], ARGV[7], ARGV[8]
  fields.replayed_at = ARGV[9]
end
move('done', fields)

local took_ms = age(job.status and job or fields)
if outcome == 'MISS' and took_ms > 0 then -- pcall: a foreign value under that key must not fail the job
  redis.pcall('LPUSH', KEYS[2], string.format('%d', took_ms))
  redis.pcall('LTRIM', KEYS[2], 0, ARGV[10] - 1)
  redis.pcall('PEXPIRE', KEYS[2], ARGV[11])
end
return { 'done', '' }
