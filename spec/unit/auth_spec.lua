--- runtime/peer/auth and auth_psk, driven through the handshake: who is let in, and who is not.

local on_loop = require 'spec.support.on_loop'
local peers = require 'spec.support.peers'
local testing = require 'perilune.testing'
local types, frame = peers.types, peers.frame
local message = testing.wire.message

after_each(function() collectgarbage() end) -- a machine that was left holds a HELLO

local KEY, OTHER = 'correct horse battery', 'staple of another mesh'

local function texts(...)
  local parts = { string.char(0x90 + select('#', ...)) }
  for i, text in ipairs { ... } do parts[i + 1] = string.char(0xa0 + #text) .. text end
  return table.concat(parts)
end

--- One end of a handshake that keeps what it said, and takes what it is given to the end.
local End = {}
End.__index = End

local function new_end(identity, dialler, nonce)
  local e = setmetatable({ said = '', asked = false }, End)
  e.machine, e.said = testing.peer.hello(identity, dialler, nonce)
  e.unsent = e.said
  return e
end

local function say(self, bytes)
  self.said, self.unsent = self.said .. bytes, self.unsent .. bytes
end

--- What it has to say since the last time.
function End:take()
  local bytes = self.unsent
  self.unsent = ''
  return bytes
end

function End:hear(bytes)
  local rest = (self.rest or '') .. bytes
  while rest ~= '' and not self.is_up and not self.refusal do
    local e = self.machine:feed(rest)
    say(self, e.out)
    rest = rest:sub(e.used + 1)
    if e.step == 'more' then break end
    if e.step == 'ask' then
      self.asked = true
      local out, up = self.machine:accept()
      say(self, out)
      self.is_up = up
    end
    if e.step == 'up' then self.is_up = true end
    if e.step == 'broken' or e.step == 'left' then self.refusal = e end
  end
  self.rest = rest
end

local function dialler(psk, fields)
  local identity = { id = 1, name = 'one', epoch = 5, psk = psk }
  for k, v in pairs(fields or {}) do identity[k] = v end
  return new_end(identity, true, identity.nonce or 11)
end

local function listener(psk, fields)
  local identity = { id = 2, name = 'two', epoch = 6, psk = psk }
  for k, v in pairs(fields or {}) do identity[k] = v end
  return new_end(identity, false, identity.nonce or 22)
end

--- Lets two ends talk until neither has more to say; what passes may be changed on the way.
local function talk(a, b, change)
  repeat
    local to_b = a:take()
    b:hear(change and change(to_b, 'b') or to_b)
    local to_a = b:take()
    a:hear(change and change(to_a, 'a') or to_a)
  until a.unsent == '' and b.unsent == ''
end

local function assert_refused(e, detail, reason)
  assert.is_nil(e.is_up)
  assert.is_false(e.asked)
  assert.equal('UNAUTHORIZED', e.refusal.err)
  if detail then assert.equal(detail, e.refusal.detail) end
  if reason then assert.equal(reason, e.refusal.reason) end
end

describe('two ends', function()
  it('with the same key are linked, and know each other by it', function()
    local a, b = dialler(KEY), listener(KEY)
    talk(a, b)
    assert.is_true(a.is_up)
    assert.is_true(b.is_up)
    assert.equal('\xa3psk', a.machine:identity())
    assert.equal('\xa3psk', b.machine:identity())
    local proofs = {}
    for _, f in ipairs(peers.parse(a.said .. b.said:sub(9))) do
      if f.type == types.PROOF then proofs[#proofs + 1] = #f.body end
    end
    assert.same({ 32, 32 }, proofs)
  end)

  it('without any are linked as before', function()
    local a, b = dialler(), listener()
    talk(a, b)
    assert.is_true(a.is_up and b.is_up)
    assert.equal('', a.machine:identity())
  end)

  it('of which one has none are refused by both, each with words of its own', function()
    local theirs = 'the other end asks for a pre-shared key, this node has none (option psk)'
    local ours = 'the other end has no pre-shared key (option psk)'
    for _, keys in ipairs { { KEY, nil }, { nil, KEY } } do
      local a, b = dialler(keys[1]), listener(keys[2])
      talk(a, b)
      assert_refused(a, keys[1] and ours or theirs)
      assert_refused(b, keys[2] and ours or theirs)
      assert.equal(keys[1] and 'a pre-shared key is needed (option psk)' or 'no pre-shared key here (option psk)',
        a.refusal.reason)
    end
  end)

  it('with different keys are refused by who was dialled, who then proves nothing', function()
    local a, b = dialler(KEY), listener(OTHER)
    talk(a, b)
    assert_refused(b, 'the pre-shared keys differ', 'the pre-shared keys differ')
    assert.is_nil(a.is_up)
    for _, f in ipairs(peers.parse(b.said)) do assert.not_equal(types.PROOF, f.type) end
  end)

  it('go together when they have one key in common, whatever its place', function()
    for _, pair in ipairs {
      { { KEY, OTHER }, { KEY } }, { { OTHER, KEY }, { KEY } },
      { { KEY }, { OTHER, KEY } }, { { KEY }, { KEY, OTHER } },
      { { KEY, OTHER }, { OTHER, KEY } }, { { OTHER, 'a third key of 16' }, { KEY, OTHER } },
    } do
      local a, b = dialler(pair[1]), listener(pair[2])
      talk(a, b)
      assert.is_true(a.is_up and b.is_up)
    end
    local a, b = dialler { KEY, OTHER }, listener { 'a third key of 16', 'a fourth key of 16' }
    talk(a, b)
    assert_refused(b)
  end)

  it('agree on a method that both offer, and on none that only one does', function()
    local offered = peers.hello { methods = texts('kerberos', 'psk') }
    local a = dialler(KEY)
    a:take()
    a:hear(peers.PREAMBLE .. offered)
    assert.equal('proving', a.machine:state())
    local b = listener(KEY)
    b:hear(peers.PREAMBLE .. peers.hello { methods = texts 'kerberos' })
    assert_refused(b, 'no method of authentication in common')
  end)
end)

describe('a proof', function()
  --- The proof of an end, by hand, from what docs/protocol.md says in 2.5.
  local function expected(role, key, d, o, d_said, o_said)
    local function lp(bytes) return string.pack('>s4', bytes) end
    local function id(n) return string.pack('>I8', n) .. ('\0'):rep(8) end
    local function nonce(n) return string.char(n) .. ('\0'):rep(15) end
    local head = lp 'perilune-psk-1' .. lp(role) .. lp(id(d.id)) .. lp(id(o.id)) ..
      lp(string.pack('>I8', d.epoch)) .. lp(string.pack('>I8', o.epoch)) .. lp(nonce(d.nonce)) .. lp(nonce(o.nonce))
    return on_loop.run([[
      local crypto = require 'perilune.crypto'
      local key, head, d_said, o_said, tail = ...
      local function lp(bytes) return string.pack('>s4', bytes) end
      return crypto.hmac(key, head .. lp(crypto.sha256(d_said)) .. lp(crypto.sha256(o_said)) .. tail)
    ]], key, head, d_said, o_said, lp(('\0'):rep(32)))
  end

  local function part(bytes, frames)
    local at = 9
    for _ = 1, frames do
      at = select(6, string.unpack('>BBI2I4s4', bytes, at))
    end
    return bytes:sub(1, at - 1)
  end

  it('is the HMAC that the protocol describes', function()
    local a, b = dialler(KEY), listener(KEY)
    talk(a, b)
    local d, o = { id = 1, epoch = 5, nonce = 11 }, { id = 2, epoch = 6, nonce = 22 }
    local d_said, o_said = part(a.said, 1), part(b.said, 1)
    assert.equal(expected('dialler', KEY, d, o, d_said, o_said), peers.parse(a.said)[2].body)
    assert.equal(expected('other', KEY, d, o, d_said, o_said), peers.parse(b.said)[2].body)
  end)

  it('of another length is a protocol error', function()
    for _, body in ipairs { '', 'x', ('x'):rep(31), ('x'):rep(33), ('x'):rep(96), ('x'):rep(1024) } do
      local b = listener(KEY)
      b:hear(peers.PREAMBLE .. peers.hello { methods = texts 'psk' } .. frame(types.PROOF, body))
      assert.equal('PROTOCOL', b.refusal.err)
      assert.equal('malformed PROOF', b.refusal.detail)
    end
    for _, body in ipairs { '', ('x'):rep(31), ('x'):rep(64) } do
      local a = dialler(KEY)
      a:hear(peers.PREAMBLE .. peers.hello { methods = texts 'psk' } .. frame(types.PROOF, body))
      assert.equal('malformed PROOF', a.refusal.detail)
    end
  end)

  it('must come before READY and anything else', function()
    for _, type in ipairs { types.READY, types.ADVERT, types.PING, types.CALL, types.HELLO } do
      local b = listener(KEY)
      b:hear(peers.PREAMBLE .. peers.hello { methods = texts 'psk' } ..
        frame(type, '', type >= 32 and 1 or 0))
      assert.equal('PROTOCOL', b.refusal.err)
      assert.is_false(b.asked)
    end
  end)

  it('is not taken twice, nor from who needs none', function()
    local a, b = dialler(KEY), listener(KEY)
    b:hear(a:take())
    a:hear(b:take())
    local proof = a:take()
    b:hear(proof)
    assert.is_nil(b.refusal)
    b:hear(proof)
    assert.equal('frame of type 2 in the handshake', b.refusal.detail)
    local plain = listener()
    plain:hear(peers.PREAMBLE .. peers.hello() .. frame(types.PROOF, ('x'):rep(32)))
    assert.equal('frame of type 2 in the handshake', plain.refusal.detail)
  end)
end)

describe('an attacker between two ends', function()
  --- Flips one bit of all that goes to one end; counts bytes over the whole handshake.
  local function flipper(to, position, bit)
    local seen = 0
    return function(bytes, towards)
      if towards ~= to then return bytes end
      local at = position - seen
      seen = seen + #bytes
      if at < 1 or at > #bytes then return bytes end
      return bytes:sub(1, at - 1) .. string.char(bytes:byte(at) ~ (1 << bit)) .. bytes:sub(at + 1)
    end
  end

  it('who flips any one bit, either way, gets no link at the end that it concerns', function()
    local a, b = dialler(KEY), listener(KEY)
    talk(a, b)
    local last = #peers.parse(a.said)[3].body + 12 -- READY
    for to, total in pairs { b = #a.said, a = #b.said } do
      for position = 1, total do
        for bit = 0, 7 do
          local d, o = dialler(KEY), listener(KEY)
          talk(d, o, flipper(to, position, bit))
          local victim = to == 'b' and o or d
          local other = to == 'b' and d or o
          local what = ('bit %d of byte %d to %s'):format(bit, position, to)
          assert.is_falsy(victim.is_up, what)
          assert.is_true(not other.is_up or position > total - last, what) -- they had said READY before
        end
      end
    end
  end)

  it('who replays what a dialler said gets nowhere', function()
    local a, b = dialler(KEY), listener(KEY)
    talk(a, b)
    local again = listener(KEY, { nonce = 23 })
    again:hear(a.said)
    assert_refused(again)
    local twice = dialler(KEY, { nonce = 12 })
    twice:take()
    twice:hear(b.said)
    assert_refused(twice)
  end)

  it('who mirrors an end to itself gets nowhere', function()
    local a = dialler(KEY)
    repeat a:hear(a:take()) until a.unsent == ''
    assert_refused(a)
    -- A listener that is told its own words: the bytes come late, because it speaks second.
    local b = listener(KEY)
    b:hear(peers.PREAMBLE)
    b:hear(b:take():sub(#peers.PREAMBLE + 1))
    b:hear(frame(types.PROOF, ('\0'):rep(32)))
    assert_refused(b)
  end)

  it('who has two diallers talk to each other gets nowhere', function()
    local a, b = dialler(KEY), dialler(KEY, { id = 3, nonce = 33 })
    talk(a, b)
    assert_refused(a)
    assert_refused(b)
  end)

  it('who crosses two links of the same nodes gets nowhere', function()
    -- Both dial each other; each proof is given to the other link.
    local a1, b1 = dialler(KEY, { nonce = 41 }), listener(KEY, { nonce = 42 })
    local b2, a2 = dialler(KEY, { id = 2, epoch = 6, nonce = 43 }), listener(KEY, { id = 1, epoch = 5, nonce = 44 })
    b1:hear(a1:take())
    a2:hear(b2:take())
    a1:hear(b1:take())
    b2:hear(a2:take())
    b1:hear(b2:take())
    a2:hear(a1:take())
    assert_refused(b1)
    assert_refused(a2)
  end)

  it('who relays proofs under an id of its own gets nowhere', function()
    -- The stranger dials b, b's words go to a's dial, and a's proof is given to b.
    local a, b = dialler(KEY), listener(KEY)
    local said = peers.parse(a:take())[1].body
    local stranger = assert(message.decode('hello', said))
    stranger.id = ('\x77'):rep(16)
    b:hear(peers.PREAMBLE .. frame(types.HELLO, message.encode('hello', stranger)))
    a:hear(b:take())
    b:hear(a:take())
    assert_refused(b)
    -- And as who was dialled.
    a, b = dialler(KEY), listener(KEY)
    b:hear(a:take())
    local hello = assert(message.decode('hello', peers.parse(b:take())[1].body))
    hello.id = ('\x77'):rep(16)
    a:hear(peers.PREAMBLE .. frame(types.HELLO, message.encode('hello', hello)))
    b:hear(a:take())
    assert_refused(b)
  end)

  it('who takes the methods out of both HELLO gets no link without authentication', function()
    local function strip(bytes)
      local head, rest = bytes:sub(1, 8), bytes:sub(9)
      if head ~= peers.PREAMBLE then return bytes end
      local m = assert(message.decode('hello', peers.parse(bytes)[1].body))
      m.methods = nil
      return head .. frame(types.HELLO, message.encode('hello', m)) .. rest:sub(12 + #peers.parse(bytes)[1].body + 1)
    end
    local a, b = dialler(KEY), listener(KEY)
    talk(a, b, strip)
    assert_refused(a)
    assert_refused(b)
  end)
end)

describe('a handshake with authentication', function()
  it('takes bytes in any pieces', function()
    local a, b = dialler(KEY), listener(KEY)
    repeat
      for c in a:take():gmatch '.' do b:hear(c) end
      for c in b:take():gmatch '.' do a:hear(c) end
    until a.unsent == '' and b.unsent == ''
    assert.is_true(a.is_up and b.is_up)
  end)

  it('can be left in any state without a leak', function()
    local a, b = dialler(KEY), listener(KEY)
    b:hear(a:take())
    a:hear(b:take())
    assert.equal('proving', b.machine:state())
    assert.equal('proving', a.machine:state())
    a.machine:fail()
    b.machine:fail()
    assert.equal('failed', a.machine:state())
  end)

  it('is bounded as any other', function()
    local b = listener(KEY)
    b:hear(peers.PREAMBLE .. peers.hello { methods = texts 'psk' })
    for _ = 1, 4 do b:hear(frame(31, ('x'):rep(16 * 1024))) end
    assert.equal('too many bytes in the handshake', b.refusal.detail)
    b = listener(KEY)
    b:hear(peers.PREAMBLE .. peers.hello { methods = texts 'psk' } ..
      string.pack('>BBI2I4I4', types.PROOF, 0, 0, 0, 16 * 1024 + 1))
    assert.equal('TOO_LARGE', b.refusal.err)
  end)
end)

describe('a key file', function()
  local parse = testing.peer.parse_keys

  it('has one key, or two, a line each', function()
    assert.equal(1, parse(KEY))
    assert.equal(1, parse(KEY .. '\n'))
    assert.equal(2, parse(KEY .. '\n' .. OTHER .. '\n'))
    assert.equal(2, parse('\n\n' .. KEY .. '\r\n  \t\n ' .. OTHER .. '\t\r\n\n'))
    assert.equal(1, parse(('k'):rep(16)))
    assert.equal(1, parse(('k'):rep(256)))
    assert.equal(1, parse 'schlüssel mit ümlauten')
  end)

  it('is refused with a reason that tells nothing of the key', function()
    for text, why in pairs {
      [''] = 'no key in it', [' \n\r\n'] = 'no key in it', [('k'):rep(15)] = 'a key has at least 16 bytes',
      [KEY .. '\nshort'] = 'a key has at least 16 bytes', [('k'):rep(257)] = 'a key has at most 256 bytes',
      [KEY .. '\n' .. OTHER .. '\n' .. KEY] = 'more than two keys', [KEY .. '\0'] = 'a key is a line of text',
      [('\x01'):rep(32)] = 'a key is a line of text',
    } do
      local count, reason = parse(text)
      assert.is_nil(count)
      assert.equal(why, reason)
    end
  end)
end)

describe('the log of refusals', function()
  it('tells of an address once, and then less and less often', function()
    local log = testing.peer.refusals()
    local told = {}
    for minute = 0, 24 * 60 - 1 do
      local times = log:note('tcp://192.0.2.1', minute * 60)
      if times > 0 then told[#told + 1] = { minute, times } end
    end
    assert.same({ { 0, 1 }, { 1, 1 }, { 3, 2 }, { 7, 4 }, { 15, 8 }, { 31, 16 }, { 63, 32 }, { 123, 60 } },
      { table.unpack(told, 1, 8) })
    assert.is_true(#told < 32)
  end)

  it('begins again with who was quiet for an hour', function()
    local log = testing.peer.refusals()
    assert.equal(1, log:note('a', 1))
    assert.equal(0, log:note('a', 2))
    assert.equal(2, log:note('a', 4000))
    assert.equal(1, log:note('a', 4061))
  end)

  it('counts together what is past its bound', function()
    local log = testing.peer.refusals()
    for i = 1, 64 do assert.equal(1, log:note('a' .. i, 1)) end
    local times, from = log:note('one more', 1)
    assert.equal(1, times)
    assert.equal('others', from)
    for i = 1, 1000 do assert.equal(0, log:note('b' .. i, 2)) end
    assert.equal(0, log:note('a7', 2))
    assert.equal(1, log:note('b', 5000))
  end)
end)
