-- What the scripts of the budget share. A purse is a hash: the UTC day, its calls, its millionths of a dollar.
-- KEYS[1]: the reservation. KEYS[2]: the purse of all callers. KEYS[3], if the caller is known: the caller's own purse.
-- Time is Redis' own.
local DAY_MS = 24 * 60 * 60 * 1000
local time = redis.call('TIME')
local NOW = time[1] * 1000 + math.floor(time[2] / 1000)
local TODAY = string.format('%d', math.floor(NOW / DAY_MS))

-- The calls and microdollars spent today; a purse that still has another day's figures is empty.
local function spent(purse)
  local known = redis.call('HMGET', purse, 'day', 'calls', 'microdollars')
  if known[1] ~= TODAY then
    return 0, 0
  end
  return tonumber(known[2]) or 0, tonumber(known[3]) or 0
end

-- The number of the first purse whose ceilings leave no room for one more call, or 0. A ceiling below 0 means none.
-- ARGV: price of a call in microdollars; ceilings of the first purse, in calls and microdollars; those of the second
local function full()
  for number = 1, #KEYS - 1 do
    local max_calls, max_microdollars = tonumber(ARGV[2 * number]), tonumber(ARGV[2 * number + 1])
    local calls, microdollars = spent(KEYS[number + 1])
    if (max_calls >= 0 and calls + 1 > max_calls)
      or (max_microdollars >= 0 and microdollars + tonumber(ARGV[1]) > max_microdollars) then
      return number
    end
  end
  return 0
end
