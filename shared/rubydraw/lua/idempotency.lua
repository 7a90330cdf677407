-- Binds an idempotency key to a request, unless the key stands for an earlier request other than `replaces`.
-- KEYS[1]: the key's hash. ARGV: request id, hash of the input, life in ms, replaces or ''
-- Answers: conflict (the key was used for another input) | known or new, and the request id that the key stands for
local known = redis.call('HMGET', KEYS[1], 'request_id', 'input')
if known[2] and known[2] ~= ARGV[2] then
  return { 'conflict', '' }
end
if known[1] and known[1] ~= ARGV[4] then
  return { 'known', known[1] }
end
redis.call('HSET', KEYS[1], 'request_id', ARGV[1], 'input', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return { 'new', ARGV[1] }
