-- running | queued | (nothing) -> done, by any holder: the drawing is addressed by what was drawn.
-- KEYS[2]: how long jobs have taken lately, newest first; KEYS[3], where this Redis has the results too: the drawing.
-- ARGV: channel, token, digest, outcome, created_at, generation, owner, trace, replayed_at,
-- how many durations are kept, and for how many ms, and since when the drawing must be: an older one is not the job's
-- Answers the status and code that stand, or gone where the drawing is: then nothing is changed.
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
if outcome == 'MISS' and took_ms > 0 then -- what is foreign under that key is no reason to fail
  redis.pcall('LPUSH', KEYS[2], string.format('%d', took_ms))
  redis.pcall('LTRIM', KEYS[2], 0, ARGV[10] - 1)
  redis.pcall('PEXPIRE', KEYS[2], ARGV[11])
end
return { 'done', '' }
