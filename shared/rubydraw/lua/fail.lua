-- running -> queued (to be tried again) or error (given up), by the holder of the token alone.
-- ARGV: channel, token, code, message, retryable, spent, retry_after_ms, max_attempts
-- Answers the new status, whether its attempts are used up, or lost when another holds the job.
local token, retryable, spent = ARGV[2], ARGV[5] == '1', ARGV[6] == '1'
local job = read()
if not job.status or job.token ~= token then
  return { 'lost', '0' }
end
if job.status ~= 'running' then
  return { job.status, job.exhausted or '0' }
end

local attempt = number(job.attempt) - ((retryable and not spent) and 1 or 0)
local exhausted = retryable and attempt >= number(ARGV[8])
local retry_at = ''
if number(ARGV[7]) > 0 then -- of an ended job: when another for the same sketch makes sense
  retry_at = string.format('%d', NOW + number(ARGV[7]))
end
local status = (retryable and not exhausted) and 'queued' or 'error'
move(status, {
  code = ARGV[3], message = ARGV[4], retry_at = retry_at, lease_until_ms = '0',
  attempt = string.format('%d', attempt), exhausted = exhausted and '1' or '0',
})
return { status, exhausted and '1' or '0' }
