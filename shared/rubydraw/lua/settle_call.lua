-- A call has ended: what it cost takes the place of what was reserved, on the day on which that was.
-- ARGV: its price in microdollars, and 1 if no request left at all, so that it was no call
-- Answers today's calls and microdollars of all. The reservation goes with it: a second time changes nothing.
local day, reserved = string.match(redis.call('GET', KEYS[1]) or '', '^(%d+):(%d+)$')
if day then
  redis.call('DEL', KEYS[1])
  for n = 2, #KEYS do
    if redis.call('HGET', KEYS[n], 'day') == day then
      redis.call('HINCRBY', KEYS[n], 'calls', ARGV[2] == '1' and -1 or 0)
      redis.call('HINCRBY', KEYS[n], 'microdollars', string.format('%d', ARGV[1] - reserved))
    end
  end
end
return { spent(KEYS[2]) }
