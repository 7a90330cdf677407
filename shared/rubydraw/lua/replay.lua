-- error | queued | a lapsed lease | (nothing) -> queued, with all its attempts and time again; only for an operator.
-- ARGV: channel, created_at, generation, digest, owner, trace; as the dead letter has them
-- Answers: queued, generation, replayed_at | done | busy (a worker has it) | running (replayed from this letter before)
local created_at, generation = number(ARGV[2]), number(ARGV[3])
local job = read()
local known = number(job.generation)

if job.status == 'done' then
  return { 'done' }
end
if known > generation and job.status == 'queued' then
  return { 'queued', known, number(job.replayed_at) }
end
if known > generation and job.status == 'running' then
  return { 'running' }
end
if leased(job) then
  return { 'busy' }
end

local raised = math.max(known, generation) + 1
local fields = {
  generation = string.format('%d', raised), replayed_at = string.format('%d', NOW),
  attempt = '0', exhausted = '0', token = '', lease_until_ms = '0',
  code = '', message = '', retry_at = '',
}
if not job.status then
  fields.created_at = string.format('%d', math.min(created_at, NOW))
  fields.digest, fields.owner, fields.trace = ARGV[4], ARGV[5], ARGV[6]
end
move('queued', fields)
return { 'queued', raised, NOW }
