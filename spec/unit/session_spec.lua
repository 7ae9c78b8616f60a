--- runtime/peer/session: the life of a link between two nodes.

local peers = require 'spec.support.peers'
local testing = require 'perilune.testing'
local types, frame = peers.types, peers.frame

local READY = frame(types.READY)

describe('a session', function()
  local net
  before_each(function() net = peers.new() end)
  after_each(function() net:finish() end)

  describe('between two nodes', function()
    it('comes up at both ends, which know each other', function()
      local one = { id = 1, name = 'one', message_max = 4096 }
      local two = { id = 2, name = 'two', role = 1, draining = true }
      local a, b = net:pair(one, two)
      net:advance(0)
      assert.same({ 'hello', 'up' }, a.events)
      assert.same({ 'hello', 'up' }, b.events)
      assert.equal('two', a.hello.name)
      assert.equal(1, a.hello.role)
      assert.is_true(a.hello.draining)
      assert.equal(2000, a.hello.heartbeat_ms)
      assert.equal('one', b.hello.name)
      local ia, ib = a.session:info(), b.session:info()
      assert.equal(a.hello.id, ia.peer)
      assert.equal(ia.dialler_nonce, ib.dialler_nonce)
      assert.equal(ia.other_nonce, ib.other_nonce)
      assert.are_not.equal(ia.dialler_nonce, ia.other_nonce)
      assert.equal(4096, ib.message_max)
      assert.equal(64 * 1024, ia.body_window)
    end)

    it('carries frames in order, with bodies that may be kept', function()
      local a, b = net:pair()
      net:advance(0)
      a.session:send(types.CALL, 1, 'one')
      a.session:send(types.CALL, 2, ('x'):rep(10000))
      a.session:send(types.CALL, 3, 'body', 'head+')
      a.session:send(types.CALL, 4, ('y'):rep(9000), 'head')
      a.session:put(types.CALL, 5, 'in place', 1024)
      a.session:send(types.ADVERT, 0, '')
      net:advance(0)
      local bodies = { 'one', ('x'):rep(10000), 'head+body', 'head' .. ('y'):rep(9000), 'in place', '' }
      assert.equal(#bodies, #b.frames)
      for i, body in ipairs(bodies) do
        assert.is_true(b.frames[i].body == body, 'body ' .. i)
        assert.equal(i == 6 and 0 or i, b.frames[i].label)
        assert.is_true(b.frames[i].owned)
      end
    end)

    it('counts frames', function()
      local a, b = net:pair()
      net:advance(0)
      local before, sent = net:metrics(), a.session:info().sent
      for i = 1, 10 do a.session:send(types.CALL, i, '') end
      net:advance(0)
      local after = net:metrics()
      assert.equal(10, after.frames_written - before.frames_written)
      assert.equal(10, after.frames_read - before.frames_read)
      assert.equal(10, a.session:info().sent - sent)
      assert.equal(10, #b.frames)
    end)

    it('closes with a reason that the other end gets', function()
      local a, b = net:pair()
      net:advance(0)
      a.session:close('DRAINING', 'going home', false)
      assert.equal('closing', a:state())
      a.session:send(types.CALL, 1, 'into the void')
      assert.equal('CLOSED', a.session:ping(1, function() end))
      net:advance(0)
      assert.equal('DRAINING', a.why)
      assert.is_nil(a.goodbye)
      assert.equal('DRAINING', b.why)
      assert.equal('going home', b.detail)
      assert.same({ code = 'DRAINING', reason = 'going home', retry_after_ms = 0, allow_reconnect = false }, b.goodbye)
      assert.equal(0, #b.frames)
    end)

    it('closes plainly when both ends want it at once', function()
      local a, b = net:pair()
      net:advance(0)
      a.session:close()
      b.session:close()
      net:advance(0)
      assert.equal('OK', a.why)
      assert.equal('OK', b.why)
    end)

    it('delivers what was sent before the goodbye', function()
      local a, b = net:pair()
      net:advance(0)
      a.session:send(types.CALL, 1, 'last words')
      a.session:close()
      net:advance(0)
      assert.equal('last words', b.frames[1].body)
      assert.equal('OK', b.why)
    end)

    it('aborts without a word', function()
      local a, b = net:pair()
      net:advance(0)
      a.session:abort('INVALID', 'enough')
      net:advance(0)
      assert.equal('INVALID', a.why)
      assert.equal('enough', a.detail)
      assert.equal('PEER_LOST', b.why)
      assert.is_nil(b.goodbye)
    end)

    it('can be closed by every callback', function()
      for _, event in ipairs { 'hello', 'up', 'frame' } do
        local a, b = net:pair(nil, nil, { [event] = function(e)
          if e:state() == 'up' or event == 'hello' then e.session:close('OK', event) end
        end })
        net:advance(0)
        if b:state() then b.session:send(types.CALL, 1, '') end
        net:advance(0)
        assert.equal('OK', a.why, event)
        assert.equal(event, a.detail)
        assert.is_nil(b:state(), event)
      end
    end)

    it('refuses a HELLO with a reason', function()
      local a, b = net:pair(nil, nil, nil, { hello = function() return 'FORBIDDEN' end })
      net:advance(0)
      assert.equal('FORBIDDEN', a.why)
      assert.equal('refused by the spec', a.detail)
      assert.equal('FORBIDDEN', b.why)
      assert.equal(2, net:metrics().handshakes_failed)
    end)

    it('tells who is refused for want of room when to come back', function()
      local a = net:pair(nil, nil, nil, { hello = function() return 'BUSY' end })
      net:advance(0)
      assert.equal('BUSY', a.goodbye.code)
      assert.equal(1000, a.goodbye.retry_after_ms)
      assert.is_true(a.goodbye.allow_reconnect)
    end)

    it('can wait for the answer to a HELLO', function()
      local a, b = net:pair()
      b.session:defer()
      net:advance(3)
      assert.equal('greeting', a:state())
      assert.equal('greeting', b:state())
      b.session:accept()
      net:advance(0)
      assert.equal('up', a:state())
      assert.equal('up', b:state())
    end)

    it('bounds that wait by the time of the handshake', function()
      local a, b = net:pair({ id = 1, handshake_timeout = 4 }, { id = 2, handshake_timeout = 4 })
      b.session:defer()
      net:advance(5)
      assert.equal('TIMEOUT', b.why)
      assert.is_nil(a:state())
    end)
  end)

  describe('before it is up', function()
    it('gives a silent end its time and no more', function()
      for _, dialler in ipairs { true, false } do
        local s = net:session({ id = 1, handshake_timeout = 7 }, dialler)
        net:advance(6.99)
        assert.equal('greeting', s:state())
        net:advance(0.02)
        assert.equal('TIMEOUT', s.why)
        assert.equal('no handshake within 7.0 s', s.detail)
        net:advance(0)
        assert.is_false(s.raw:is_open())
      end
    end)

    it('is not kept alive by dripping bytes', function()
      local s = net:session({ id = 1, handshake_timeout = 10 }, false)
      local bytes = peers.PREAMBLE .. peers.hello { payload = '\xda\x20\x00' .. ('x'):rep(8192) }
      for i = 1, 20 do
        s.raw:write(bytes:sub(i, i))
        net:advance(0.5)
      end
      net:advance(0.1)
      assert.equal('TIMEOUT', s.why)
    end)

    it('ends garbage at once, with a counter', function()
      local request = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'
      for _, text in ipairs { request, '\0\0\0\0', '\x16\x03\x01\x02\0', '*1\r\n$4\r\nPING\r\n' } do
        local s = net:session(nil, false)
        s.raw:write(text)
        net:advance(0)
        assert.equal('PROTOCOL', s.why)
        assert.equal('not a perilune node', s.detail)
        net:advance(1.1)
        assert.equal('', s.raw:take())
        assert.is_false(s.raw:is_open())
      end
      assert.equal(4, net:metrics().protocol_errors)
      assert.equal(4, net:metrics().handshakes_failed)
    end)

    it('names both versions of a node of another major version', function()
      for _, dialler in ipairs { true, false } do
        local s = net:session(nil, dialler)
        s.raw:write 'PLN\n\2\0\0\0'
        net:advance(2)
        assert.equal('PROTOCOL', s.why)
        assert.equal('speaks protocol 2.0, this node speaks 1.0', s.detail)
        assert.equal(peers.PREAMBLE, s.raw:take():sub(1, 8))
      end
    end)

    it('ends a frame that announces gigabytes, with a goodbye', function()
      local s = net:session(nil, false)
      s.raw:write(peers.PREAMBLE .. string.pack('>BBI2I4I4', 1, 0, 0, 0, 0xffffffff))
      net:advance(0)
      local frames = peers.parse(s.raw:take())
      assert.equal(types.GOODBYE, frames[#frames].type)
      local m = testing.wire.message.decode('goodbye', frames[#frames].body)
      assert.equal('frame over the limit in the handshake', m.reason)
      net:advance(2)
      assert.equal('TOO_LARGE', s.why)
    end)

    it('ends more than 64 KiB of anything', function()
      local s = net:session(nil, false)
      s.raw:write(peers.PREAMBLE)
      for _ = 1, 5 do s.raw:write(frame(31, ('x'):rep(16000))) end
      net:advance(2)
      assert.equal('TOO_LARGE', s.why)
    end)

    it('ends circuits and pings that come too early', function()
      for _, early in ipairs { frame(types.CALL, '', 1), frame(types.PING, 'x') } do
        local s = net:session(nil, false)
        s.raw:write(peers.PREAMBLE .. early)
        net:advance(2)
        assert.equal('PROTOCOL', s.why)
      end
    end)

    it('does not write, and takes what is written nowhere', function()
      local s = net:session(nil, true)
      s.raw:take()
      s.session:send(types.CALL, 1, 'too early')
      s.session:put(types.CALL, 1, 'too early', 16384)
      net:advance(0)
      assert.equal(1, #peers.parse(s.raw:take()))
    end)

    it('hears that it is refused', function()
      local s = net:session(nil, true)
      s.raw:write(peers.PREAMBLE .. peers.hello() .. peers.goodbye { code = -3, reason = 'full', retry_after_ms = 99 })
      net:advance(0)
      net:advance(2)
      assert.equal('BUSY', s.why)
      assert.equal('full', s.detail)
      assert.equal(99, s.goodbye.retry_after_ms)
    end)

    it('hears of a greater epoch only from who has said who it is', function()
      for greeting, epoch in pairs { [''] = false, [peers.hello()] = 77 } do
        local s = net:session(nil, true)
        s.raw:write(peers.PREAMBLE .. greeting .. peers.goodbye { code = -5, reason = 'no', epoch = 77 })
        net:advance(0)
        net:advance(2)
        assert.equal('INVALID', s.why)
        assert.equal(epoch or nil, s.goodbye.epoch)
      end
    end)

    it('reports an end without a word as a failed connection', function()
      local s = net:session(nil, true)
      s.raw:close()
      net:advance(0)
      net:advance(2)
      assert.equal('CONNECT_FAILED', s.why)
      assert.equal('closed in the handshake', s.detail)
    end)

    it('takes the whole handshake in single bytes', function()
      local s = net:session(nil, false)
      for c in (peers.PREAMBLE .. peers.hello() .. READY .. frame(types.CALL, 'first', 1)):gmatch '.' do
        s.raw:write(c)
        net:advance(0.001)
      end
      assert.equal('up', s:state())
      assert.equal('first', s.frames[1].body)
    end)

    it('takes it together with the first frames', function()
      local s = net:session(nil, false)
      s.raw:write(peers.PREAMBLE .. peers.hello() .. READY .. frame(types.CALL, 'first', 1))
      net:advance(0)
      assert.equal('first', s.frames[1].body)
    end)
  end)

  describe('that is up', function()
    it('answers pings with their own bytes', function()
      local s = net:up()
      s.raw:write(frame(types.PING, 'anything') .. frame(types.PING, ''))
      net:advance(0)
      local frames = peers.parse(s.raw:take())
      assert.same({
        { type = types.PONG, label = 0, body = 'anything' },
        { type = types.PONG, label = 0, body = '' },
      }, frames)
    end)

    it('skips unknown types of the link and counts them', function()
      local s = net:up()
      local before = net:metrics().frames_unknown
      s.raw:write(frame(13, 'new') .. frame(31) .. frame(types.CALL, 'after', 1) .. frame(70, '', 9))
      net:advance(0)
      assert.equal('after', s.frames[1].body)
      assert.equal(2, net:metrics().frames_unknown - before)
    end)

    it('passes on circuits, adverts and what it does not know of them', function()
      local s = net:up()
      s.raw:write(frame(types.ADVERT, 'a') .. frame(60, 'c', 1) .. frame(types.RETIRE))
      net:advance(0)
      assert.equal(3, #s.frames)
    end)

    --- How many of 100 frames that come at once are taken before, and between, the work that every one of `busy` sets
    --- going.
    local function portions(busy)
      local counts, last = {}, nil
      local function note(what)
        if what == 'frame' and last ~= what then counts[#counts + 1] = 0 end
        if what == 'frame' then counts[#counts] = counts[#counts] + 1 end
        last = what
      end
      local s = net:up(nil, {
        frame = function(_, _, label)
          note 'frame'
          if busy(label) then net.world:defer(function() note 'work' end) end
        end,
      })
      local frames = {}
      for label = 1, 100 do frames[label] = frame(types.CALL, 'x', label) end
      s.raw:write(table.concat(frames))
      net:advance(0)
      for label = 1, 100 do assert.equal(label, s.frames[label].label) end
      assert.equal(100, #s.frames)
      return counts
    end

    it('has what 24 frames have set going worked off before the next ones', function()
      assert.same({ 24, 24, 24, 24, 4 }, portions(function() return true end))
      assert.same({ 24, 76 }, portions(function(label) return label == 5 end))
    end)

    it('takes all frames of a read that set nothing going', function()
      assert.same({ 100 }, portions(function() return false end))
      assert.same({ 50, 50 }, portions(function(label) return label == 50 end))
    end)

    local function breaks(bytes, why, detail)
      local s = net:up()
      s.raw:write(bytes)
      net:advance(0)
      local frames = peers.parse(s.raw:take())
      assert.equal(types.GOODBYE, frames[#frames].type)
      net:advance(2)
      assert.equal(why, s.why)
      assert.equal(detail, s.detail)
    end

    it('ends a neighbour that breaks the protocol', function()
      local text = 'the peer broke the protocol'
      breaks(frame(types.HELLO), 'PROTOCOL', text)
      breaks(frame(types.PROOF), 'PROTOCOL', text)
      breaks(READY, 'PROTOCOL', text)
      breaks(frame(types.PING, ('x'):rep(65)), 'PROTOCOL', text)
      breaks(frame(types.GOODBYE, '\xff'), 'PROTOCOL', text)
      breaks(frame(0), 'PROTOCOL', text)
      breaks(frame(types.CALL), 'PROTOCOL', text) -- a circuit without a label
      breaks(string.pack('>BBI2I4I4', types.CALL, 0, 0, 1, 16 * 1024 + 1), 'TOO_LARGE', 'frame over the limit')
      assert.equal(8, net:metrics().protocol_errors)
    end)

    it('ends with the error of the layer above, and tells it', function()
      local s = net:up(nil, { frame = function() return 'TOO_LARGE' end })
      s.raw:write(frame(types.CALL, 'x', 1) .. frame(types.CALL, 'y', 2))
      net:advance(0)
      assert.equal(1, #s.frames)
      net:advance(2)
      assert.equal('TOO_LARGE', s.why)
    end)

    it('is lost when the link ends without a goodbye', function()
      local s = net:up()
      s.raw:close()
      net:advance(2)
      assert.equal('PEER_LOST', s.why)
      assert.equal('closed without a goodbye', s.detail)
    end)

    it('takes any code of a goodbye', function()
      local codes = { [0] = 'OK', [-4] = 'DRAINING', [-999] = 'UNKNOWN_ERROR', [7] = 'PROTOCOL' }
      codes[math.mininteger] = 'PROTOCOL'
      for code, why in pairs(codes) do
        local s = net:up()
        s.raw:write(peers.goodbye { code = code, reason = ('long '):rep(50) })
        net:advance(2)
        assert.equal(why, s.why)
        assert.equal(('long '):rep(50), s.detail)
      end
    end)

    it('bounds how long a goodbye may hold it off', function()
      local s = net:up()
      s.raw:write(peers.goodbye { code = -3, retry_after_ms = math.maxinteger })
      net:advance(2)
      assert.equal(3600 * 1000, s.goodbye.retry_after_ms)
    end)
  end)
end)
