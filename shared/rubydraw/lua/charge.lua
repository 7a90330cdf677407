-- Counts one operation against its caller's quota; no window ever counts more than the limit.
-- KEYS[1]: what the caller has used in each slice, a hundredth of a window; beside that the sum of all slices, `used`,
-- and the `oldest` slice. ARGV: cost, limit, window in ms
-- Answers 1 if it was counted, else 0; what is left; and the ms until some comes back (if not counted: enough for it).
-- A slice leaves the window when all of it has. Run twice, it counts twice, which costs its caller and nobody else.
local SLICES = 100
local cost, limit, window_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local slice_ms = window_ms / SLICES
local current = math.floor(now / slice_ms)

local function back_ms(slice)
  return math.ceil((slice + SLICES + 1) * slice_ms - now)
end

-- The slices in order of time, each with its count, and their sum; those that have left the window are deleted.
local function recounted()
  local flat, slices, used = redis.call('HGETALL', KEYS[1]), {}, 0
  for i = 1, #flat, 2 do
    local slice, count = tonumber(flat[i]), tonumber(flat[i + 1])
    if slice and slice < current - SLICES then
      redis.call('HDEL', KEYS[1], flat[i])
    elseif slice then
      slices[#slices + 1] = { slice, count }
      used = used + count
    end
  end
  table.sort(slices, function(one, other) return one[1] < other[1] end)
  return slices, used
end

local known = redis.call('HMGET', KEYS[1], 'used', 'oldest', current)
local used, oldest = tonumber(known[1]) or 0, tonumber(known[2]) or current
if oldest < current - SLICES then -- at most once per slice: every other charge uses the stored sum
  local slices
  slices, used = recounted()
  oldest = slices[1] and slices[1][1] or current
end

if used + cost > limit then
  local left = limit - used
  local free = left
  for _, slice in ipairs((recounted())) do
    free = free + slice[2]
    if free >= cost then
      return { 0, left, back_ms(slice[1]) }
    end
  end
  return { 0, left, window_ms }
end
redis.call('HSET', KEYS[1], 'used', used + cost, current, (known[3] or 0) + cost)
if not known[3] then
  redis.call('HSET', KEYS[1], 'oldest', oldest)
  redis.call('PEXPIRE', KEYS[1], math.ceil(window_ms + 2 * slice_ms))
end
return { 1, limit - used - cost, back_ms(oldest) }
