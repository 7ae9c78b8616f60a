--- A mesh of scripts in one process, in virtual time, with faults on demand: for specs of what users build.
---
---     local net <close> = mesh.sim { seed = 7, nodes = 3, script = function()
---       mesh.action('add', function(x, y) return x + y end)
---     end }
---     net.n1:call('add', 1, 2)
---     net:partition({ net.n1 }, { net.n2, net.n3 })
---
--- Time stands still but in `advance`, `wait` and what waits for a node. The same seed gives the same run.

local check = require 'perilune.check'
local core = require 'perilune.core.sim'
local errors = require 'perilune.core.error'
local topologies = require 'perilune.sim_topology'

local STEP = 0.001     -- between two looks at what is waited for
local PATIENCE = 120   -- virtual seconds that a wait may take
local JOIN = 30        -- for a node to be ready
local TELLING = 0.1    -- that all have heard of a new action
local FAKED = 'perilune_faked' -- a global of the node, for a moment

---@class perilune.sim.Node
---@field name string
local Node = {}
Node.__index = Node

---@class perilune.sim.Net
---@field before_end fun(self)? Looks at the nodes before they are stopped, and may raise.
---@field on_node fun(node: perilune.sim.Node)? Told of each that is added.
local Net = {}

---@class perilune.sim.Task Code that runs in a node.
local Task = {}
Task.__index = Task

---@class perilune.sim.Fake An action that stands for another.
local Fake = {}
Fake.__index = Fake

--- Functions travel as bytecode: they see the globals of their node, and nothing of the spec.
local function code_of(code, name, position)
  if type(code) == 'function' then
    local ok, dumped = pcall(string.dump, code)
    if ok then return dumped end
    error(('%s: a function of C cannot run in another node'):format(name), 3)
  end
  check.arg(code, 'bytes', position, name)
  return code
end

local function node_of(net, node, position, name)
  if type(node) == 'string' then node = rawget(net.by_name, node) end
  if getmetatable(node) ~= Node or node.net ~= net then
    error(("bad argument #%d to '%s' (a node of this net expected)"):format(position, name), 3)
  end
  return node
end

local function list_of(net, nodes, position, name)
  if getmetatable(nodes) == Node or type(nodes) == 'string' then nodes = { nodes } end
  check.arg(nodes, 'table', position, name)
  local list = {}
  for i, node in ipairs(nodes) do list[i] = node_of(net, node, position, name) end
  return list
end

-- Tasks.

--- `running`, `done`, `failed`, or `lost` with its node.
function Task:state() return (self.node.net.world:result(self.number)) end

--- Waits for its end. Returns what the code returned, or raises its error.
function Task:wait()
  local net = self.node.net
  net:wait(function() return self:state() ~= 'running' end)
  local state, values = net.world:result(self.number)
  if state == 'done' then return table.unpack(values, 1, values.n) end
  if state == 'lost' then error(errors.new { code = 'PEER_LOST', outcome = 'unknown', message = 'the node died' }) end
  local err = values and values[1]
  if type(err) == 'table' and err.code then error(errors.new(err), 0) end
  error(err, 0)
end

function Task:cancel() self.node.net.world:cancel(self.node.machine, self.number) end

-- Nodes.

--- The arguments of each call so far, oldest first; a nil among them is mesh.null.
---
---@return any[][]
function Fake:calls()
  return self.node:eval("return require('perilune.test.fakes').calls(...)", self.name)
end

--- Runs code in the node; arguments and results travel as in a call. Returns at once.
---
---@param code function|string
---@return perilune.sim.Task
function Node:start(code, ...)
  local number = self.net.world:eval(self.machine, code_of(code, 'node:start', 1), ...)
  return setmetatable({ node = self, number = number }, Task)
end

--- Runs code in the node to its end, and returns its results.
function Node:eval(code, ...) return self:start(code_of(code, 'node:eval', 1), ...):wait() end

--- Calls an action from the node.
function Node:call(action, ...)
  return self:start("return require('perilune').call(...)", action, ...):wait()
end

--- Provides an action that answers with the results of a function, or with values, and keeps its calls. Others
--- have heard of it when this returns. It is gone with the process of the node.
---
---@param name string
---@param ... any A function, or the values.
---@return perilune.sim.Fake
function Node:fake(name, ...)
  check.arg(name, 'bytes', 1, 'node:fake')
  if type((...)) == 'function' then
    self.net.world:define(self.machine, FAKED, code_of((...), 'node:fake', 2))
    self:eval(("local fn = %s %s = nil require('perilune.test.fakes').put(..., fn)"):format(FAKED, FAKED), name)
  else
    self:eval("require('perilune.test.fakes').put(...)", name, ...)
  end
  self.net:advance(TELLING)
  return setmetatable({ node = self, name = name }, Fake)
end

--- `off`, `starting`, `ready` or `over`, and the last exit code.
function Node:state() return self.net.world:state(self.machine) end

function Node:id() return self.net.world:id(self.machine) end

--- The first values of all that its scripts gave to `report`.
function Node:reports()
  local list = self.net.world:reports(self.machine)
  for i, values in ipairs(list) do list[i] = values[1] end
  return list
end

function Node:log() return self.net.world:log(self.machine) end

function Node:metrics() return self.net.world:metrics(self.machine) end

--- Starts it (again), and waits until it is ready, or over.
function Node:restart()
  self:launch()
  self.net:wait(function() return self:state() ~= 'starting' end, JOIN)
  return self
end

--- Starts it without waiting.
function Node:launch()
  local urls = {}
  for i, peer in ipairs(self.peers) do urls[i] = type(peer) == 'string' and peer or 'mem://' .. peer.name end
  local options = { name = self.name, listen = { 'mem://' .. self.name }, peers = urls, mesh = '' }
  for key, value in pairs(self.options) do options[key] = value end
  self.net.world:boot(self.machine, self.code, options)
end

--- It dies: `power` without a sign, else as by kill -9.
---
---@param options { power: boolean? }?
function Node:crash(options)
  options = check.options(options, { power = 'boolean' }, 1, 'node:crash')
  self.net.world:kill(self.machine, options.power or false)
end

--- It is told to stop, and has `drain` seconds for what runs; returns its exit code.
---
---@param options { drain: number? }?
function Node:stop(options)
  options = check.options(options, { drain = 'seconds' }, 1, 'node:stop')
  self.net.world:stop(self.machine, options.drain)
  self.net:wait(function() return self:state() == 'over' end)
  return select(2, self:state())
end

--- As by SIGSTOP and SIGCONT.
function Node:pause() self.net.world:pause(self.machine, true) end

function Node:resume() self.net.world:pause(self.machine, false) end

local CLOCK = { leap = 'seconds', rate = 'number', wall = 'number', lag = 'seconds' }

--- Its clock leaps ahead by `leap` seconds, runs `rate` times as fast, its wall clock is off by `wall` seconds, and
--- it notices everything `lag` seconds late.
function Node:clock(options)
  options = check.options(options, CLOCK, 1, 'node:clock')
  self.net.world:clock(self.machine, options.leap, options.rate, options.wall, options.lag)
end

-- Nets.

--- Adds a node and waits until it is ready, or over.
---
---@param name string
---@param options { script: function|string?, peers: table?, options: table? }
---@return perilune.sim.Node
function Net:node(name, options)
  check.arg(name, 'bytes', 1, 'net:node')
  options = check.options(options, { script = 'any', peers = 'table', options = 'table' }, 2, 'net:node')
  local node = self:add(name, options):restart()
  if self.on_node then self.on_node(node) end
  return node
end

function Net:add(name, options)
  if rawget(self.by_name, name) then error(("a node '%s' is there already"):format(name), 3) end
  local node = setmetatable({
    net = self,
    name = name,
    machine = self.world:add(name),
    code = code_of(options.script or '', 'net:node', 2),
    peers = {},
    options = options.options or {},
  }, Node)
  for i, peer in ipairs(options.peers or {}) do
    node.peers[i] = type(peer) == 'string' and peer:find('://', 1, true) and peer or node_of(self, peer, 2, 'net:node')
  end
  self.by_name[name] = node
  self.nodes[#self.nodes + 1] = node
  return node
end

--- Seconds of virtual time.
function Net:now() return self.world:now() end

--- Lets time go on.
function Net:advance(seconds)
  check.arg(seconds, 'seconds', 1, 'net:advance')
  self.world:run(seconds)
end

--- Lets time go on until `done()` is true, and returns what it returned. Raises after `timeout` virtual seconds (120).
function Net:wait(done, timeout)
  local last = self:now() + (timeout or PATIENCE)
  while true do
    local result = done()
    if result then return result end
    if self:now() >= last then error('waited in vain', 2) end
    self.world:run(STEP)
  end
end

local function each_pair(self, a, b, name, fn)
  local of_a, of_b = list_of(self, a, 1, name), list_of(self, b, 2, name)
  for _, x in ipairs(of_a) do
    for _, y in ipairs(of_b) do
      if x ~= y then fn(x.machine, y.machine) end
    end
  end
end

--- Nothing passes between the nodes of `a` and those of `b`, either way, until `heal`.
function Net:partition(a, b)
  each_pair(self, a, b, 'net:partition', function(x, y)
    self.world:block(x, y, true)
    self.world:block(y, x, true)
  end)
end

--- Nothing passes from `a` to `b`; the other way is open.
function Net:block(a, b)
  each_pair(self, a, b, 'net:block', function(x, y) self.world:block(x, y, true) end)
end

--- All paths are open again.
function Net:heal()
  for _, a in ipairs(self.nodes) do
    for _, b in ipairs(self.nodes) do
      if a ~= b then self.world:block(a.machine, b.machine, false) end
    end
  end
end

local CUT = { told = 'string', silent = 'boolean' }
local TOLD = { both = { true, true }, first = { true, false }, second = { false, true }, none = { false, false } }

--- Ends the connections between two nodes at any byte. `told`: who notices, `both`, `first`, `second` or `none`;
--- the other does when it sends, or with `silent` not even then. Returns how many there were.
---
---@param options { told: string?, silent: boolean? }?
---@return integer
function Net:cut(a, b, options)
  options = check.options(options, CUT, 3, 'net:cut')
  local told = TOLD[options.told or 'both']
  if not told then error("net:cut: told is 'both', 'first', 'second' or 'none'", 2) end
  a, b = node_of(self, a, 1, 'net:cut'), node_of(self, b, 2, 'net:cut')
  return self.world:cut(a.machine, b.machine, told[1], told[2], options.silent or false)
end

local PATH = { latency = 'seconds', jitter = 'seconds', bandwidth = 'integer', loss = 'number' }

--- How the path from `a` to `b` is from now on: seconds, bytes per second (0: no bound), share of lost segments.
function Net:path(a, b, options)
  options = check.options(options, PATH, 3, 'net:path')
  each_pair(self, a, b, 'net:path', function(x, y)
    self.world:path(x, y, options.latency or 0.0001, options.jitter or 0, options.bandwidth or 0, options.loss or 0)
  end)
end

local function is_on(node)
  local state = node:state()
  return state == 'ready' or state == 'starting'
end

local GAUGES = { 'calls_now', 'requests_now', 'requests_queued_now', 'links_now' }

--- Ends everything: heals, stops every node, and raises if one does not stop or has something left.
function Net:finish()
  if self.finished then return end
  self.finished = true
  local ok, err = pcall(function()
    self:heal()
    for _, node in ipairs(self.nodes) do
      if is_on(node) then node:resume() end
    end
    if self.before_end then self:before_end() end
    for _, node in ipairs(self.nodes) do
      if is_on(node) then self.world:stop(node.machine, 0) end
    end
    for _, node in ipairs(self.nodes) do
      if node:state() ~= 'off' then self:wait(function() return node:state() == 'over' end, JOIN) end
      local metrics = node:metrics()
      for _, gauge in ipairs(GAUGES) do
        local left = metrics[gauge] or 0
        if left ~= 0 then error(('%s is over, but %s is %d'):format(node.name, gauge, left), 0) end
      end
    end
  end)
  self.world:free()
  if not ok then error(err, 0) end
end

--- Ends everything at once, whatever is left.
function Net:drop()
  if self.finished then return end
  self.finished = true
  self.world:free()
end

local net_meta = {
  __index = function(self, key) return Net[key] or rawget(self, 'by_name')[key] end,
  __close = function(self, err)
    if err == nil then self:finish() else self:drop() end
  end,
  __name = 'perilune.sim.Net',
}

--- The names of the nodes, sorted, with what each runs.
local function wanted_nodes(options)
  local names, scripts = {}, {}
  if math.type(options.nodes) == 'integer' then
    for i = 1, options.nodes do names[i] = 'n' .. i end
  elseif type(options.nodes) == 'table' then
    for key, value in pairs(options.nodes) do
      local name = type(key) == 'string' and key or value
      check.arg(name, 'bytes', 1, 'mesh.sim')
      names[#names + 1] = name
      if type(key) == 'string' and value ~= true then scripts[name] = value end
    end
    table.sort(names)
  elseif options.nodes ~= nil then
    error('mesh.sim: nodes is a number, a list of names, or a table from names to scripts', 3)
  end
  return names, scripts
end

local SIM = { seed = 'integer', nodes = 'any', script = 'any', topology = 'string', options = 'table' }

--- A net of nodes, ready: `nodes` is a number (n1, n2, …), a list of names, or a table from names to scripts; nodes
--- without one of their own run `script`. `topology` says who is linked with whom: `full`, `line`, `ring`, `star` (the
--- first in the middle), `tree` or `random`. `options` are those of mesh.node for all.
---
---@param options { seed: integer?, nodes: any, script: any, topology: string?, options: table? }?
---@return perilune.sim.Net
return function(options)
  options = check.options(options, SIM, 1, 'mesh.sim')
  local net = setmetatable({ world = core.new(options.seed or 1), nodes = {}, by_name = {} }, net_meta)
  local names, scripts = wanted_nodes(options)
  local peers = topologies(options.topology or 'full', #names, function(n) return net.world:random(n) end)
  if not peers then error(("mesh.sim: no topology '%s'"):format(options.topology), 2) end
  for i, name in ipairs(names) do
    local given = {}
    for k, peer in ipairs(peers[i]) do given[k] = names[peer] end
    net:add(name, { script = scripts[name] or options.script, peers = given, options = options.options })
  end
  for _, node in ipairs(net.nodes) do node:launch() end
  net:wait(function()
    for _, node in ipairs(net.nodes) do
      if node:state() == 'starting' then return false end
    end
    return true
  end, JOIN)
  return net
end
