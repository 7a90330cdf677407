-- running -> running: the holder of the token keeps its lease. Nothing that a reader sees changes.
-- ARGV: channel, token, lease_ms
local job = read()
if job.status ~= 'running' or job.token ~= ARGV[2] then
  return 0
end
redis.call('HSET', KEY, 'lease_until_ms', string.format('%d', NOW + number(ARGV[3])))
return 1
