--- Nodes with scripts in one process, for functional specs.
---
---     local net = cluster.new 'mem'                  -- or 'tcp', 'unix'
---     local b = net:node('b', {}, function() mesh.action('add', function(x, y) return x + y end) end)
---     local a = net:node('a', { peers = { b } })
---     assert.equal(5, a:eval(function() return mesh.call('add', 2, 3) end))
---     net:finish()                                   -- stops everything, fails on leaks
---
--- Over `mem` time is virtual: it moves in `advance` and `wait` only. Code for a node is a function
--- without upvalues or a text; it finds `mesh`, and `report`, which hands values to the spec.

local testing = require 'perilune.testing'
local native, mem, process = testing.cluster, testing.base.mem, testing.process

local M = {}

M.null = native.null
M.kinds = { 'mem', 'tcp', 'unix' }

-- How much slower than a plain build: for waits in real time.
M.factor = tonumber(os.getenv 'PERILUNE_SPEC_PATIENCE') or 1

local PATIENCE = 20 * M.factor
local VIRTUAL_STEP = 0.001
local QUIET, QUIET_MAX = 0.002, 50 -- seconds without traffic, and how often to look for them

local function dump(code)
  return type(code) == 'function' and string.dump(code) or code
end

---@class spec.Eval Code that runs in a node.
local Eval = {}
Eval.__index = Eval

function Eval:ended() return self.task:state() ~= 'running' end

function Eval:state() return self.task:state() end

--- Waits for the end. Returns what the code returned, or raises its error.
function Eval:wait()
  self.net:wait(function() return self:ended() end, 'the end of code in ' .. self.node.name)
  local results = assert(self.task:results(), 'no results')
  if self:state() ~= 'done' then error(results[1], 0) end
  return table.unpack(results, 1, results.n)
end

--- Waits for its failure and returns the error.
function Eval:failure()
  self.net:wait(function() return self:ended() end, 'the end of code in ' .. self.node.name)
  assert(self:state() ~= 'done', 'it did not fail')
  return self.task:results()[1]
end

function Eval:cancel(message) self.task:cancel(message) end

---@class spec.Node
local Node = {}
Node.__index = Node

--- Starts code in the node.
---@return spec.Eval
function Node:start(code, ...)
  return setmetatable({ net = self.net, node = self, task = self.host:eval(dump(code), ...) }, Eval)
end

--- Runs code in the node to its end; an error is raised as it is (a table with `text` for an error object).
function Node:eval(code, ...) return self:start(code, ...):wait() end

--- Runs code that must fail; returns the error.
function Node:fails(code, ...) return self:start(code, ...):failure() end

function Node:ready()
  local ready = self.host:state()
  return ready
end

function Node:over()
  local _, over, code = self.host:state()
  return over, code
end

--- Everything its script reported, each as a list with `n`.
function Node:reports() return self.host:reports() end

--- The first values of all reports.
function Node:reported()
  local list = {}
  for i, values in ipairs(self.host:reports()) do list[i] = values[1] end
  return list
end

function Node:wait_reports(n)
  self.net:wait(function() return #self:reports() >= n end, n .. ' reports')
end

function Node:id() return (self.host:node()) end

function Node:addresses() return (select(2, self.host:node())) end

--- An address to dial it.
function Node:url()
  local url = self:addresses()[1]
  return url or error(self.name .. ' does not listen', 2)
end

--- Loads its script anew, with another text or function.
function Node:reload(main)
  assert(self.host:reload(self.name, main and dump(main)), 'no reload')
end

--- The same, and waits until it is over.
function Node:reloaded(main)
  local before = #self:reloads()
  self:reload(main)
  self.net:wait(function() return #self:reloads() > before end, 'a reload of ' .. self.name)
  return self:reloads()[before + 1]
end

--- As the watch of its files does when they are others: its script is loaded anew, also when it loads. Returns false
--- when the watch has to let it load.
function Node:change(main) return self.host:change(self.name, dump(main)) end

--- What came of its reloads: `{ generation = 2, text = '+added -removed ~replaced' }`, or with `failure`.
function Node:reloads() return self.host:reloads() end

function Node:stop(drain) self.host:stop(drain) end

--- Stops it and waits for its end; returns the exit code.
function Node:finish(drain)
  if not self:over() then self.host:stop(drain) end
  self.net:wait(function() return (self:over()) end, 'the end of ' .. self.name)
  return select(2, self:over())
end

function Node:memory() return self.host:memory() end

---@class spec.Cluster
local Cluster = {}
Cluster.__index = Cluster

---@param kind 'mem'|'tcp'|'unix'
---@return spec.Cluster
function M.new(kind)
  kind = kind or 'mem'
  local self = setmetatable({ kind = kind, virtual = kind == 'mem', nodes = {}, raws = {}, proxies = {} }, Cluster)
  self.live = mem.live()
  self.native = native.new(self.virtual and 'virtual' or 'real')
  return self
end

function Cluster:folder()
  self.temporary = self.temporary or process.make_temp_dir()
  return self.temporary
end

local function listen_url(self, name)
  if self.kind == 'mem' then return 'mem://' .. name end
  if self.kind == 'tcp' then return 'tcp://127.0.0.1:0' end
  return ('unix://%s/%s.sock'):format(self:folder(), name)
end

--- Starts a node and waits until it is ready, or over. Options are those of mesh.node; `peers` may hold nodes;
--- `listen = false`: it does not listen, so it ends with its script.
---@return spec.Node
function Cluster:node(name, options, main)
  local node = self:launch(name, options, main)
  self:wait(function() return node:ready() or (node:over()) end, name .. ' to be ready')
  return node
end

--- Starts a node without waiting.
function Cluster:launch(name, options, main)
  local given = { name = name, listen = { listen_url(self, name) } }
  for key, value in pairs(options or {}) do given[key] = value end
  given.mesh = given.mesh or '' -- never the local mesh of the user
  if given.listen == false then given.listen = nil end
  if given.peers then
    local urls = {}
    for i, peer in ipairs(given.peers) do urls[i] = type(peer) == 'table' and peer:url() or peer end
    given.peers = urls
  end
  local code = main and dump(main) or "mesh = require 'perilune'"
  local node = setmetatable({ net = self, name = name }, Node)
  node.host = self.native:host(name, code, given)
  self.nodes[#self.nodes + 1] = node
  return node
end

--- A connection without a protocol to a node or an address, open.
function Cluster:dial(target)
  local raw = self.native:dial(type(target) == 'table' and target:url() or target)
  self.raws[#self.raws + 1] = raw
  self:wait(function() return raw:is_open() or raw:is_closed() end, 'a connection')
  return raw
end

--- A listener that passes bytes on to a node, and cuts links as it is told (testing_proxy.c).
function Cluster:proxy(node)
  local proxy = self.native:proxy(listen_url(self, node.name .. '-proxy'), node:url())
  self.proxies[#self.proxies + 1] = proxy
  return proxy
end

--- Seconds of the loop's clock.
function Cluster:now() return self.native:now() end

--- How long what should take `seconds` may take: in virtual time so long, in real time what a busy machine needs.
function Cluster:within(seconds) return self.virtual and seconds or seconds + 2 * M.factor end

local function traffic(self)
  local m = self:metrics()
  return m.bytes_read + m.bytes_written + m.dials + m.links_closed
end

--- Lets time go on. In real time it waits so long; and until nothing comes any more, for a bounded while, because a
--- process that was not let run in that time has not done what it would have.
function Cluster:advance(seconds)
  if self.virtual then return self.native:run(seconds) end
  local deadline = process.now() + seconds
  repeat self.native:run(math.max(0, deadline - process.now())) until process.now() >= deadline
  for _ = 1, QUIET_MAX do
    local before = traffic(self)
    self.native:run(QUIET)
    if traffic(self) == before then return end
  end
end

--- Runs until `done()`. An error after a while that names `what`.
function Cluster:wait(done, what)
  if done() then return end
  local deadline = process.now() + PATIENCE
  repeat
    if self.virtual then
      self.native:run(VIRTUAL_STEP)
    else
      self.native:run(0.02)
    end
    if process.now() > deadline then error('waited in vain for ' .. (what or 'something'), 2) end
  until done()
end

--- Lets everything that is under way come to rest.
function Cluster:settle() self:advance(self.virtual and 0.001 or 0.03) end

--- Runs until nodes have told each other what they know of the mesh.
function Cluster:converge()
  local before
  repeat
    before = self:metrics().adverts_sent
    self:advance(0.1)
  until self:metrics().adverts_sent == before
end

function Cluster:metrics() return self.native:metrics() end

function Cluster:log() return self.native:log() end

--- A group of specs for each kind of link: `over.net` is a cluster, ended after each.
---
---@param text string
---@param kinds string[]
---@param body fun(over: { net: spec.Cluster, kind: string })
function M.describe(text, kinds, body)
  local busted = require 'busted'
  for _, kind in ipairs(kinds) do
    busted.describe(('%s over %s'):format(text, kind), function()
      local over = { kind = kind }
      busted.before_each(function() over.net = M.new(kind) end)
      busted.after_each(function()
        local net = over.net
        over.net = nil
        local ok, message = pcall(net.finish, net)
        if not ok then error(tostring(message) .. '\n' .. net.last_log, 0) end
      end)
      body(over)
    end)
  end
end

local GAUGES = {
  'calls_now', 'requests_now', 'requests_queued_now', 'tasks_now', 'links_now', 'relays_now', 'relay_bytes_now',
  'streams_kept_now',
}

--- Ends everything. Memory, tasks, calls and links must be gone.
function Cluster:finish()
  self.last_log = self:log()
  for _, raw in ipairs(self.raws) do raw:abort() end
  for _, proxy in ipairs(self.proxies) do proxy:close() end
  for _, node in ipairs(self.nodes) do
    if not node:over() then node.host:stop(0) end
  end
  for _, node in ipairs(self.nodes) do
    self:wait(function() return (node:over()) end, 'the end of ' .. node.name)
  end
  self:wait(function()
    for _, raw in ipairs(self.raws) do
      if not raw:is_closed() then return false end
    end
    return true
  end, 'the end of raw connections')
  self:settle()
  for _, raw in ipairs(self.raws) do raw:clear() end
  for _, node in ipairs(self.nodes) do node.host:free() end
  local metrics = self:metrics()
  self.last_log = self:log()
  self.native:free()
  if self.temporary then os.execute(('rm -rf %q'):format(self.temporary)) end
  for _, gauge in ipairs(GAUGES) do
    assert(metrics[gauge] == 0, ('%s is %d after the end'):format(gauge, metrics[gauge]))
  end
  local left = mem.live() - self.live
  assert(left == 0, ('%d blocks of memory were not given back'):format(left))
end

return M
