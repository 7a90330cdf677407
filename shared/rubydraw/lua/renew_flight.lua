-- KEYS[1]: the flight. ARGV: token, life in ms
return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('PEXPIRE', KEYS[1], ARGV[2]) or 0
