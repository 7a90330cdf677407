-- queued | running | (nothing) -> error: its message cannot be read, so nobody will ever draw it.
-- ARGV: channel, code, message
local job = read()
if settled(job.status) then
  return 0
end
local fields = { code = ARGV[2], message = ARGV[3], retry_at = '', lease_until_ms = '0' }
if not job.status then
  fields.created_at, fields.attempt, fields.generation = string.format('%d', NOW), '0', '0'
end
move('error', fields)
return 1
