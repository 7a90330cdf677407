-- What the scripts of the budget share. A purse is a hash: the UTC day, its calls, its millionths of a dollar,
-- how many of these are held for calls in progress, and when the last of these began.
-- KEYS[1]: the reservation. KEYS[2]: the purse of all callers. KEYS[3], if the caller is known: the caller's own purse.
-- Time is Redis' own.
local DAY_MS, SOON_MS = 24 * 60 * 60 * 1000, 30 * 1000
local LONGEST_CALL_MS = 10 * 60 * 1000
local time = redis.call('TIME')
local NOW = time[1] * 1000 + math.floor(time[2] / 1000)
local TODAY = string.format('%d', math.floor(NOW / DAY_MS))

-- The calls, the microdollars and the held ones of today; a purse that still has another day's figures is empty. What
-- is held for a call that nobody settles, as its process died, is spent: it counts as held until no reservation has been
-- made for ten minutes.
local function spent(purse)
  local known = redis.call('HMGET', purse, 'day', 'calls', 'microdollars', 'held', 'held_at')
  if known[1] ~= TODAY then
    return 0, 0, 0
  end
  local in_progress = NOW - (tonumber(known[5]) or 0) < LONGEST_CALL_MS
  return tonumber(known[2]) or 0, tonumber(known[3]) or 0, in_progress and math.max(tonumber(known[4]) or 0, 0) or 0
end

-- The number of the first purse whose ceilings leave no room for one more call, or 0; the ms until there may be room;
-- and 1 if that is not before midnight UTC, 0 if the calls in progress, which are held for at their dearest, may leave
-- some. A purse that is full until midnight goes before one that is not. A ceiling below 0 means none.
-- ARGV: price of a call in microdollars; ceilings of the first purse, in calls and microdollars; those of the second
local function full()
  local price, held_up = tonumber(ARGV[1]), 0
  for number = 1, #KEYS - 1 do
    local max_calls, max_microdollars = tonumber(ARGV[2 * number]), tonumber(ARGV[2 * number + 1])
    local calls, microdollars, held = spent(KEYS[number + 1])
    local over = max_microdollars >= 0 and microdollars + price > max_microdollars
    if (max_calls >= 0 and calls + 1 > max_calls) or (over and microdollars - held + price > max_microdollars) then
      return number, DAY_MS - NOW % DAY_MS, 1
    end
    if over and held_up == 0 then
      held_up = number
    end
  end
  return held_up, SOON_MS, 0
end
