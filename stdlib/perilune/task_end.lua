--- task:on: who wants to be told of the end of a task.

local check = require 'perilune.check'
local core = require 'perilune.core.task'

local M = {}

-- By the handle of the task, `{ done = {fn, …}, error = {fn, …} }`. `late`: it had ended
-- before; `ended`: they have been told.
local listeners = setmetatable({}, { __mode = 'k' })

local ENDED = { done = true, failed = true, cancelled = true }

--- Tells them, each in a task of its own, whose error is logged as that of any other.
local function tell(list, ...)
  for _, fn in ipairs(list) do core.spawn(fn, ...) end
end

local function tell_end(task, own, ok, ...)
  own.ended = true
  if ok then return tell(own.done, ...) end
  tell(own.error, ...)
  if #own.error > 0 or own.late or task.status ~= 'failed' then return end
  -- Unless others wait for it, nobody sees this error: it is logged as that of this task.
  if core.watchers(task) == own.watchers then task:await() end
end

local function watch(task)
  local own = listeners[task]
  own.watchers = ENDED[task.status] and 0 or 1
  tell_end(task, own, pcall(task.await, task))
end

--- Calls `fn` once, in a task of its own, when the task has ended: with its results if `event` is `done`, with its
--- error, also that of a cancel, if it is `error`. If it has ended already, that is now.
---
---@param event 'done'|'error'
---@param fn fun(...: any)
---@return perilune.Task # the same task
function M.on(task, event, fn)
  if event ~= 'done' and event ~= 'error' then
    error(("bad argument #1 to 'task:on' ('done' or 'error' expected, got %s)"):format(
      type(event) == 'string' and ("'%s'"):format(event) or type(event)), 2)
  end
  check.fn(fn, 'task:on')
  local own = listeners[task]
  if not own or own.ended then
    own = { done = {}, error = {}, late = ENDED[task.status] }
    listeners[task] = own
    if not own.late then core.hear(task) end
    core.spawn(watch, task)
  end
  table.insert(own[event], fn)
  return task
end

return M
