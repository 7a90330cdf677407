-- queued | running | (nothing) -> error: its message cannot be read, so nobody will ever draw it.
-- ARGV: channel, code, message, generation, owner; the last two as the message has them
-- What was replayed since is drawn by another message, so a job of a newer generation stays as it is.
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
