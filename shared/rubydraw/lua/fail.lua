-- running -> queued (to be tried again) or error (given up), by the holder of the token alone.
-- ARGV: channel, token, code, message, once_more, spent, retry_after_ms, max_attempts
-- once_more: 1 if a retry may help. spent: 1 if the attempt may have been billed; if not, a retry does not count it
-- Answers the new status, or lost if the token no longer holds the job; and 1 if the job's attempts are used up.
local token, once_more, spent = ARGV[2], ARGV[5] == '1', ARGV[6] == '1'
local job = read()
if not job.status or job.token ~= token then
  return { 'lost', '0' }
end
if job.status ~= 'running' then
  return { job.status, job.exhausted or '0' }
end

local attempt = number(job.attempt) - ((once_more and not spent) and 1 or 0)
local exhausted = once_more and attempt >= number(ARGV[8])
local retry_at = ''
if number(ARGV[7]) > 0 then -- if the job ends now: when a new job for the same sketch makes sense
  retry_at = string.format('%d', NOW + number(ARGV[7]))
end
local status = (once_more and not exhausted) and 'queued' or 'error'
move(status, {
  code = ARGV[3], message = ARGV[4], retry_at = retry_at, lease_until_ms = '0',
  attempt = string.format('%d', attempt), exhausted = exhausted and '1' or '0',
})
return { status, exhausted and '1' or '0' }
