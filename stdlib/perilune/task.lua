--- Tasks: functions that run beside their caller and wait on their own.
---
--- Between two waits no other task of a script runs.

local check = require 'perilune.check'
local core = require 'perilune.core.task'
local on_demand = require 'perilune.on_demand'

local M = {}

--- Starts `fn(...)` as a task of its own. It inherits the context of the running task, not its
--- deadline.
---
---@type fun(fn: (fun(...: any): ...: any), ...: any): perilune.Task
M.spawn = core.spawn

--- Runs `fn(...)` in the caller's task; what it waits for after `seconds` ends with `TIMEOUT`.
---
---@type fun(seconds: number, fn: (fun(...: any): ...: any), ...: any): ...: any
M.timeout = core.timeout

-- What few scripts use: stdlib/perilune/task_group.lua and task_end.lua say what these do.
M.all = on_demand('perilune.task_group', 'all')
M.race = on_demand('perilune.task_group', 'race')
M.scope = on_demand('perilune.task_group', 'scope')
core.methods.on = on_demand('perilune.task_end', 'on')

--- Waits for `seconds`; 0 lets the other tasks run.
---
---@type fun(seconds: number)
M.sleep = core.sleep

--- Runs `fn(...)` in `seconds`, in a task of its own.
---
---@param seconds number
---@param fn fun(...: any)
---@param ... any
---@return perilune.Task task To cancel it.
function M.after(seconds, fn, ...)
  if type(seconds) ~= 'number' or seconds ~= seconds or seconds < 0 then
    error('mesh.after: seconds must be a number from 0 on', 2)
  end
  check.fn(fn, 'mesh.after')
  return core.spawn(function(...)
    core.sleep(seconds)
    return fn(...)
  end, ...)
end

--- Runs `fn(...)` every `seconds`, never two at once, until the task is cancelled. A run that takes
--- longer skips the turns it missed; an error is logged and does not stop it.
---
---@param seconds number
---@param fn fun(...: any)
---@param ... any
---@return perilune.Task task To cancel it.
function M.every(seconds, fn, ...)
  if type(seconds) ~= 'number' or seconds ~= seconds or seconds <= 0 then
    error('mesh.every: seconds must be a number over 0', 2)
  end
  check.fn(fn, 'mesh.every')
  return core.spawn(function(...)
    local next_at = core.now() + seconds
    while true do
      core.sleep(math.max(0, next_at - core.now()))
      local trace
      local ok, err = xpcall(fn, function(e)
        trace = debug.traceback(nil, 3) -- not this function, nor what calls it
        return e
      end, ...)
      if not ok then core.log_failure(err, trace) end
      local now = core.now()
      next_at = next_at + seconds * math.max(1, math.ceil((now - next_at) / seconds))
    end
  end, ...)
end

return M
