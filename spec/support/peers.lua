--- Sessions and nodes in virtual time for specs.
---
---     local net = peers.new(seed)
---     local a, b = net:node { id = 1 }, net:node { id = 2 }
---     b:listen 'mem://b'
---     a:dial('mem://b')
---     net:advance(1)
---     net:finish()                  -- closes everything, fails on leaks

local testing = require 'perilune.testing'
local frame, message = testing.wire.frame, testing.wire.message
local mem = testing.base.mem

local M = {}

M.types = {
  HELLO = 1, PROOF = 2, READY = 3, GOODBYE = 4, PING = 5, PONG = 6, ADVERT = 7, ACK = 8, RESUME = 9,
  RETIRE = 12, CALL = 32,
}

--- The bytes of a frame.
function M.frame(type, body, label, flags)
  body = body or ''
  return string.pack('>BBI2I4s4', type, flags or 0, 0, label or 0, body)
end

M.PREAMBLE = frame.preamble()

--- The HELLO of a node that is only bytes.
function M.hello(fields)
  local m = { id = ('\xaa'):rep(16), epoch = 5, nonce = ('\xbb'):rep(16), name = 'raw' }
  for k, v in pairs(fields or {}) do m[k] = v end
  return M.frame(M.types.HELLO, message.encode('hello', m))
end

function M.goodbye(fields)
  local m = { code = 0, reason = '', allow_reconnect = true }
  for k, v in pairs(fields or {}) do m[k] = v end
  return M.frame(M.types.GOODBYE, message.encode('goodbye', m))
end

--- Cuts what a session sent into frames: a list of {type, label, body}, after the preamble.
function M.parse(bytes)
  local frames, at = {}, 1
  if bytes:sub(1, 4) == M.PREAMBLE:sub(1, 4) then at = #M.PREAMBLE + 1 end
  while at <= #bytes do
    local type, _, _, label, body, next_at = string.unpack('>BBI2I4s4', bytes, at)
    frames[#frames + 1] = { type = type, label = label, body = body }
    at = next_at
  end
  return frames
end

---@class spec.PeerNet
---@field real boolean
---@field inner boolean? Lives inside another one, which looks for leaks.
local Net = {}
Net.__index = Net

function M.new(seed)
  local live = mem.live()
  local net = { real = seed == 'real', live = live, nodes = {}, ends = {}, raws = {}, proxies = {} }
  net.world = testing.peer.world(seed)
  return setmetatable(net, Net)
end

function Net:advance(seconds)
  self.world:advance(seconds)
end

--- Advances until `done()`, at most some seconds.
function Net:wait(done, what)
  for _ = 1, 1000 do
    if done() then return end
    self:advance(0.01)
  end
  error('waited in vain for ' .. what, 2)
end

function Net:now()
  return self.world:now()
end

function Net:metrics()
  return self.world:metrics()
end

---@class spec.SessionEnd
local End = {}
End.__index = End

local function new_end(hooks)
  local e = setmetatable({ events = {}, frames = {}, hooks = hooks or {} }, End)
  e.handler = function(event, ...)
    e.events[#e.events + 1] = event
    if event == 'hello' then e.hello = ... end
    if event == 'frame' then
      local type, label, body, owned = ...
      e.frames[#e.frames + 1] = { type = type, label = label, body = body, owned = owned }
    elseif event == 'down' then
      e.why, e.detail, e.goodbye = ...
    end
    if e.hooks[event] then return e.hooks[event](e, ...) end
  end
  return e
end

function End:state()
  return self.session:state()
end

--- Two sessions that dial each other over memory; the dialling one first.
function Net:pair(identity_a, identity_b, hooks_a, hooks_b)
  local a, b = new_end(hooks_a), new_end(hooks_b)
  a.session, b.session = self.world:sessions(identity_a or { id = 1 }, a.handler, identity_b or { id = 2 }, b.handler)
  self.ends[#self.ends + 1], self.ends[#self.ends + 2] = a, b
  return a, b
end

--- A session whose other end is raw bytes.
function Net:session(identity, dialler, hooks)
  local e = new_end(hooks)
  e.session, e.raw = self.world:session(identity or { id = 1 }, e.handler, dialler)
  self.ends[#self.ends + 1] = e
  return e
end

--- The same, brought up.
function Net:up(identity, hooks)
  local e = self:session(identity, false, hooks)
  e.raw:write(M.PREAMBLE .. M.hello() .. M.frame(M.types.READY))
  self:advance(0)
  assert(e:state() == 'up', 'the session is up')
  e.raw:take()
  return e
end

--- A link to `url` that is only bytes.
function Net:raw(url)
  local raw = self.world:raw(url)
  self.raws[#self.raws + 1] = raw
  return raw
end

--- A listener at `url` that passes bytes on to `target`, and cuts links as it is told (testing_proxy.c).
function Net:proxy(url, target)
  local proxy = self.world:proxy(url, target)
  self.proxies[#self.proxies + 1] = proxy
  return proxy
end

---@class spec.PeerNode
local Node = {}
Node.__index = Node

--- A node; what happens to it is in `events`, as "state up", "session", "down PEER_LOST"...
function Net:node(options, hooks)
  local n = setmetatable({ net = self, events = {}, dialled = {}, frames = {}, hooks = hooks or {} }, Node)
  n.raw = self.world:node(options, function(event, peer, second, third, fourth, fifth)
    if options.counts then return n.hooks[event] and n.hooks[event](n, peer, second, third, fourth, fifth) end
    local text = event
    if event == 'state' then
      text = second .. ' -> ' .. peer.state
    elseif event == 'down' then
      text = 'down ' .. third
      n.detail = fourth
    elseif event == 'frame' then
      n.frames[#n.frames + 1] = third
    end
    n.events[#n.events + 1] = text
    if n.hooks[event] then n.hooks[event](n, peer, second, third, fourth) end
  end)
  self.nodes[#self.nodes + 1] = n
  return n
end

function Node:listen(url)
  return self.raw:listen(url)
end

--- Dials; the results gather in `dialled`, as {code, detail, peer, at}.
function Node:dial(url, keep, done)
  local function told(code, detail, peer)
    self.dialled[#self.dialled + 1] = { code = code, detail = detail, peer = peer, at = self.net:now() }
    if done then done(code, detail, peer) end
  end
  return self.raw:dial(url, keep ~= false, told)
end

function Node:peers()
  return self.raw:peers()
end

--- The one peer, which must be the only one.
function Node:peer()
  local list = self.raw:peers()
  assert(#list == 1, ('%d peers'):format(#list))
  return list[1]
end

--- The states its peers went through, in order.
function Node:states()
  local out = {}
  for _, event in ipairs(self.events) do
    if event:find ' %-> ' then out[#out + 1] = event end
  end
  return out
end

function Net:shutdown(node, reason)
  if node.stopping then return end
  node.stopping = true
  node.raw:shutdown(reason)
end

--- Ends whatever is left. Sessions, memory and the loop must be gone afterwards.
function Net:finish()
  for _, n in ipairs(self.nodes) do self:shutdown(n) end
  for _, e in ipairs(self.ends) do
    if e:state() then e.session:abort() end
    if e.raw then e.raw:close() end
  end
  for _, raw in ipairs(self.raws) do raw:close() end
  for _, proxy in ipairs(self.proxies) do proxy:close() end
  self:advance(self.real and 0.1 or 5)
  for _, raw in ipairs(self.raws) do
    assert(not raw:is_open(), 'a link did not end')
    raw:free()
  end
  for _, n in ipairs(self.nodes) do assert(n.raw:is_free(), 'a node did not stop') end
  for _, e in ipairs(self.ends) do
    assert(e:state() == nil, 'a session did not end')
    if e.raw then
      assert(not e.raw:is_open(), 'a link did not end')
      e.raw:free()
    end
  end
  self.world:free()
  -- Less is what the garbage collector found meanwhile of specs before.
  assert(self.inner or mem.live() <= self.live, 'memory was not given back')
end

--- Two nodes of `net`, the second one listening at mem://b.
function M.two(net, options_a, options_b)
  local function options(id, more)
    local o = { id = id, name = 'node ' .. id, epoch = 1 }
    for k, v in pairs(more or {}) do o[k] = v end
    return o
  end
  local a, b = net:node(options(1, options_a)), net:node(options(2, options_b))
  assert(b:listen 'mem://b' == 'mem://b')
  return a, b
end

return M
