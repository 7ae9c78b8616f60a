--- runtime/peer/hello: every edge of the handshake, without I/O.

local peers = require 'spec.support.peers'
local testing = require 'perilune.testing'
local types, frame = peers.types, peers.frame

local READY = frame(types.READY)

describe('the handshake', function()
  local function start(dialler, identity)
    return testing.peer.hello(identity or { id = 1, name = 'one', epoch = 9 }, dialler)
  end

  --- Feeds all of `bytes`; the last event.
  local function feed(h, bytes)
    local e
    repeat
      e = h:feed(bytes)
      bytes = bytes:sub(e.used + 1)
    until e.step ~= 'next' or bytes == ''
    return e
  end

  local function greeted(dialler)
    local h = start(dialler)
    assert.equal('ask', feed(h, peers.PREAMBLE .. peers.hello()).step)
    return h
  end

  it('begins, at the end that dials, with preamble and HELLO', function()
    local h, out = start(true)
    assert.equal('preamble', h:state())
    assert.equal(peers.PREAMBLE, out:sub(1, 8))
    local frames = peers.parse(out)
    assert.equal(1, #frames)
    local m = testing.wire.message.decode('hello', frames[1].body)
    assert.equal('one', m.name)
    assert.equal(9, m.epoch)
  end)

  it('says nothing, at the end that was dialled, before it knows the other speaks the protocol', function()
    local h, out = start(false)
    assert.equal('', out)
    for i = 1, 7 do
      local e = h:feed(peers.PREAMBLE:sub(1, i))
      assert.same({ step = 'more', used = 0, out = '' }, e)
    end
    local e = h:feed(peers.PREAMBLE)
    assert.equal('next', e.step)
    assert.equal(peers.PREAMBLE, e.out:sub(1, 8))
    assert.equal(types.HELLO, peers.parse(e.out)[1].type)
    assert.equal('greeting', h:state())
  end)

  it('takes a HELLO whole and never in part', function()
    local bytes = peers.hello { draining = true, role = 1 }
    for i = 0, #bytes - 1 do
      local h = start(true)
      h:feed(peers.PREAMBLE)
      assert.equal('more', h:feed(bytes:sub(1, i)).step)
      assert.equal('greeting', h:state())
    end
    local h = start(true)
    h:feed(peers.PREAMBLE)
    local e = h:feed(bytes)
    assert.equal('ask', e.step)
    assert.equal(#bytes, e.used)
    assert.equal('raw', e.hello.name)
    assert.equal(1, e.hello.role)
    assert.is_true(e.hello.draining)
    assert.equal('deciding', h:state())
  end)

  it('is up when READY went both ways, whichever was first', function()
    local h = greeted(true)
    local out, up = h:accept()
    assert.equal(READY, out)
    assert.is_false(up)
    assert.equal('accepted', h:state())
    assert.equal('up', h:feed(READY).step)
    assert.equal('ready', h:state())

    h = greeted(false)
    assert.equal('next', h:feed(READY).step)
    assert.equal('expected', h:state())
    out, up = h:accept()
    assert.equal(READY, out)
    assert.is_true(up)
    assert.equal('ready', h:state())
  end)

  it('leaves what follows READY to the session', function()
    local h = greeted(true)
    h:accept()
    local e = h:feed(READY .. frame(types.CALL, 'x', 1))
    assert.equal('up', e.step)
    assert.equal(#READY, e.used)
  end)

  it('can fail in every state before it is ready', function()
    local accepted, expected, greeting = greeted(true), greeted(true), start(true)
    accepted:accept()
    expected:feed(READY)
    greeting:feed(peers.PREAMBLE)
    for _, h in ipairs { (start(true)), greeting, greeted(true), accepted, expected } do
      h:fail()
      assert.equal('failed', h:state())
      h:fail()
    end
  end)

  it('knows when a GOODBYE makes sense', function()
    local h = start(true)
    assert.is_false(select(2, h:state()))
    h:feed(peers.PREAMBLE)
    assert.is_true(select(2, h:state()))
  end)

  it('hears a GOODBYE wherever a frame may come', function()
    local accepted, expected, greeting = greeted(true), greeted(true), start(true)
    accepted:accept()
    expected:feed(READY)
    greeting:feed(peers.PREAMBLE)
    for _, h in ipairs { greeting, greeted(true), accepted, expected } do
      local e = h:feed(peers.goodbye { code = -3, reason = 'full', retry_after_ms = 70 })
      assert.equal('left', e.step)
      assert.same({ code = 'BUSY', reason = 'full', retry_after_ms = 70, allow_reconnect = true }, e.goodbye)
      assert.equal('failed', h:state())
    end
  end)

  local function refuses(bytes, err, detail, before)
    local h = before or start(false)
    local e = feed(h, bytes)
    assert.equal('broken', e.step)
    assert.equal(err, e.err)
    assert.equal(detail, e.detail)
    assert.equal('failed', h:state())
    return e
  end

  it('refuses what is not the protocol with the first wrong byte', function()
    for _, bytes in ipairs { 'GET / HTTP/1.1\r\n', 'P0', 'PLN\r', '\0', '\x16\x03\x01', 'SSH-2.0-x' } do
      refuses(bytes, 'PROTOCOL', 'not a perilune node')
    end
  end)

  it('names both versions when the major one is another', function()
    local e = refuses('PLN\n\2\7\0\0', 'PROTOCOL', 'speaks protocol 2.7, this node speaks 1.0')
    assert.equal(peers.PREAMBLE, e.out) -- so that the other end can name both, too
    e = refuses('PLN\n\0\1\0\0', 'PROTOCOL', 'speaks protocol 0.1, this node speaks 1.0', (start(true)))
    assert.equal('', e.out)
  end)

  it('takes any minor version', function()
    assert.equal('ask', feed(start(false), 'PLN\n\1\99\0\0' .. peers.hello()).step)
  end)

  it('refuses frames that do not belong into a handshake, and names them', function()
    local function preamble_and(type, label) return peers.PREAMBLE .. frame(type, '', label) end
    for _, type in ipairs {
      types.PROOF, types.PING, types.PONG, types.ADVERT, types.READY, types.ACK, types.RESUME, types.RETIRE,
    } do
      refuses(preamble_and(type), 'PROTOCOL', ('frame of type %d in the handshake'):format(type))
    end
    refuses(preamble_and(types.CALL, 1), 'PROTOCOL', 'frame of type 32 in the handshake')
    local twice = greeted(true)
    refuses(peers.hello(), 'PROTOCOL', 'frame of type 1 in the handshake', twice)
    local ready = greeted(true)
    ready:feed(READY)
    refuses(READY, 'PROTOCOL', 'frame of type 3 in the handshake', ready)
  end)

  it('skips types of the link that it does not know', function()
    local unknown = frame(31, 'from the future')
    assert.equal('ask', feed(start(false), peers.PREAMBLE .. unknown .. unknown .. peers.hello()).step)
  end)

  it('refuses malformed frames and bodies', function()
    refuses(peers.PREAMBLE .. frame(0), 'PROTOCOL', 'malformed frame in the handshake')
    refuses(peers.PREAMBLE .. frame(types.HELLO, '\xc1'), 'PROTOCOL', 'malformed HELLO')
    refuses(peers.PREAMBLE .. frame(types.HELLO), 'PROTOCOL', 'malformed HELLO')
    refuses(peers.PREAMBLE .. frame(types.GOODBYE, '\x93'), 'PROTOCOL', 'malformed GOODBYE')
  end)

  it('refuses a body over the limit as soon as it is announced', function()
    local header = string.pack('>BBI2I4I4', types.HELLO, 0, 0, 0, 16 * 1024 + 1)
    refuses(peers.PREAMBLE .. header, 'TOO_LARGE', 'frame over the limit in the handshake')
    refuses(peers.PREAMBLE .. string.pack('>BBI2I4I4', 1, 0, 0, 0, 0xffffffff), 'TOO_LARGE',
      'frame over the limit in the handshake')
  end)

  it('refuses more than 64 KiB in all', function()
    local h = start(false)
    h:feed(peers.PREAMBLE)
    local chunk = frame(31, ('x'):rep(16 * 1024))
    for _ = 1, 3 do assert.equal('next', h:feed(chunk).step) end
    refuses(chunk, 'TOO_LARGE', 'too many bytes in the handshake', h)
  end)

  it('survives every flipped bit', function()
    local bytes = peers.PREAMBLE .. peers.hello() .. READY
    for i = 1, #bytes do
      for bit = 0, 7 do
        local flipped = bytes:sub(1, i - 1) .. string.char(bytes:byte(i) ~ (1 << bit)) .. bytes:sub(i + 1)
        local h = start(false)
        local rest = flipped
        repeat
          local e = h:feed(rest)
          rest = rest:sub(e.used + 1)
        until rest == '' or e.step == 'more' or e.step == 'broken' or e.step == 'left' or e.step == 'up'
      end
    end
  end)
end)
