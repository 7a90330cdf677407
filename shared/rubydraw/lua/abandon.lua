-- queued -> error, when the job's publish failed for good. A job that a worker has claimed was published after all, and
-- so was one that a repeated request has handed over.
-- ARGV: channel, code, message
-- Answers 1 if nobody will draw it; 0 if a publish did arrive.
local job = read()
if job.token or job.handed_over then
  return 0
end
if job.status == 'queued' then
  move('error', { code = ARGV[2], message = ARGV[3], abandoned = '1' })
end
return job.status == 'done' and 0 or 1
