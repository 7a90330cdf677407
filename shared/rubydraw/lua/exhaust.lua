-- queued | running -> error, with the code of the last failure, when all attempts of the job are used up and no worker
-- holds it.
-- ARGV: channel, max_attempts
-- Answers the status and code that the job now has.
local job = read()
if job.status and not settled(job.status) and not leased(job) and number(job.attempt) >= number(ARGV[2]) then
  local code = (job.code and job.code ~= '') and job.code or 'UNAVAILABLE'
  move('error', { code = code, message = job.message or '', retry_at = '', lease_until_ms = '0' })
  return { 'error', code }
end
return { job.status or '', job.code or '' }
