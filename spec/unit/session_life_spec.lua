--- runtime/peer/session: heartbeat and pings of a link that is up.

local peers = require 'spec.support.peers'
local types, frame = peers.types, peers.frame

describe('a session', function()
  local net
  before_each(function() net = peers.new() end)
  after_each(function() net:finish() end)

  describe('with its heartbeat', function()
    it('loses a silent neighbour after three intervals', function()
      local s = net:up { id = 1, heartbeat = 2, heartbeat_misses = 3 }
      net:advance(5.99)
      assert.equal('up', s:state())
      net:advance(0.02)
      assert.equal('PEER_LOST', s.why)
      assert.equal('no sign of life for 6.0 s', s.detail)
      assert.equal(2, net:metrics().heartbeats_missed)
      local pings = peers.parse(s.raw:take())
      assert.equal(2, #pings) -- and one when it came up, taken before
      for _, f in ipairs(pings) do assert.equal(types.PING, f.type) end
    end)

    it('keeps one that sends anything at all', function()
      local s = net:up { id = 1, heartbeat = 1, heartbeat_misses = 3 }
      for i = 1, 30 do
        net:advance(1.9)
        s.raw:write(frame(types.CALL, '', i))
      end
      net:advance(0)
      assert.equal('up', s:state())
    end)

    it('keeps one that sends a frame very slowly', function()
      local s = net:up { id = 1, heartbeat = 1, heartbeat_misses = 3 }
      for c in frame(types.CALL, 'slowly', 1):gmatch '.' do
        net:advance(2)
        s.raw:write(c)
      end
      net:advance(0)
      assert.equal('slowly', s.frames[1].body)
    end)

    it('keeps two idle nodes together for a day', function()
      local a, b = net:pair()
      net:advance(86400)
      assert.equal('up', a:state())
      assert.equal('up', b:state())
      assert.equal(0, net:metrics().heartbeats_missed)
    end)

    it('does not blame others for its own absence', function()
      local a, b = net:pair()
      net:advance(1)
      net.world:stall(60)
      net:advance(10)
      assert.equal('up', a:state())
      assert.equal('up', b:state())
    end)

    it('still notices who was silent before and after its own absence', function()
      local s = net:up { id = 1, heartbeat = 2, heartbeat_misses = 3 }
      net:advance(1)
      net.world:stall(60)
      net:advance(6.1)
      assert.equal('PEER_LOST', s.why)
    end)

    it('measures the round trip', function()
      local a = net:pair()
      net:advance(0)
      assert.equal(1, a.session:info().rtt_us)
      local s = net:up()
      s.session:ping(5, function() end)
      net:advance(0.25)
      s.raw:write(frame(types.PONG, peers.parse(s.raw:take())[1].body))
      net:advance(0)
      assert.equal(250000, s.session:info().rtt_us)
    end)
  end)

  describe('asked for pings', function()
    it('answers a thousand at once', function()
      local a = net:pair()
      net:advance(0)
      local times = {}
      for _ = 1, 1000 do
        assert.equal('OK', a.session:ping(1, function(err, rtt)
          assert.equal('OK', err)
          times[#times + 1] = rtt
        end))
      end
      assert.equal(0, #times)
      net:advance(0)
      assert.equal(1000, #times)
    end)

    it('gives up after the time that was asked', function()
      local s = net:up()
      local err, at
      s.session:ping(0.5, function(e) err, at = e, net:now() end)
      net:advance(0.499)
      assert.is_nil(err)
      net:advance(0.01)
      assert.equal('TIMEOUT', err)
      assert.is_true(at >= 0.5 and at < 0.502)
      s.raw:write(frame(types.PONG, peers.parse(s.raw:take())[1].body)) -- too late
      net:advance(0)
      assert.equal('up', s:state())
    end)

    it('fails them when it goes down', function()
      local s = net:up()
      local errs = {}
      for _ = 1, 3 do s.session:ping(100, function(e) errs[#errs + 1] = e end) end
      s.session:abort('PEER_LOST', '')
      assert.equal(0, #errs)
      net:advance(0)
      assert.same({ 'PEER_LOST', 'PEER_LOST', 'PEER_LOST' }, errs)
    end)

    it('has a bound', function()
      local s = net:up()
      local ended = 0
      local err
      for _ = 1, 4097 do
        err = s.session:ping(1, function() ended = ended + 1 end)
        if err ~= 'OK' then break end
      end
      assert.equal('BUSY', err)
      net:advance(1.1)
      assert.equal(4095, ended) -- and one of its own
    end)

    it('ignores pongs to pings that it did not send', function()
      local s = net:up()
      s.raw:write(frame(types.PONG, '12345678') .. frame(types.PONG, '') .. frame(types.PONG, 'a longer one'))
      net:advance(0)
      assert.equal('up', s:state())
      assert.equal(0, s.session:info().rtt_us)
    end)
  end)
end)
