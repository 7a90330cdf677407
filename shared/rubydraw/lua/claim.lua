-- queued -> running, or a lapsed lease -> running; if there is no record, one is made from the message.
-- ARGV: channel, token, lease_ms, max_attempts, max_age_ms, created_at, generation, digest, owner, trace, replayed_at,
-- message_id (empty if it is unknown)
-- Answers: run, attempt | settled, status, code | expired | busy, ms left of the lease | surplus | exhausted
local token, lease_ms, max_attempts, max_age_ms = ARGV[2], number(ARGV[3]), number(ARGV[4]), number(ARGV[5])
local created_at, generation = number(ARGV[6]), number(ARGV[7])
local job = read()

if not job.status then
  local created = string.format('%d', math.min(created_at, NOW))
  move('queued', {
    digest = ARGV[8], owner = ARGV[9], trace = ARGV[10],
    attempt = '0', generation = ARGV[7], created_at = created, updated_at = created,
    replayed_at = ARGV[11],
  })
  job = read()
end

if job.status == 'running' and job.token == token then
  return { 'run', number(job.attempt) }
end
if settled(job.status) or number(job.generation) > generation then
  -- CANCELED: the sender of an abandoned job was told so; nothing is lost, and no operator has to act.
  return { 'settled', job.status, job.abandoned and 'CANCELED' or job.code or '' }
end
if leased(job) then
  -- A repeated request published the job again. Should its worker die, the message that the worker holds comes again.
  local held, comes = job.message_id or '', ARGV[12]
  local another = held ~= '' and comes ~= '' and held ~= comes
  if another and number(job.generation) == generation then
    return { 'surplus' }
  end
  return { 'busy', number(job.lease_until_ms) - NOW }
end
if age(job) > max_age_ms then
  expire()
  return { 'expired' }
end
if number(job.attempt) >= max_attempts then
  return { 'exhausted' }
end

local attempt = number(job.attempt) + 1
move('running', {
  token = token, attempt = string.format('%d', attempt),
  lease_until_ms = string.format('%d', NOW + lease_ms), retry_at = '', message_id = ARGV[12],
})
return { 'run', attempt }
