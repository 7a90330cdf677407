-- Stores a drawing over whatever is there, completely or not at all; but a newer complete drawing stays: a drawing from
-- the archive, or one that a process held while Redis refused it, may come late.
-- KEYS[1]: the drawing. ARGV: its life in ms, its created_at_ms, and then each other field and its value.
local time = redis.call('TIME')
-- A drawing made without Redis is dated by another clock; if that is ahead, the drawing would keep later ones out.
local created_at = math.min(tonumber(ARGV[2]), time[1] * 1000 + math.floor(time[2] / 1000))
local kept_at = redis.pcall('HGET', KEYS[1], 'created_at_ms')
if type(kept_at) == 'string' and (tonumber(kept_at) or 0) > created_at and kept(KEYS[1]) then
  return 0
end
redis.call('SET', KEYS[1], '') -- a full Redis refuses this, before anything is deleted
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'created_at_ms', string.format('%d', created_at), unpack(ARGV, 3))
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
