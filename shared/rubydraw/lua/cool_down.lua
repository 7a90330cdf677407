-- Gemini is overloaded: nobody shall call it for a while, and for longer each time it is still overloaded afterwards.
-- KEYS[1]: the cooldown. ARGV: the delay that Gemini named in ms, or 0; the first one in ms; the longest in ms
-- The key holds "until:step" and outlives the cooldown by one step, so that the next cooldown can double the step.
-- Answers the ms left.
local named, first, longest = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local until_ms, step = 0, 0
local known = redis.call('GET', KEYS[1])
if known then
  local known_until, known_step = string.match(known, '^(%d+):(%d+)$')
  until_ms, step = tonumber(known_until) or 0, tonumber(known_step) or 0
end

if until_ms > now then -- another call of the same burst: it doubles nothing
  until_ms = math.max(until_ms, now + named)
else
  step = (step > 0) and math.min(step * 2, longest) or first
  until_ms = now + (named > 0 and named or step)
end
local left = until_ms - now
redis.call('SET', KEYS[1], string.format('%d:%d', until_ms, step), 'PX', left + step)
return left
