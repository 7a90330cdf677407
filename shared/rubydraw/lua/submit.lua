-- (nothing) -> queued | done. A job that exists already stays as it is: a repeated submit or a worker recorded it.
-- ARGV: channel, status, digest, owner, trace, and a mark of the request that records it
-- Answers the status and created_at that the job now has, and the mark of the request that recorded it.
local job = read()
if job.status then
  return { job.status, job.created_at, job.recorder or '' }
end
local now = string.format('%d', NOW)
move(ARGV[2], {
  digest = ARGV[3], outcome = ARGV[2] == 'done' and 'HIT' or '', owner = ARGV[4], trace = ARGV[5],
  attempt = '0', generation = '0', created_at = now, recorder = ARGV[6],
})
return { ARGV[2], now, ARGV[6] }
