--- Two nodes that dial each other, and a model of calls on the links between them: what a service
--- keeps of circuits, in virtual time and in an order from a seed. Links are as fast or slow as
--- chance wants; a CALL may wait at its node for its turn to be written, and so may an answer.
---
---     local world = crossing.new(seed, { dials = 3, cuts = true })
---     world:run(200)                 -- dials, calls, cuts, ...
---     world:calm()                   -- everything that is under way ends
---     world.lost                     -- calls that were not answered

local peers = require 'spec.support.peers'

local M = {}

local CALL, RESULT = 32, 36

---@class spec.Crossing
local World = {}
World.__index = World

--- A number of 1 to n, the same for the same seed wherever it runs.
function World:below(n)
  self.state = (self.state * 6364136223846793005 + 1442695040888963407) & 0x7fffffffffffffff
  return (self.state >> 33) % n + 1
end

--- Something is to be written or done on session `s`, some time later.
function World:later(s, act)
  self.pending[#self.pending + 1] = { session = s, act = act }
end

local function settle(world, call, how)
  assert(not call.settled, 'a call settled twice')
  call.settled = how
  if how ~= 'answered' then world.lost[#world.lost + 1] = call end
end

local function session_of(world, side, session)
  local s = side.sessions[session.handle]
  if s then return s end
  s = { handle = session.handle, nonce = session.nonce, calls = {}, requests = {}, opened = 0, taken = 0,
    label = session.dialler and 1 or 2 }
  side.sessions[session.handle] = s
  side.seen[session.nonce] = true
  if world.gone[session.nonce] then world.half[session.nonce] = true end
  return s
end

local function on_call(world, side, s, label)
  assert(not s.requests[label], 'a call arrived twice')
  s.requests[label] = true
  s.taken = s.taken + 1
  world:later(s, function()
    side.node.raw:put(s.handle, RESULT, label)
    s.requests[label] = nil
    s.taken = s.taken - 1
    if s.taken + s.opened == 0 then side.node.raw:idle(s.handle) end
  end)
end

local function on_result(world, side, s, label)
  local call = assert(s.calls[label], 'an answer that nobody waits for')
  s.calls[label] = nil
  s.opened = s.opened - 1
  settle(world, call, 'answered')
  if s.opened == 0 then side.node.raw:idle(s.handle) end
end

local function on_down(world, side, session, why, detail)
  local s = session_of(world, side, session)
  side.sessions[session.handle] = nil
  s.dead = true
  world.gone[s.nonce] = true
  if side.current == s then side.current = nil end
  for label, call in pairs(s.calls) do
    s.calls[label] = nil
    call.why, call.detail, call.nonce = why, detail, s.nonce
    settle(world, call, 'lost')
  end
end

local function new_side(world, options)
  local side = { sessions = {}, seen = {}, dials = {} }
  side.node = world.net:node(options, {
    session = function(_, _, session) side.current = session_of(world, side, session) end,
    unkept = function(_, _, session)
      if side.current == session_of(world, side, session) then side.current = nil end
    end,
    frame = function(_, _, session, _, type, label)
      local on = type == CALL and on_call or on_result
      on(world, side, session_of(world, side, session), label)
    end,
    down = function(_, _, session, why, detail) on_down(world, side, session, why, detail) end,
    circuits = function(_, session)
      local s = session_of(world, side, session)
      return s.opened + s.taken
    end,
    opened = function(_, session) return session_of(world, side, session).opened end,
  })
  return side
end

--- `options`: dials (each way), at_once (they begin together), resume_window, cuts, unaware (of
--- these an end may learn only by its heartbeat), unkeeps.
function M.new(seed, options)
  local net = peers.new(seed)
  local world = setmetatable({ net = net, state = seed * 2 + 1, options = options, pending = {}, calls = {},
    lost = {}, proxies = {}, cuts = 0, half = {}, gone = {} }, World)
  for i = 1, 2 do
    world[i] = new_side(world, { id = i, name = 'node ' .. i, counts = true, heartbeat = 0.5,
      resume_window = options.resume_window or 0 })
    world[i].node:listen('mem://' .. i)
  end
  for i = 1, 2 do
    for n = 1, options.dials do
      world.proxies[#world.proxies + 1] = net:proxy(('mem://to%d-%d'):format(3 - i, n), 'mem://' .. 3 - i)
      if options.at_once then world:dial(i, n) end
    end
  end
  return world
end

function World:dial(i, n)
  local side = self[i]
  if side.dials[n] then return end
  side.dials[n] = side.node:dial(('mem://to%d-%d'):format(3 - i, n))
end

function World:unkeep(i, n)
  local dial = self[i].dials[n]
  self[i].dials[n] = nil
  if dial then dial:unkeep() end
end

function World:open(i)
  local side = self[i]
  local s = side.current
  if not s then return end
  local label = s.label
  local call = { label = label }
  s.label = label + 2
  s.calls[label] = call
  s.opened = s.opened + 1
  self.calls[#self.calls + 1] = call
  local function write() side.node.raw:put(s.handle, CALL, label) end
  if self:below(2) == 1 then write() else self:later(s, write) end
end

--- One thing that waited is done, or dropped with its session.
function World:act()
  if #self.pending == 0 then return end
  local p = table.remove(self.pending, self:below(#self.pending))
  if not p.session.dead then p.act() end
end

function World:cut()
  self.cuts = self.cuts + 1
  for i = 1, 2 do
    for nonce in pairs(self[i].seen) do
      if not self[3 - i].seen[nonce] then self.half[nonce] = true end
    end
  end
  local proxy = self.proxies[self:below(#self.proxies)]
  proxy:leave_unaware(self.options.unaware and ({ 'from', 'to' })[self:below(3)] or nil)
  proxy:cut()
end

local function step(world)
  local options, kind, i = world.options, world:below(12), world:below(2)
  if kind <= 3 then
    world:open(i)
  elseif kind <= 6 then
    world:act()
  elseif kind <= 7 then
    world:dial(i, world:below(options.dials))
  elseif kind == 8 and options.unkeeps and world:below(6) == 1 then
    world:unkeep(i, world:below(options.dials))
  elseif kind == 8 and options.cuts and world:below(4) == 1 then
    world:cut()
  elseif kind <= 11 then
    world.net.world:shake(world:below(6))
  else
    world.net:advance(0.001 * world:below(4))
  end
end

function World:run(steps)
  for _ = 1, steps do step(self) end
end

--- Both keep all their addresses, and what is under way ends.
function World:calm()
  for i = 1, 2 do
    for n = 1, self.options.dials do self:dial(i, n) end
  end
  for _ = 1, 50 do
    while #self.pending > 0 do self:act() end
    self.net:advance(0.3)
  end
end

--- A link that was up at one end only when it was cut cannot go on.
local function was_half(world, call)
  local refused = call.detail:find 'no such session' or call.detail:find 'not back within'
  local never = not (world[1].seen[call.nonce] and world[2].seen[call.nonce])
  return (never or world.half[call.nonce]) and refused
end

--- Calls that were lost though their link was not. None should be.
function World:unjustly()
  local list = {}
  for _, call in ipairs(self.lost) do
    local cut = self.cuts > 0 and call.why == 'PEER_LOST'
    local may = cut and (not self.options.resume_window or was_half(self, call))
    if not may then list[#list + 1] = call end
  end
  return list
end

function World:finish()
  self.net:finish()
end

return M
