-- queued -> error, when its publish failed for good; a job that a worker has seen was published after all.
-- ARGV: channel, code, message
-- Answers 1 if it was never seen by a worker, so that nobody will draw it; 0 if the publish did arrive.
local job = read()
if job.token then
  return 0
end
if job.status == 'queued' then
  move('error', { code = ARGV[2], message = ARGV[3], abandoned = '1' })
end
return job.status == 'done' and 0 or 1
