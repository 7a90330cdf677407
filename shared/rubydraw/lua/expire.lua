-- queued | running -> error (EXPIRED), when the job is too old and nobody holds it.
-- ARGV: channel, max_age_ms
-- Answers 1 if the job expired just now, else 0.
local job = read()
if job.status and not settled(job.status) and not leased(job) and age(job) > number(ARGV[2]) then
  expire()
  return 1
end
return 0
