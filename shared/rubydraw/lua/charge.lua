-- One operation is counted against its caller's quota: in no window is more counted than the limit.
-- KEYS[1]: what the caller has used, by the hundredth of a window in which it did. ARGV: cost, limit, window in ms
-- Answers 1 if it was counted, what is left, and the ms until some comes back (if it was not: until enough has).
-- A hundredth leaves the window when all of it has. Sent twice it counts twice, which costs its caller, and nobody else.
local SLICES = 100
local cost, limit, window_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local slice_ms = window_ms / SLICES
local current = math.floor(now / slice_ms)
local slices, counts, used = {}, {}, 0

local flat = redis.call('HGETALL', KEYS[1])
for i = 1, #flat, 2 do
  local slice, count = tonumber(flat[i]), tonumber(flat[i + 1])
  if slice < current - SLICES then
    redis.call('HDEL', KEYS[1], flat[i])
  else
    slices[#slices + 1] = slice
    counts[slice] = count
    used = used + count
  end
end
table.sort(slices)

local function back_ms(slice)
  return math.ceil((slice + SLICES + 1) * slice_ms - now)
end

if used + cost > limit then
  local left = limit - used
  local free = left
  for _, slice in ipairs(slices) do
    free = free + counts[slice]
    if free >= cost then
      return { 0, left, back_ms(slice) }
    end
  end
  return { 0, left, window_ms }
end
redis.call('HINCRBY', KEYS[1], string.format('%d', current), cost)
redis.call('PEXPIRE', KEYS[1], math.ceil(window_ms + 2 * slice_ms))
return { 1, limit - used - cost, back_ms(slices[1] or current) }
