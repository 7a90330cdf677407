-- Records one more job of a caller: as done if its drawing is kept, else as queued if the caller's quota, the budget
-- and the caller's places allow it. Each step is the script of that name, with KEYS and ARGV of its own.
-- KEYS: the keys of all steps, in the order of STEPS. ARGV: for each step a pair, its number of keys and its number of
-- arguments; then the arguments of all steps, in the same order. A step without keys is skipped.
-- Answers what each step answered, nil for a skipped one. A step that refuses is the last one taken.
-- Run twice, it charges twice, as charge.lua does; everything else in it is idempotent.
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
