-- The holder releases its flight. Without a failure the next caller takes over; a failure answers everyone who waits.
-- KEYS[1]: the flight. ARGV: token, failure code or '', the failure's life in ms, ms until a retry makes sense, and
-- its kind: 0 may have been paid for, 1 the same and final, 2 cost nothing
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
if ARGV[2] == '' then
  return redis.call('DEL', KEYS[1])
end
local time = redis.call('TIME')
local retry_at = tonumber(ARGV[4]) > 0 and time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[4]) or 0
redis.call('SET', KEYS[1], string.format('failed:%s:%d:%s', ARGV[2], retry_at, ARGV[5]), 'PX', ARGV[3])
return 1
