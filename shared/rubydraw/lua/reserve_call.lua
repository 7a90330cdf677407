-- Pays for one call in advance, out of every purse or out of none.
-- ARGV: those of `full`, then the life in ms of a reservation, and that of a caller's purse
-- Answers what `full` returns; if its number is 0, the call is paid for. KEYS[1] has the call's token in its name: run
-- twice, it reserves once.
if redis.call('EXISTS', KEYS[1]) == 1 then
  return { 0, 0, 0 }
end
local found = { full() }
if found[1] > 0 then
  return found
end
for n = 2, #KEYS do
  local calls, microdollars, held = spent(KEYS[n])
  redis.call('HSET', KEYS[n], 'day', TODAY, 'calls', string.format('%d', calls + 1),
    'microdollars', string.format('%d', microdollars + ARGV[1]),
    'held', string.format('%d', held + ARGV[1]), 'held_at', string.format('%d', NOW))
  if n > 2 then -- the purse of all callers never expires, so that Redis does not evict it
    redis.call('PEXPIRE', KEYS[n], ARGV[#ARGV])
  end
end
redis.call('SET', KEYS[1], TODAY .. ':' .. ARGV[1], 'PX', ARGV[#ARGV - 1])
return found
