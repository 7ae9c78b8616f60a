--- What a piece of code leaves open behind it: tasks, calls and streams of this script.

local inspect = require 'perilune.core.inspect'
local streams = require 'perilune.core.streams'
local sys = require 'perilune.core.sys'
local task = require 'perilune.task'

local M = {}

local SETTLING = 0.5 -- seconds that what was cancelled has to end
local LOOK = 0.005

--- How things are now. Ids of tasks grow.
---
---@return { task: integer, calls: integer }
function M.mark()
  local metrics = sys.metrics()
  return { task = metrics.tasks_started, calls = metrics.calls_now }
end

local function describe_task(one)
  local text = one.action and ("the handler of '%s'"):format(one.action) or 'a task'
  if one.at then text = ('%s at %s'):format(text, one.at) end
  return one.waits_for and ('%s (%s)'):format(text, one.waits_for) or text
end

--- The calls and streams that are more than at the mark, in words.
local function add_calls(list, mark)
  local extra = sys.metrics().calls_now - mark.calls
  if extra <= 0 then return end
  for _, stream in ipairs(streams.streams()) do
    if stream.direction == 'in' and extra > 0 then
      list[#list + 1] = ("a stream of '%s'"):format(stream.action)
      extra = extra - 1
    end
  end
  if extra > 0 then list[#list + 1] = extra == 1 and 'a call' or extra .. ' calls' end
end

--- What is open that was not at the mark, in words.
---
---@return string[]
function M.find(mark)
  local list = {}
  add_calls(list, mark)
  local has_calls = #list > 0
  for _, one in ipairs(inspect.living(mark.task)) do
    -- Their ends are there already.
    if not (has_calls and one.action) then list[#list + 1] = describe_task(one) end
  end
  return list
end

--- The same, after what is ending has had the time to do so.
---
---@return string[]
function M.settle(mark)
  local last = sys.monotonic() + SETTLING
  while true do
    local left = M.find(mark)
    if #left == 0 or sys.monotonic() >= last then return left end
    task.sleep(LOOK)
  end
end

--- Ends what is left, so that it does not disturb what comes.
function M.clear(mark)
  if #M.find(mark) == 0 then return end
  for _, one in ipairs(inspect.living(mark.task)) do inspect.cancel(one.id) end
  if sys.metrics().calls_now > mark.calls then -- streams that nobody holds end when they are collected
    collectgarbage()
    collectgarbage()
  end
  M.settle(mark)
end

return M
