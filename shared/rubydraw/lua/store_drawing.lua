-- A drawing takes the place of whatever is there, whole or not at all; but a newer one that is whole stays: what an
-- archive had, or was held here, may come late.
-- KEYS[1]: the drawing. ARGV: its life in ms, its created_at_ms, and then each other field and its value.
local time = redis.call('TIME')
-- Without Redis it was dated by another clock: one that is ahead would keep the next ones out.
local created_at = math.min(tonumber(ARGV[2]), time[1] * 1000 + math.floor(time[2] / 1000))
local kept_at = redis.pcall('HGET', KEYS[1], 'created_at_ms')
if type(kept_at) == 'string' and (tonumber(kept_at) or 0) > created_at and kept(KEYS[1]) then
  return 0
end
redis.call('SET', KEYS[1], '') -- which is refused where Redis is full, before anything is gone
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'created_at_ms', string.format('%d', created_at), unpack(ARGV, 3))
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
