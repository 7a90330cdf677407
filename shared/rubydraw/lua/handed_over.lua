-- queued -> queued: a repeated request has published the job, so the first request must not abandon it if its own
-- publish fails.
-- ARGV: channel
-- Answers 1, or 0 if the first request has abandoned the job already.
local job = read()
if job.abandoned then
  return 0
end
if job.status == 'queued' then
  redis.call('HSET', KEY, 'handed_over', '1')
end
return 1
