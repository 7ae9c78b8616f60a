--- mesh.with: calls and streams with options of their own.

local check = require 'perilune.check'
local choice = require 'perilune.choice'
local core = require 'perilune.core.call'
local errors = require 'perilune.core.error'
local inputs = require 'perilune.input'
local node = require 'perilune.core.node'
local task = require 'perilune.task'
local tasks = require 'perilune.core.task'

local M = {}

local OPTIONS = {
  timeout = 'seconds',
  idle = 'seconds',
  priority = 'priority',
  node = 'bytes',
  meta = 'table',
  wait = 'seconds',
  strategy = 'any',
  key = 'any',
  prefer = 'table',
  providers = 'any',
  retries = 'count',
  input = 'any',
}

--- Whether somebody would take the call now. A named node that is not known yet may still come.
local function is_there(explain, name)
  local ok, how = pcall(explain, name)
  if ok then return how.choice ~= nil end
  if type(how) == 'table' and how.code == 'NO_ROUTE' then return false end
  error(how, 0)
end

--- Waits until some node would take a call; `TIMEOUT` after `timeout` seconds, never without one.
---
---@param name string
---@param timeout number?
---@param explain fun(name: string): table Of the caller.
function M.wait_for(name, timeout, explain)
  local function wait()
    local seen = node.changed()
    while not is_there(explain, name) do
      seen = node.changed(seen)
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

---@class perilune.Explanation
---@field action string
---@field strategy string
---@field said_by 'call'|'action'|'node'|'default'
---@field reason string
---@field choice string? The id of the chosen one.
---@field candidates perilune.Candidate[]

---@class perilune.Candidate
---@field id string
---@field name string
---@field region string?
---@field hops integer
---@field cost number Seconds.
---@field latency number? Seconds, smoothed.
---@field outstanding integer Calls from here in flight.
---@field load integer Requests of others there.
---@field weight integer
---@field health 'ok'|'degraded'|'ejected'|'probing'
---@field standing string
---@field score integer?
---@field via string?
---@field chosen boolean

--- One call, stream and explain for all actions, or for each list of providers one.
local function make(options, level)
  local routes = choice.routes(options.providers, level + 1)
  local iterator = options.input ~= nil and inputs.iterator(options.input, "option 'input' of mesh.with", level + 1)
  local function caller(providers)
    local call, stream, explain, upload = core.caller(options.timeout, options.node, options.meta, options.idle,
      options.priority, choice.policy(options, providers, level + 2))
    if not iterator then return { call = call, stream = stream, explain = explain } end
    return {
      call = function(...) return inputs.call(upload, iterator, ...) end,
      stream = function(...) return inputs.stream(stream, iterator, ...) end,
      explain = explain,
    }
  end
  local listed = routes[1] and not routes[1].pattern
  local any, of = caller(listed and routes[1].providers or nil), {}
  if #routes == 0 or listed then return any end

  for _, route in ipairs(routes) do of[route.providers] = caller(route.providers) end
  local function routed(kind)
    return function(name, ...)
      local providers = type(name) == 'string' and routes:find(name)
      return (providers and of[providers] or any)[kind](name, ...)
    end
  end
  return { call = routed 'call', stream = routed 'stream', explain = routed 'explain' }
end

---@class perilune.CallOptions
---@field timeout number? Seconds for a call, or for a stream to start.
---@field idle number? Seconds of the longest gap of a stream.
---@field node string? Id or name of the one node to call.
---@field meta table? Travels with the call.
---@field priority 'high'|'normal'|'low'|nil Of those that wait for a slot; else that of the handler that calls.
---@field wait number? Seconds to wait for a provider when there is none.
---@field strategy string|function|nil Who of several providers takes a call.
---@field key string|number|nil Of the strategy `hash`.
---@field prefer { region: string|string[] }? Who comes first, while healthy.
---@field providers string|string[]|table<string, string|string[]>|nil Who may take it, in this order.
---@field retries integer? How often a call that did not run is repeated elsewhere.
---@field input function|table|nil An iterator: what it gives is sent to the handler. Or the values of a generic `for`.

--- Calls and streams with these options: `mesh.with{timeout = 2}.call('sum', {1, 2})`.
---
---@param options perilune.CallOptions
---@return { call: function, stream: function, explain: function }
function M.with(options)
  check.arg(options, 'table', 1, 'mesh.with')
  check.options(options, OPTIONS, 1, 'mesh.with')
  local made = M.made(options, 3)
  return made
end

--- What options there are.
M.options = OPTIONS

--- The same, of options whose names and types have been checked; what is wrong with them is raised at `level`.
---
---@param options perilune.CallOptions
---@param level integer
---@return { call: function, stream: function, explain: function }
function M.made(options, level)
  local made = make(options, level + 1)
  local patience = options.wait
  if not patience then return made end

  local function waiting(fn)
    return function(name, ...)
      node.start()
      if type(name) == 'string' then M.wait_for(name, patience, made.explain) end
      return fn(name, ...)
    end
  end
  return { call = waiting(made.call), stream = waiting(made.stream), explain = made.explain }
end

return M
