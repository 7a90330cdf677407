-- Checks whether a job that is queued now could be paid for today. Nothing is reserved, so this may have changed when its
-- call begins; a job can wait for calls in progress.
-- Answers as reserve_call.lua does.
local number, opens_ms = full()
return { opens_ms > SOON_MS and number or 0, opens_ms }
