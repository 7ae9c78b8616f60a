--- mesh.with: calls and streams with options of their own.

local core = require 'perilune.core.call'
local errors = require 'perilune.core.error'
local node = require 'perilune.core.node'
local task = require 'perilune.task'
local tasks = require 'perilune.core.task'

local M = {}

local IDLE = 60 -- seconds: the longest gap of a stream unless told otherwise

--- Checks a table of options against a table of their types; raises at the caller's caller.
---
---@param what string The function, for the message.
---@param options table
---@param types table<string, string>
function M.check_options(what, options, types)
  if type(options) ~= 'table' then
    error(('%s: a table of options is expected, got %s'):format(what, type(options)), 3)
  end
  for name, given in pairs(options) do
    local expected = types[name]
    if expected == nil then
      error(('%s: unknown option %q'):format(what, tostring(name)), 3)
    elseif expected == 'later' then
      error(('%s: the option %q is not available in this version'):format(what, name), 3)
    elseif type(given) ~= expected then
      error(('%s: %s: a %s is expected, got %s'):format(what, name, expected, type(given)), 3)
    elseif expected == 'number' and not (given >= 0 and given < math.huge) then
      error(('%s: %s: %s is not a number from 0 on'):format(what, name, given), 3)
    end
  end
end

local OPTIONS = {
  timeout = 'number',
  idle = 'number',
  node = 'string',
  meta = 'table',
  wait = 'number',
  strategy = 'later',
  retries = 'later',
  input = 'later',
}

local function is_offered(name)
  for _, offer in ipairs(node.offers()) do
    if offer.name == name then return true end
  end
  return false
end

--- Waits until some node provides the action; `TIMEOUT` after `timeout` seconds, never without one.
---
---@param name string
---@param timeout number?
function M.wait_for(name, timeout)
  local function wait()
    while not is_offered(name) do
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
  M.check_options('mesh.with', options, OPTIONS)
  local call, stream = core.caller(options.timeout, options.node, options.meta, options.idle or IDLE)
  local patience = options.wait
  if not patience then return { call = call, stream = stream } end

  local function waiting(fn)
    return function(name, ...)
      node.start()
      if type(name) == 'string' then M.wait_for(name, patience) end
      return fn(name, ...)
    end
  end
  return { call = waiting(call), stream = waiting(stream) }
end

return M
