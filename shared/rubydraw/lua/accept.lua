-- One more job of a caller: recorded as done where its drawing is kept, else as queued where the caller's quota, the
-- budget and its places allow one more. Each step is the script of that name, given KEYS and ARGV of its own.
-- ARGV[1], ARGV[2], and so on in pairs: how many keys and how many arguments the first, the second … step of STEPS has;
-- one without keys is not taken. Behind that, as KEYS: those of the steps, one after the other
-- Answers what each step answered, nothing for one that was not taken. The one that refuses is the last.
-- Sent twice it charges twice, as charge.lua does; all else is as good as once.
local STEPS = { charge, keep, charge, check_budget, take_place, submit }
local TENTH, DRAWING, REST, BUDGET, PLACE, RECORD = 1, 2, 3, 4, 5, 6

local own, key, arg = {}, 0, 2 * #STEPS
for step = 1, #STEPS do
  local keys, args = ARGV[2 * step - 1], ARGV[2 * step]
  own[step] = { { unpack(KEYS, key + 1, key + keys) }, { unpack(ARGV, arg + 1, arg + args) } }
  key, arg = key + keys, arg + args
end

local answers = { false, false, false, false, false, false }
local function take(step)
  if #own[step][1] > 0 then
    answers[step] = STEPS[step](own[step][1], own[step][2])
  end
  return answers[step]
end

local function refused(answer)
  return answer and answer[1] == 0
end

if refused(take(TENTH)) then
  return answers
end
if take(DRAWING) == 1 then
  own[RECORD][2][2] = 'done'
elseif refused(take(REST)) or (take(BUDGET) and answers[BUDGET][1] > 0) or take(PLACE) == 0 then
  return answers
end
take(RECORD)
return answers
