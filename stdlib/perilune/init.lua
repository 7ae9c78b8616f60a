--- The mesh, as scripts see it: `local mesh = require 'perilune'`.
---
--- The first use of the mesh starts the node; `mesh.node` before it says how.

local actions = require 'perilune.actions'
local check = require 'perilune.check'
local core = require 'perilune.core.node'
local core_call = require 'perilune.core.call'
local core_reload = require 'perilune.core.reload'
local offload = require 'perilune.core.offload'
local on_demand = require 'perilune.on_demand'
local requests = require 'perilune.core.action'
local states = require 'perilune.core.state'
local sys = require 'perilune.core.sys'
local task = require 'perilune.task'
local value = require 'perilune.core.value'

local M = {
  null = value.null,
  bytes = value.bytes,
  array = value.array,

  state = states.state,
  shared = states.shared,

  spawn = task.spawn,
  all = task.all,
  race = task.race,
  scope = task.scope,
  timeout = task.timeout,
  sleep = task.sleep,
  after = task.after,
  every = task.every,

  with = on_demand('perilune.callers', 'with'),
  proxy = on_demand('perilune.proxy', 'proxy'),
  action = actions.action,
  remove = actions.remove,
  describe = on_demand('perilune.describe', 'describe'),

  monitor = on_demand('perilune.monitor', 'monitor'),

  reload = core_reload.reload,
  on_unload = on_demand('perilune.generation', 'on_unload'),
  on_load = on_demand('perilune.generation', 'on_load'),
  on_close = on_demand('perilune.generation', 'on_close'),

  actions = on_demand('perilune.network', 'actions'),
  nodes = on_demand('perilune.network', 'nodes'),
  routes = on_demand('perilune.network', 'routes'),
  streams = on_demand('perilune.network', 'streams'),
  wait = on_demand('perilune.network', 'wait'),
  ping = on_demand('perilune.network', 'ping'),
  connect = on_demand('perilune.network', 'connect'),
  keep = on_demand('perilune.network', 'keep'),
  unkeep = on_demand('perilune.network', 'unkeep'),
  disconnect = on_demand('perilune.network', 'disconnect'),

  self = core.self,
  context = requests.context,
  input = requests.input,
  info = requests.info,
}

--- Has a function computed on a thread of its own, away from the loop, and waits for its results: a function of a
--- module, `mesh.offload(module, name, …)`, or one that uses no local around it, `mesh.offload(fn, …)`.
---
---@type fun(module: string|function, name: any, ...: any): ...: any
M.offload = offload.offload

M.call, M.stream, M.explain = core_call.caller()

--- Seconds on a clock that never jumps. Only differences mean something.
---
---@return number
M.now = sys.monotonic

--- What the process has counted since it started, by name: `calls_ok`, `links_now`, `requests_busy`, … Names that
--- end in `_now` go up and down, all others only grow.
---
---@type fun(): table<string, integer>
M.metrics = sys.metrics

--- Starts the node with these options and waits until every given peer has connected, or failed once.
--- Optional; at most once, before anything else of the mesh.
---
---@type fun(options: table)
M.node = core.configure

--- The options of the node, and where each comes from: `default`, `script`, `config file`, `environment` or
--- `command line`.
---
---@return table<string, { value: any, source: string }>
function M.options()
  core.start()
  return core.options()
end

--- Begins to stop the process: requests that run may finish for `drain` seconds.
---
---@param options { drain: number? }?
function M.stop(options)
  options = check.options(options, { drain = 'seconds' }, 1, 'mesh.stop')
  core.stop(options.drain)
end

--- A mesh of scripts in this process, in virtual time, with faults on demand: see perilune.sim.
---
---@param options { seed: integer?, nodes: any, script: any, topology: string?, options: table? }?
---@return perilune.sim.Net
function M.sim(options) return require 'perilune.sim' (options) end

-- Surface of later versions: asking for it says so instead of "a nil value".
local LATER = {
  'on', 'emit', 'join', 'leave', 'leave_all', 'to', 'survey',
  'service',
}
local later = {}
for _, name in ipairs(LATER) do
  later[name] = true
end

return setmetatable(M, {
  __index = function(_, name)
    if later[name] then error(('mesh.%s is not available in this version'):format(name), 2) end
  end,
})
