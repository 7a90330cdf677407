-- One call is paid for in advance, out of every purse or out of none.
-- ARGV: as `full` has them, then the life in ms of a reservation, and that of a caller's purse
-- Answers the number of the purse that is full, or 0, and the ms until midnight. Its token is in KEYS[1]: once is once.
local left = DAY_MS - NOW % DAY_MS
if redis.call('EXISTS', KEYS[1]) == 1 then
  return { 0, left }
end
local number = full()
if number > 0 then
  return { number, left }
end
for n = 2, #KEYS do
  local calls, microdollars = spent(KEYS[n])
  redis.call('HSET', KEYS[n], 'day', TODAY, 'calls', string.format('%d', calls + 1),
    'microdollars', string.format('%d', microdollars + ARGV[1]))
  if n > 2 then -- that of all has no life time: nothing may evict it
    redis.call('PEXPIRE', KEYS[n], ARGV[#ARGV])
  end
end
redis.call('SET', KEYS[1], TODAY .. ':' .. ARGV[1], 'PX', ARGV[#ARGV - 1])
return { 0, left }
