-- Checks whether a call could be paid for now. Nothing is reserved, so this may have changed when the call begins.
-- Answers as reserve_call.lua does.
return { full(), DAY_MS - NOW % DAY_MS }
