--- Resuming a session as bytes, with a neighbour that is only a spec (docs/protocol.md, 7.6).

local on_loop = require 'spec.support.on_loop'
local peers = require 'spec.support.peers'
local testing = require 'perilune.testing'

local message, errors = testing.wire.message, testing.base.err
local types, frame = peers.types, peers.frame

local SECRET = ('s'):rep(16)
local FIRST, SECOND, THIRD = ('1'):rep(16), ('2'):rep(16), ('3'):rep(16)

describe('a session that is resumed', function()
  local net, b
  before_each(function()
    net = peers.new()
    b = net:node { id = 2, name = 'b', epoch = 1, resume_window = 0.75, heartbeat = 1000 }
    b:listen 'mem://b'
  end)
  after_each(function() net:finish() end)

  --- What arrived and is not of the heartbeat.
  local function take(raw)
    net:advance(0)
    local frames = {}
    for _, f in ipairs(peers.parse(raw:take())) do
      if f.type ~= types.PING then frames[#frames + 1] = f end
    end
    return frames
  end

  local function decode(f, name)
    return assert(message.decode(name, f.body))
  end

  --- A link that is up: its raw end, and the secret of the node.
  local function greet(hello)
    local raw = net:raw 'mem://b'
    local fields = { nonce = FIRST }
    for k, v in pairs(hello or {}) do fields[k] = v end
    raw:write(peers.PREAMBLE .. peers.hello(fields) .. frame(types.READY, message.encode('ready', { secret = SECRET })))
    local frames = take(raw)
    assert.same({ types.HELLO, types.READY }, { frames[1].type, frames[2].type })
    return raw, decode(frames[2], 'ready').secret
  end

  local function proof(by_dialler, secrets, nonces, session, position)
    local said = 'perilune resume\0' .. string.char(by_dialler) .. nonces .. session .. string.pack('>i8', position)
    return on_loop.run("return require('perilune.crypto').hmac(...)", secrets, said)
  end

  --- Begins to resume over a new link: its raw end, and the nonce of the node there.
  local function redial(nonce, hello)
    local raw = net:raw 'mem://b'
    local fields = { nonce = nonce, resume = FIRST }
    for k, v in pairs(hello or {}) do fields[k] = v end
    raw:write(peers.PREAMBLE .. peers.hello(fields))
    local frames = take(raw)
    assert.equal(types.HELLO, frames[1].type)
    return raw, decode(frames[1], 'hello').nonce, frames[2]
  end

  local function resume(position, its_proof, session)
    local m = { session = session or FIRST, position = position, proof = its_proof }
    return frame(types.RESUME, message.encode('resume', m))
  end

  local function goodbye(frames)
    local f = frames[#frames]
    assert.equal(types.GOODBYE, f.type)
    return errors.name(decode(f, 'goodbye').code)
  end

  local function is_lost()
    for _, event in ipairs(b.events) do
      if event:find '^down' then return true end
    end
    return false
  end

  --- The whole of it: the raw end, and the frames from the RESUME on.
  local function go_on(nonce, its_secret, position)
    local raw, other = redial(nonce)
    raw:write(resume(position, proof(1, SECRET .. its_secret, nonce .. other, FIRST, position)))
    return raw, take(raw), other
  end

  it('gets what it has not received, and nothing else', function()
    local raw, secret = greet()
    raw:write(frame(types.CALL, 'from us', 1))
    for _, body in ipairs { 'one', 'two', 'three' } do b.raw:send(body) end
    assert.equal(3, #take(raw))
    raw:close()
    net:advance(0.1)
    b.raw:send 'four'
    local again, frames, other = go_on(SECOND, secret, 12 + 3 + 12 + 3)
    local m = decode(frames[1], 'resume')
    local ours = 12 + 7
    assert.same({ types.RESUME, FIRST, ours }, { frames[1].type, m.session, m.position })
    assert.equal(proof(0, SECRET .. secret, SECOND .. other, FIRST, ours), m.proof)
    assert.equal('three', frames[2].body)
    assert.equal('four', frames[3].body)
    assert.equal(3, #frames)
    again:write(frame(types.CALL, 'more', 1))
    net:advance(0)
    assert.same({ 'from us', 'more' }, b.frames)
    assert.is_false(is_lost())
    assert.equal('up', b:peer().state)
    assert.equal(17, net:metrics().bytes_resent)
  end)

  it('takes the last frame of a link whole or not at all', function()
    local bytes = frame(types.CALL, 'whole', 1)
    for n = 0, #bytes do
      local raw, secret = greet()
      raw:write(bytes:sub(1, n))
      net:advance(0)
      raw:close()
      net:advance(0.01)
      local again, frames = go_on(SECOND, secret, 0)
      local got = decode(frames[1], 'resume').position or 0
      assert.equal(n == #bytes and n or 0, got)
      again:write(bytes:sub(got + 1))
      net:advance(0)
      assert.same({ 'whole' }, b.frames)
      again:write(peers.goodbye())
      net:advance(1)
      b.frames = {}
    end
  end)

  it('acknowledges within 100 ms, and only what counts', function()
    local raw = greet()
    raw:write(frame(types.PING, 'x'))
    net:advance(1)
    assert.same({ types.PONG }, { take(raw)[1].type })
    local call = frame(types.CALL, ('x'):rep(88), 1)
    for i = 1, 9 do
      raw:write(call)
      net:advance(0.01)
      assert.equal(0, #take(raw), i)
    end
    net:advance(0.011)
    local frames = take(raw)
    assert.equal(1, #frames)
    assert.equal(types.ACK, frames[1].type)
    assert.equal(900, (string.unpack('>I8', frames[1].body)))
    net:advance(1)
    assert.equal(0, #take(raw))
  end)

  it('acknowledges 64 KiB at once', function()
    local raw = greet()
    raw:write(frame(types.CALL, ('x'):rep(16384 - 12), 1):rep(4))
    local frames = take(raw)
    assert.equal(types.ACK, frames[1].type)
    assert.equal(65536, (string.unpack('>I8', frames[1].body)))
  end)

  it('is told of acknowledged bytes no more', function()
    local raw, secret = greet()
    b.raw:send 'one'
    b.raw:send 'two'
    take(raw)
    raw:write(frame(types.ACK, string.pack('>I8', 15)))
    net:advance(0)
    raw:write(frame(types.ACK, string.pack('>I8', 0) .. 'later versions')) -- older: says nothing
    net:advance(0)
    assert.equal('up', b:peer().state)
    raw:close()
    net:advance(0.01)
    local _, frames = go_on(SECOND, secret, 0)
    assert.equal('PROTOCOL', goodbye(frames))
    _, frames = go_on(THIRD, secret, 15)
    assert.equal('two', frames[2].body)
  end)

  for text, body in pairs {
    ['beyond what was sent'] = string.pack('>I8', 16),
    ['far beyond it'] = ('\xff'):rep(8),
    ['of seven bytes'] = ('\0'):rep(7),
    ['of none'] = '',
  } do
    it('is ended by an acknowledgement ' .. text, function()
      local raw = greet()
      b.raw:send 'one'
      take(raw)
      raw:write(frame(types.ACK, body))
      assert.equal('PROTOCOL', goodbye(take(raw)))
      assert.is_true(is_lost())
    end)
  end

  it('is kept when somebody else tries, and goes on afterwards', function()
    local raw, secret = greet()
    b.raw:send 'one'
    take(raw)
    raw:close()
    net:advance(0.01)
    local right = SECRET .. secret
    local tries = {
      { 'FORBIDDEN', function(nonces) return resume(0, proof(1, ('x'):rep(32), nonces, FIRST, 0)) end },
      { 'FORBIDDEN', function(nonces) return resume(0, proof(1, secret .. SECRET, nonces, FIRST, 0)) end },
      { 'FORBIDDEN', function(nonces) return resume(0, proof(0, right, nonces, FIRST, 0)) end },
      { 'FORBIDDEN', function(nonces) return resume(15, proof(1, right, nonces, FIRST, 0)) end },
      { 'FORBIDDEN', function(nonces) return resume(0, proof(1, right, nonces, SECOND, 0), SECOND) end },
      { 'FORBIDDEN', function(nonces)
        return resume(0, proof(1, right, nonces:sub(17) .. nonces:sub(1, 16), FIRST, 0))
      end },
      { 'PROTOCOL', function(nonces) return resume(16, proof(1, right, nonces, FIRST, 16)) end },
      { 'PROTOCOL', function(nonces) return resume(-1, proof(1, right, nonces, FIRST, -1)) end },
      { 'PROTOCOL', function() return frame(types.RESUME, '\x80') end },
      { 'PROTOCOL', function() return frame(types.READY) end },
      { 'PROTOCOL', function() return frame(types.CALL, 'x', 1) end },
    }
    for i, try in ipairs(tries) do
      local stranger, other = redial(SECOND)
      stranger:write(try[2](SECOND .. other))
      assert.equal(try[1], goodbye(take(stranger)), i)
    end
    assert.equal(8, net:metrics().resumes_refused)
    assert.is_false(is_lost())
    local _, frames = go_on(THIRD, secret, 0)
    assert.equal('one', frames[2].body)
  end)

  it('cannot be resumed by what was heard of an earlier time', function()
    local raw, secret = greet()
    raw:close()
    net:advance(0.01)
    local second, other = redial(SECOND)
    local heard = resume(0, proof(1, SECRET .. secret, SECOND .. other, FIRST, 0))
    second:write(heard)
    assert.equal(types.RESUME, take(second)[1].type)
    local replay = redial(SECOND)
    replay:write(heard)
    assert.equal('FORBIDDEN', goodbye(take(replay)))
    assert.is_true(second:is_open())
    assert.is_false(is_lost())
  end)

  for text, hello in pairs {
    ['of another id'] = { resume = THIRD },
    ['of another node'] = { id = ('\xab'):rep(16) },
    ['of another start of the node'] = { epoch = 6 },
  } do
    it('is not one ' .. text, function()
      local raw = greet()
      raw:close()
      net:advance(0.01)
      local _, _, answer = redial(SECOND, hello)
      assert.equal('CLOSED', goodbye { answer })
      assert.is_false(is_lost())
      assert.equal(1, net:metrics().resumes_refused)
    end)
  end

  it('is not one that the node itself has dialled', function()
    local proxy = net:proxy('mem://p', 'mem://x')
    local x = net:node { id = ('aa'):rep(16), epoch = 5, name = 'x', resume_window = 0.75 }
    x:listen 'mem://x'
    b:dial 'mem://p'
    net:advance(0.01)
    local nonce = b:peer().session.nonce
    proxy:deafen(true)
    proxy:cut()
    local id = nonce:gsub('%x%x', function(h) return string.char(tonumber(h, 16)) end)
    local _, _, answer = redial(SECOND, { resume = id })
    assert.equal('CLOSED', goodbye { answer })
  end)

  it('replaces the link that it had', function()
    local raw, secret = greet()
    b.raw:send 'one'
    take(raw)
    raw:write(frame(types.CALL, 'first', 1))
    local again, frames = go_on(SECOND, secret, 0)
    assert.equal(19 - 2, decode(frames[1], 'resume').position)
    assert.equal('one', frames[2].body)
    net:advance(0)
    assert.is_false(raw:is_open())
    assert.is_true(again:is_open())
    assert.same({ 'first' }, b.frames)
  end)

  it('is over for good with its window', function()
    local raw, secret = greet()
    raw:close()
    net:advance(0.74)
    local second, other = redial(SECOND)
    net:advance(0.02)
    assert.is_true(is_lost())
    second:write(resume(0, proof(1, SECRET .. secret, SECOND .. other, FIRST, 0)))
    assert.equal('CLOSED', goodbye(take(second)))
    local _, _, answer = redial(THIRD)
    assert.equal('CLOSED', goodbye { answer })
  end)

  it('needs a secret of both ends', function()
    local raw = net:raw 'mem://b'
    raw:write(peers.PREAMBLE .. peers.hello { nonce = FIRST } .. frame(types.READY))
    assert.equal(types.READY, take(raw)[2].type)
    raw:write(frame(types.CALL, ('x'):rep(16000), 1):rep(8))
    net:advance(1)
    assert.equal(0, #take(raw)) -- and nothing is acknowledged
    raw:close()
    net:advance(0)
    assert.is_true(is_lost())
  end)

  it('is not offered by a node that does not wait', function()
    local c = net:node { id = 3, epoch = 1, name = 'c', resume_window = 0 }
    c:listen 'mem://c'
    local raw = net:raw 'mem://c'
    raw:write(peers.PREAMBLE .. peers.hello() .. frame(types.READY, message.encode('ready', { secret = SECRET })))
    assert.equal('', take(raw)[2].body)
  end)

  it('is not resumed after a goodbye', function()
    local raw = greet()
    raw:write(peers.goodbye())
    net:advance(0)
    assert.is_true(is_lost())
    local _, _, answer = redial(SECOND)
    assert.equal('CLOSED', goodbye { answer })
  end)
end)
