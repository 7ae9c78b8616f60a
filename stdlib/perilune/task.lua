--- Tasks: functions that run beside their caller and wait on their own.
---
--- Between two waits no other task of a script runs. A task of `scope`, `all` or `race` is a child of
--- the task that called it: it is cancelled with it, and does not outlive the call.

local core = require 'perilune.core.task'
local group = require 'perilune.core.group'

local M = {}

local function check_function(fn, what)
  if type(fn) ~= 'function' then error(('%s: a function is expected, got %s'):format(what, type(fn)), 3) end
end

--- A group that, on every way out of its block, cancels what still runs and waits for its end.
---
---@return table holder Holds the group in `[1]`, for a `<close>` variable.
local function open_group()
  return setmetatable({ group.new() }, {
    __close = function(holder)
      holder[1]:cancel()
      while holder[1]:next() do end
    end,
  })
end

--- Adds the tasks of a list to a group.
---
---@param g table
---@param tasks perilune.Task[]
---@param what string The caller, for errors.
local function add_all(g, tasks, what)
  if type(tasks) ~= 'table' then
    error(('%s: a list of tasks expected, got %s'):format(what, type(tasks)), 3)
  end
  for i = 1, #tasks do
    local ok, message = pcall(g.add, g, tasks[i])
    if not ok then
      local why = tostring(message):match '%((.*)%)$' or tostring(message) -- "bad argument #2 to '?' (…)"
      error(('%s: [%d]: %s'):format(what, i, why), 3)
    end
  end
end

--- Starts `fn(...)` as a task of its own. It inherits the context of the running task, not its
--- deadline.
---
---@type fun(fn: (fun(...: any): ...: any), ...: any): perilune.Task
M.spawn = core.spawn

--- Waits until all tasks are done. The first error cancels the rest and is raised.
---
---@param tasks perilune.Task[]
---@return any[] results The first result of each task, in the order of `tasks`.
function M.all(tasks)
  local holder <close> = open_group()
  local g = holder[1]
  add_all(g, tasks, 'mesh.all')
  for task in g.next, g do task:await() end

  local results = {}
  for i = 1, #tasks do results[i] = tasks[i]:await() end
  return results
end

--- Waits until one of the tasks ends, cancels the others, and returns its results or raises its error.
---
---@param tasks perilune.Task[]
---@return any ...
function M.race(tasks)
  local holder <close> = open_group()
  local g = holder[1]
  add_all(g, tasks, 'mesh.race')
  local first = g:next() or error('mesh.race: the list has no task', 2)
  return first:await()
end

-- Who wants to know of the end of a task: by its handle, `{ done = {fn, …}, error = {fn, …} }`. `late`: it had ended
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
function core.methods:on(event, fn)
  if event ~= 'done' and event ~= 'error' then
    error(("bad argument #1 to 'task:on' ('done' or 'error' expected, got %s)"):format(
      type(event) == 'string' and ("'%s'"):format(event) or type(event)), 2)
  end
  check_function(fn, 'task:on')
  local own = listeners[self]
  if not own or own.ended then
    own = { done = {}, error = {}, late = ENDED[self.status] }
    listeners[self] = own
    if not own.late then core.hear(self) end
    core.spawn(watch, self)
  end
  table.insert(own[event], fn)
  return self
end

local Scope = {}
Scope.__index = Scope

--- Starts a task that ends before the scope does.
---
---@param fn fun(...: any): ...: any
---@param ... any
---@return perilune.Task
function Scope:spawn(fn, ...)
  if self.closed then error('the scope is closed', 2) end
  check_function(fn, 'scope:spawn')
  local task = core.spawn_child(fn, ...)
  self.group:add(task)
  return task
end

--- Cancels the tasks of the scope that have not ended.
function Scope:cancel()
  self.group:cancel()
end

--- Raises the error of the first task that failed, once all have ended.
local function settle(scope, ...)
  local g = scope.group
  for task in g.next, g do
    if task.status == 'failed' then task:await() end
  end
  return ...
end

--- Runs `fn(scope, ...)` in the caller's task, and then waits for the tasks that it spawned in the
--- scope. When one of them fails, `fn` and the others are cancelled, and its error is raised.
---
---@param fn fun(scope: table, ...: any): ...: any
---@param ... any
---@return any ... What `fn` returned.
function M.scope(fn, ...)
  check_function(fn, 'mesh.scope')
  local holder <close> = open_group()
  local scope = setmetatable({ group = holder[1], closed = false }, Scope)
  local closer <close> = setmetatable({}, { __close = function() scope.closed = true end }) -- luacheck: ignore
  -- Not a tail call: the variables above are closed after it.
  local results = table.pack(settle(scope, holder[1]:run(fn, scope, ...)))
  return table.unpack(results, 1, results.n)
end

--- Runs `fn(...)` in the caller's task; what it waits for after `seconds` ends with `TIMEOUT`.
---
---@type fun(seconds: number, fn: (fun(...: any): ...: any), ...: any): ...: any
M.timeout = core.timeout

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
  check_function(fn, 'mesh.after')
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
  check_function(fn, 'mesh.every')
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
