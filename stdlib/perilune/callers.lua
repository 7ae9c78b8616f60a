--- mesh.with: calls and streams with options of their own.

local check = require 'perilune.check'
local core = require 'perilune.core.call'
local errors = require 'perilune.core.error'
local node = require 'perilune.core.node'
local task = require 'perilune.task'
local tasks = require 'perilune.core.task'

local M = {}

local IDLE = 60 -- seconds: the longest gap of a stream unless told otherwise

local OPTIONS = {
  timeout = 'seconds',
  idle = 'seconds',
  node = 'bytes',
  meta = 'table',
  wait = 'seconds',
  strategy = 'later',
  retries = 'later',
  input = 'later',
}

local function is_offered(name, by)
  for _, offer in ipairs(node.offers()) do
    if offer.name == name and (not by or offer.node == by or offer.node_name == by) then return true end
  end
  return false
end

--- Waits until some node provides the action; `TIMEOUT` after `timeout` seconds, never without one.
---
---@param name string
---@param timeout number?
---@param by string? Id or name of the one node that counts.
function M.wait_for(name, timeout, by)
  local function wait()
    while not is_offered(name, by) do
      node.changed()
    end
    return true
  end
  if not timeout then return wait() end

  local deadline = tasks.now() + timeout
  local ok, err = pcall(task.timeout, timeout, wait)
  if ok then return end
  local mine = type(err) == 'table' and err.code == 'TIMEOUT' and tasks.now() >= deadline
  if not mine then error(err, 0) end
  error(errors.new {
    code = 'TIMEOUT',
    outcome = 'not_sent',
    action = name,
    message = ("no node has offered '%s' within %g s"):format(name, timeout),
  }, 0)
end

--- The pair of functions behind mesh.call and mesh.stream.
---
---@return fun(name: string, ...: any): ...: any
---@return fun(name: string, ...: any): any, nil, nil, any
function M.default()
  return core.caller(nil, nil, nil, IDLE)
end

--- Calls and streams with these options: `mesh.with{timeout = 2}.call('sum', {1, 2})`.
---
---@param options { timeout: number?, idle: number?, node: string?, meta: table?, wait: number? }
---@return { call: function, stream: function }
function M.with(options)
  check.arg(options, 'table', 1, 'mesh.with')
  check.options(options, OPTIONS, 1, 'mesh.with')
  local call, stream = core.caller(options.timeout, options.node, options.meta, options.idle or IDLE)
  local patience = options.wait
  if not patience then return { call = call, stream = stream } end

  local function waiting(fn)
    return function(name, ...)
      node.start()
      if type(name) == 'string' then M.wait_for(name, patience, options.node) end
      return fn(name, ...)
    end
  end
  return { call = waiting(call), stream = waiting(stream) }
end

return M
