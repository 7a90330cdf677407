-- Gives a place to one more unsettled job of a caller, if the limit allows it. A job that has a place keeps it.
-- KEYS[1]: the caller's jobs, scored by the time in ms by which each is settled at the latest. ARGV: request id, limit
-- of places, the longest life of an unsettled job in ms
-- Answers 1 if the job has a place, else 0.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZSCORE', KEYS[1], ARGV[1]) then
  return 1
end
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then
  return 0
end
redis.call('ZADD', KEYS[1], string.format('%d', now + ARGV[3]), ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
