-- Checks that a drawing which a job is about to name is there and complete, and if so makes it outlive the job.
-- The image is not read, only its length: it must be longer than a PNG signature.
local SIGNATURE_BYTES, LIFE_MS = 8, 65 * 60 * 1000
local WORDS = { 'title', 'style', 'background', 'notes', 'model', 'prompt_version' }

local function is_palette(json)
  local read, palette = pcall(cjson.decode, json)
  if not read or type(palette) ~= 'table' or string.sub(json, 1, 1) ~= '[' then
    return false
  end
  for _, colour in ipairs(palette) do
    if type(colour) ~= 'string' then
      return false
    end
  end
  return true
end

local function kept(key)
  local bytes = redis.pcall('HSTRLEN', key, 'image')
  if type(bytes) ~= 'number' or bytes <= SIGNATURE_BYTES then
    return false
  end
  local numbers = redis.call('HMGET', key, 'provider_ms', 'created_at_ms', 'palette')
  local whole = tonumber(numbers[1]) and tonumber(numbers[2]) and numbers[3] and is_palette(numbers[3])
  for _, word in ipairs(redis.call('HMGET', key, unpack(WORDS))) do
    whole = whole and word
  end
  if not whole then
    return false
  end
  redis.call('PEXPIRE', key, LIFE_MS, 'GT')
  return true
end
