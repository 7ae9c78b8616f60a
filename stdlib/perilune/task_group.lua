--- Tasks that belong together: those of `all`, `race` and `scope` are children of the task that called it, are
--- cancelled with it, and do not outlive the call.

local check = require 'perilune.check'
local core = require 'perilune.core.task'
local group = require 'perilune.core.group'

local M = {}

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

local Scope = {}
Scope.__index = Scope

--- Starts a task that ends before the scope does.
---
---@param fn fun(...: any): ...: any
---@param ... any
---@return perilune.Task
function Scope:spawn(fn, ...)
  if self.closed then error('the scope is closed', 2) end
  check.fn(fn, 'scope:spawn')
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
  check.fn(fn, 'mesh.scope')
  local holder <close> = open_group()
  local scope = setmetatable({ group = holder[1], closed = false }, Scope)
  local closer <close> = setmetatable({}, { __close = function() scope.closed = true end }) -- luacheck: ignore
  -- Not a tail call: the variables above are closed after it.
  local results = table.pack(settle(scope, holder[1]:run(fn, scope, ...)))
  return table.unpack(results, 1, results.n)
end

return M
