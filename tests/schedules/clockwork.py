"""Time that a test moves: timers of the loop go off, and what Redis has stored grows old, without anybody waiting."""

from __future__ import annotations

import asyncio

import redis.asyncio

# Lua takes no clock, so the stored times are moved instead, each back by ARGV[1] ms.
_AGE = """#!lua flags=allow-oom
local ms = tonumber(ARGV[1])
local function earlier(text) return string.format('%d', math.max(tonumber(text) - ms, 1)) end
for _, key in ipairs(redis.call('KEYS', 'improve_sketch:*')) do
  local life = redis.call('PTTL', key)
  if life > 0 and life <= ms then
    redis.call('DEL', key)
  else
    if string.find(key, ':status:', 1, true) then
      for _, field in ipairs({ 'created_at', 'updated_at', 'lease_until_ms', 'retry_at', 'replayed_at' }) do
        local value = tonumber(redis.call('HGET', key, field) or '')
        if value and value > 0 then redis.call('HSET', key, field, earlier(value)) end
      end
    elseif string.find(key, ':flight:', 1, true) then
      local code, at, final = string.match(redis.call('GET', key), '^failed:([A-Z_]+):(%d+):([012])$')
      if code and at ~= '0' then
        redis.call('SET', key, 'failed:' .. code .. ':' .. earlier(at) .. ':' .. final, 'KEEPTTL')
      end
    elseif string.find(key, ':cooldown', 1, true) then
      local till, step = string.match(redis.call('GET', key), '^(%d+):(%d+)$')
      redis.call('SET', key, earlier(till) .. ':' .. step, 'KEEPTTL')
    end
    if life > 0 then redis.call('PEXPIRE', key, life - ms) end
  end
end
"""


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose clock can be put forward."""

    ahead_s = 0.0

    def time(self) -> float:
        return super().time() + self.ahead_s


async def grow_old(client: redis.asyncio.Redis, ms: int) -> None:
    """Have everything in Redis be older by so many ms; what has outlived its time is gone."""
    await client.eval(_AGE, 0, str(ms))
