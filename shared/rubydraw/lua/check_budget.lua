-- Checks whether a job that is queued now could be paid for today. Nothing is reserved, so this may have changed when its
-- call begins; a job can wait for calls in progress.
-- Answers what `full` returns, but with the number 0 if there may be room before midnight UTC.
local number, opens_ms, until_midnight = full()
return { number * until_midnight, opens_ms, until_midnight }
