-- Whether a call could be paid for now; nothing is reserved, so it may be otherwise when the call begins.
-- Answers as reserve_call.lua.
return { full(), DAY_MS - NOW % DAY_MS }
