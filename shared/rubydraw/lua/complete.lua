-- running | queued | (nothing) -> done, by any holder: the drawing is addressed by what was drawn.
-- ARGV: channel, token, digest, outcome, created_at, generation, owner, trace, replayed_at
-- Answers the status and code that stand, and where this made it done, its age in ms.
local job = read()
if settled(job.status) then
  return { job.status, job.code or '', 0 }
end
local fields = {
  token = ARGV[2], digest = ARGV[3], outcome = ARGV[4], lease_until_ms = '0', code = '', message = '', retry_at = '',
}
if not job.status then
  fields.created_at = string.format('%d', math.min(number(ARGV[5]), NOW))
  fields.attempt, fields.generation, fields.owner, fields.trace = '1', ARGV[6], ARGV[7], ARGV[8]
  fields.replayed_at = ARGV[9]
end
move('done', fields)
return { 'done', '', age(job.status and job or fields) }
