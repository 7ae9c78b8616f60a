--- Nodes as real processes that specs can talk to, for functional specs.
---
---     local b = nodes.start('b', { listen = 'tcp' }, "mesh.action('one', function() return 1 end)")
---     local a = nodes.start('a', { peers = { b } })
---     assert.equal(1, a:eval "return mesh.call 'one'")
---     local call = a:begin("mesh.call 'slow'")
---     b.process:kill 'KILL'
---     assert.equal('PEER_LOST', call:failure().code)
---
--- Code for a node is a text; it finds `mesh`, and its arguments as `...`. Arguments and results travel as JSON. What
--- a node begins runs beside all else in it. Every wait is bounded; processes end with the test.

local json = require 'dkjson'
local lfs = require 'lfs'
local process = require 'spec.support.process'

local M = {}

-- Commands come as lines of JSON on standard input, answers go out as lines that begin with "@".
local CONSOLE = [[
local json = require 'perilune.json'
local stdio = require 'perilune.stdio'

local function describe(err)
  if type(err) ~= 'table' then return { text = tostring(err) } end
  return {
    code = err.code, outcome = err.outcome, message = err.message, retry_after = err.retry_after,
    node = err.node, action = err.action, text = tostring(err),
  }
end

local function answer(id, ok, ...)
  local n = select('#', ...)
  local reply = { id = id, ok = ok, n = n, results = json.array({ ... }, n) }
  if not ok then reply.results = { describe((...)) } end
  stdio.write('@' .. json.encode(reply) .. '\n')
end

mesh.spawn(function()
  for line in stdio.lines() do
    local request = json.decode(line)
    mesh.spawn(function()
      local code, why = load(request.code, '=eval', 't')
      if not code then return answer(request.id, false, why) end
      answer(request.id, pcall(code, table.unpack(request.args or {})))
    end)
  end
end)
]]

---@class spec.Eval Code that runs in a node.
local Eval = {}
Eval.__index = Eval

---@class spec.NodeProcess
---@field process spec.Process
---@field name string
---@field id string
local Node = {}
Node.__index = Node

--- Takes the answers that have come.
local function collect(self)
  while true do
    local line, after = self.process:stdout():match('([^\n]*)\n()', self.read_up_to)
    if not line then return end
    self.read_up_to = after
    if line:sub(1, 1) == '@' then
      local reply = json.decode(line:sub(2))
      reply.at = process.now()
      self.replies[reply.id] = reply
    end
  end
end

---@return boolean
function Eval:ended()
  collect(self.node)
  return self.node.replies[self.id] ~= nil
end

local function reply(self, timeout)
  if not self:ended() then
    self.node.process:wait_until(function() return self:ended() end, timeout)
  end
  return self.node.replies[self.id]
end

--- Waits for its end. Returns what the code returned, or raises the text of its error.
---@param timeout number?
function Eval:wait(timeout)
  local r = reply(self, timeout)
  if not r.ok then error('in node ' .. self.node.name .. ': ' .. r.results[1].text, 2) end
  return table.unpack(r.results, 1, r.n)
end

--- Waits for its failure. Returns the fields of the error, and when it was known here.
---@param timeout number?
function Eval:failure(timeout)
  local r = reply(self, timeout)
  if r.ok then error('it did not fail', 2) end
  return r.results[1], r.at
end

--- Starts code in the node.
---@return spec.Eval
function Node:begin(code, ...)
  self.last_id = self.last_id + 1
  local request = { id = self.last_id, code = code, args = { n = select('#', ...), ... } }
  self.process:write(json.encode(request) .. '\n')
  return setmetatable({ node = self, id = self.last_id }, Eval)
end

--- Runs code in the node to its end.
function Node:eval(code, ...) return self:begin(code, ...):wait() end

--- Runs code that must fail.
function Node:fails(code, ...) return (self:begin(code, ...):failure()) end

--- The counters of the node.
---@return table<string, integer>
function Node:metrics() return self:eval 'return mesh.metrics()' end

--- Waits until `code`, which is asked again and again, returns what is true, and returns that.
---@param timeout number?
function Node:wait_for(code, timeout)
  local deadline = process.now() + (timeout or 10) * process.patience
  while true do
    local found = self:eval(code)
    if found then return found end
    if process.now() > deadline then self.process:fail('in vain: ' .. code, 2) end
    process.sleep(0.02)
  end
end

---@param node table
---@param what string
local function memory(node, what)
  local file <close> = assert(io.open(('/proc/%d/status'):format(node.process.pid)))
  return math.tointeger(file:read('a'):match(what .. ':%s+(%d+) kB')) * 1024
end

--- Resident memory in bytes.
---@return integer
function Node:rss() return memory(self, 'VmRSS') end

--- The most that it has been since `forget_peak`, in bytes.
---@return integer
function Node:peak_rss() return memory(self, 'VmHWM') end

function Node:forget_peak()
  local file <close> = assert(io.open(('/proc/%d/clear_refs'):format(self.process.pid), 'w'))
  assert(file:write '5')
end

local TICKS = 100 -- a second, in /proc

--- CPU seconds used so far.
---@return number
function Node:cpu()
  local file <close> = assert(io.open(('/proc/%d/stat'):format(self.process.pid)))
  local fields = {}
  for word in file:read('a'):match('.*%) (.*)'):gmatch '%S+' do fields[#fields + 1] = word end
  return (fields[12] + fields[13]) / TICKS -- utime and stime
end

--- Seconds that its main thread has waited for a processor, because the machine did other things.
---@return number
function Node:waited()
  local file <close> = assert(io.open(('/proc/%d/schedstat'):format(self.process.pid)))
  return tonumber(file:read('a'):match '^%d+ (%d+)') / 1e9
end

--- Whether a sanitizer watches it, which takes memory of its own.
---@return boolean
function Node:is_sanitized()
  local file <close> = assert(io.open(('/proc/%d/maps'):format(self.process.pid)))
  return file:read('a'):find 'lib[at]san' ~= nil
end

--- How many descriptors it has open.
---@return integer
function Node:descriptors()
  local count = 0
  for name in lfs.dir(('/proc/%d/fd'):format(self.process.pid)) do
    if name:sub(1, 1) ~= '.' then count = count + 1 end
  end
  return count
end

local function address(kind)
  if kind == 'unix' then return ('unix://%s/n.sock'):format(process.temp_dir()) end
  return 'tcp://127.0.0.1:' .. process.free_port()
end

M.address = address

---@class spec.NodeProcessOptions
---@field listen string? A URL, or `'tcp'`, `'unix'`.
---@field peers (string|spec.NodeProcess)[]?
---@field flags string[]? More of the command line.
---@field before string[]? A command that runs it, such as prlimit.
---@field env table<string, string|false>?

local function command_line(name, options)
  local argv = { table.unpack(options.before or {}) }
  -- A machine that is busy with other things is no lost peer; `flags` may say otherwise.
  for _, word in ipairs { process.perilune, 'run', 'main.lua', '--name', name, '--heartbeat=10' } do
    argv[#argv + 1] = word
  end
  local listen = options.listen
  if listen == 'tcp' or listen == 'unix' then listen = address(listen) end
  if listen then argv[#argv + 1] = '--listen=' .. listen end
  for _, peer in ipairs(options.peers or {}) do
    argv[#argv + 1] = '--peer=' .. (type(peer) == 'table' and peer.url or peer)
  end
  for _, flag in ipairs(options.flags or {}) do argv[#argv + 1] = flag end
  return argv, listen
end

--- Starts a node and waits until it is ready.
---@param name string
---@param options spec.NodeProcessOptions?
---@param script string? Before the first code of the spec; finds `mesh`.
---@return spec.NodeProcess
function M.start(name, options, script)
  options = options or {}
  local argv, listen = command_line(name, options)
  local dir = process.temp_dir {
    ['main.lua'] = "mesh = require 'perilune' mesh.nodes() " .. (script or '') .. '\n' .. CONSOLE,
  }
  local p = process.start(argv, { cwd = dir, stdin = true, env = options.env })
  local self = setmetatable({
    process = p, name = name, url = listen, replies = {}, read_up_to = 1, last_id = 0,
  }, Node)
  self.id = p:wait_line '^ready name=%S+ id=(%x+)'
  return self
end

return M
