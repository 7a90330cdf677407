-- A call has ended: its cost replaces what was reserved for it, in purses that still have the day of the reservation.
-- ARGV: the call's cost in microdollars, and 1 if no request was sent at all, so that it is not counted as a call
-- Answers today's calls and microdollars of all callers. Deletes the reservation, so that a second run changes nothing.
local day, reserved = string.match(redis.call('GET', KEYS[1]) or '', '^(%d+):(%d+)$')
if day then
  redis.call('DEL', KEYS[1])
  for n = 2, #KEYS do
    if redis.call('HGET', KEYS[n], 'day') == day then
      redis.call('HINCRBY', KEYS[n], 'calls', ARGV[2] == '1' and -1 or 0)
      redis.call('HINCRBY', KEYS[n], 'microdollars', string.format('%d', ARGV[1] - reserved))
      redis.call('HINCRBY', KEYS[n], 'held', string.format('%d', -reserved))
    end
  end
end
local calls, microdollars = spent(KEYS[2])
return { calls, microdollars }
