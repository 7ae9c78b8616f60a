--- The other end of a link to a node, which speaks the protocol byte by byte and may break it.
---
---     local s = stranger.greet(net, node)             -- handshake done
---     s:send(stranger.CALL, s:call_body { call_id = 1, action = 'x' }, { label = 1 })
---     local result = s:receive(stranger.RESULT)
---     assert.equal('PROTOCOL', s:goodbye().code)

local socket = require 'spec.support.socket'
local testing = require 'perilune.testing'
local wire, errors = testing.wire, testing.base.err
local frame, message = wire.frame, wire.message

local M = {
  HELLO = 1, PROOF = 2, READY = 3, GOODBYE = 4, PING = 5, PONG = 6, ADVERT = 7, ROUTE = 10,
  CALL = 32, BODY = 33, DATA = 34, END = 35, RESULT = 36, ERROR = 37, CREDIT = 38, CANCEL = 39, PATH_LOST = 40,
  STOP = 41, INFO = 42,
  MORE = 1, NORMAL = 8, CALLEE = 16,
  NOTHING = '\x90', -- no arguments
}

---@class spec.Stranger
local Stranger = {}
Stranger.__index = Stranger

local count = 0

local function unique(letter)
  count = count + 1
  return (letter .. ('%015d'):format(count))
end

--- A frame in bytes.
function M.frame(type, body, with)
  with = with or {}
  body = body or ''
  return frame.header(type, with.flags or 0, with.aux or 0, with.label or 0, with.len or #body) .. body
end

--- Connects without a word.
function M.dial(net, node)
  return setmetatable({ net = net, raw = net:dial(node), bytes = '', frames = {} }, Stranger)
end

--- A socket that reads only while `paused` is not set, in place of a raw link.
local Reader = {}
Reader.__index = Reader

function Reader:send(bytes) self.socket:send(bytes) end

function Reader:take()
  local bytes = not self.paused and self.socket:receive(0)
  if bytes == '' then self.closed = true end
  return bytes or ''
end

function Reader:is_closed() return self.closed end

function Reader:abort() self.socket:close() end

--- Connects with a socket, over tcp or unix, that can stop reading: `s.raw.paused = true`. Shakes hands.
function M.greet_reader(net, node, hello)
  local reader = setmetatable({ socket = socket.connect(node:url()), closed = false }, Reader)
  local self = setmetatable({ net = net, raw = reader, bytes = '', frames = {} }, Stranger)
  self:hello(hello)
  self:receive(M.READY)
  self:know_nothing()
  return self
end

--- Connects and shakes hands. `hello` adds fields.
function M.greet(net, node, hello)
  local self = M.dial(net, node)
  self:hello(hello)
  self:receive(M.READY)
  self:know_nothing()
  return self
end

--- Connects and shakes hands as one who has the key: `identity` as for perilune.testing.peer.hello.
function M.greet_keyed(net, node, identity)
  local self, rest = M.dial(net, node), ''
  local machine, out = testing.peer.hello(identity, true)
  self.raw:send(out)
  local function shake()
    rest = rest .. self.raw:take()
    local e
    repeat
      e = machine:feed(rest)
      rest = rest:sub(e.used + 1)
      self.raw:send(e.out)
      if e.step == 'ask' then self.raw:send((machine:accept())) end
    until e.step == 'more' or e.step == 'up'
    return e.step == 'up'
  end
  net:wait(shake, 'the handshake')
  self.bytes = rest
  return self
end

--- Sends its side of the handshake.
function Stranger:hello(hello)
  self:greet_only(hello)
  self:send(M.READY)
end

--- Only the first part of it.
function Stranger:greet_only(hello)
  local fields = { id = unique 'i', nonce = unique 'n', epoch = 1, name = 'stranger', message_max = 1 << 20 }
  for key, value in pairs(hello or {}) do fields[key] = value end
  self.raw:send(frame.preamble() .. M.frame(M.HELLO, message.encode('hello', fields)))
  self.skip = 8 -- the preamble of the other side
end

--- Asks for everything that the node knows of the mesh.
function Stranger:know_nothing()
  self:send(M.ROUTE, message.encode('route', { digest = message.digest {}, last = true }))
end

local HEADER = 12

--- Each frame is cut out once, or many that come together would cost as much as their square.
local function parse(self)
  local bytes, at = self.bytes .. self.raw:take(), 1
  if self.skip and #bytes >= self.skip then at, self.skip = self.skip + 1, nil end
  while not self.skip and #bytes - at + 1 >= HEADER do
    local took, f = frame.decode(bytes:sub(at, at + HEADER - 1 + string.unpack('>I4', bytes, at + 8)))
    if not took or took == 0 then break end
    at = at + took
    if f.type == M.PING then
      self:send(M.PONG, f.body)
    elseif f.type ~= M.PONG then
      self.frames[#self.frames + 1] = f
    end
  end
  self.bytes = bytes:sub(at)
end

--- Sends a frame; `with`: flags, aux, label.
function Stranger:send(type, body, with) self.raw:send(M.frame(type, body, with)) end

function Stranger:write(bytes) self.raw:send(bytes) end

--- Calls an action with no arguments, or those given in bytes.
function Stranger:call(label, action, fields, args, with)
  local m = { call_id = label, action = action }
  for key, value in pairs(fields or {}) do m[key] = value end
  with = with or {}
  self:send(M.CALL, message.encode('call', m) .. (args or M.NOTHING),
    { label = label, flags = (with.flags or 0) | M.NORMAL, aux = with.aux })
end

--- Tells of actions it does not have.
function Stranger:offer(names, fields)
  local items = {}
  for i, name in ipairs(names) do items[i] = { kind = 'action', name = name } end
  local m = { version = 1, snapshot = true, complete = true, items = message.items(items) }
  for key, value in pairs(fields or {}) do m[key] = value end
  self:send(M.ADVERT, message.encode('advert', m))
end

--- The next frame of a type, for a label if that is given; others before it are kept.
function Stranger:receive(type, label)
  local found
  local function look()
    parse(self)
    for i, f in ipairs(self.frames) do
      if f.type == type and (not label or f.label == label) then
        found = table.remove(self.frames, i)
        return true
      end
    end
    return self.raw:is_closed()
  end
  self.net:wait(look, 'a frame of type ' .. type)
  return found
end

--- The frames of circuits that have come and were not received yet.
function Stranger:waiting()
  self.net:settle()
  parse(self)
  local list = {}
  for _, f in ipairs(self.frames) do
    if f.type >= M.CALL then list[#list + 1] = f end
  end
  return list
end

--- Takes all frames of a type that have come; their number.
function Stranger:take_all(type)
  parse(self)
  local n = 0
  for i = #self.frames, 1, -1 do
    if self.frames[i].type == type then
      table.remove(self.frames, i)
      n = n + 1
    end
  end
  return n
end

--- An ERROR as a table, its code by name.
function Stranger:error(label)
  local f = assert(self:receive(M.ERROR, label), 'closed without an error')
  local m = assert(message.decode('error', f.body))
  m.code = errors.name(m.code)
  return m
end

--- What was said when the node closed the link, its code by name.
function Stranger:goodbye()
  local f = self:receive(M.GOODBYE)
  self.net:wait(function() return self.raw:is_closed() end, 'the end of the link')
  if not f then return nil end
  local m = assert(message.decode('goodbye', f.body))
  m.code = errors.name(m.code or 0)
  return m
end

function Stranger:is_closed() return self.raw:is_closed() end

function Stranger:close() self.raw:abort() end

return M
