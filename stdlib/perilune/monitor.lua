--- mesh.monitor: being told what the node does.

local check = require 'perilune.check'
local core = require 'perilune.core.monitor'
local tasks = require 'perilune.core.task'

local M = {}

---@class perilune.Monitor
local Monitor = {}
Monitor.__index = Monitor

--- Ends it: what waits to be told is dropped, and the function is not called again.
function Monitor:close() self.source:close() end

Monitor.__close = Monitor.close

local function run(source, fn)
  core.hide()
  for event in source.next, source do
    local trace
    local ok, err = xpcall(fn, function(e)
      trace = debug.traceback(nil, 3) -- not this function, nor what calls it
      return e
    end, event)
    if not ok then tasks.log_failure(err, trace) end
  end
end

--- Calls `fn(event)` for what the node does from now on, in a task of its own that may wait, one event at a time: calls
--- (`outgoing`, `incoming`, `local`, `forwarded`, `queued`, `chunk`, `end`), links (`link_up`, `link_down`,
--- `dial_failed`), scripts (`generation`), and `dropped` where it was too slow. Ends with its generation.
---
---@param fn fun(event: perilune.Event)
---@return perilune.Monitor
function M.monitor(fn)
  check.arg(fn, 'function', 1, 'mesh.monitor')
  local source = core.open()
  tasks.spawn(run, source, fn)
  return setmetatable({ source = source }, Monitor)
end

return M
