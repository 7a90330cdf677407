-- queued: a repeated request has handed it over, so that the first one, if it fails to, must not abandon it.
-- ARGV: channel
-- Answers 1, or 0 where that has abandoned it already.
local job = read()
if job.abandoned then
  return 0
end
if job.status == 'queued' then
  redis.call('HSET', KEY, 'handed_over', '1')
end
return 1
