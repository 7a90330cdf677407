-- queued | running | (nothing) -> error: the job's Pub/Sub message cannot be read, so nobody will ever draw it.
-- ARGV: channel, code, error message, generation, owner; the last two as the Pub/Sub message has them
-- A job of a newer generation stays as it is: it was replayed since, with another Pub/Sub message.
local job = read()
if settled(job.status) or number(job.generation) > number(ARGV[4]) then
  return 0
end
local fields = { code = ARGV[2], message = ARGV[3], retry_at = '', lease_until_ms = '0' }
if not job.status then
  fields.created_at, fields.attempt = string.format('%d', NOW), '0'
  fields.generation, fields.owner = ARGV[4], ARGV[5]
end
move('error', fields)
return 1
