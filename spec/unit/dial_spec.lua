--- runtime/peer/dial: dialling and dialling again.

local peers = require 'spec.support.peers'

describe('the peers of a node', function()
  local net
  before_each(function() net = peers.new() end)
  after_each(function() net:finish() end)

  local function two(...) return peers.two(net, ...) end

  local function links_now() return net:metrics().links_now end

  describe('that dials', function()
    it('comes up at both ends', function()
      local a, b = two()
      a:dial 'mem://b'
      assert.same({}, a.dialled)
      assert.equal('connecting', a:peer().state)
      net:advance(0)
      assert.equal('OK', a.dialled[1].code)
      assert.equal('node 2', a.dialled[1].peer.name)
      assert.same({ 'session', 'connecting -> up' }, a.events)
      assert.same({ 'session', 'connecting -> up' }, b.events)
      assert.equal('node 1', b:peer().name)
      assert.equal(a:peer().session.nonce, b:peer().session.nonce)
      assert.is_true(a:peer().session.dialler)
      assert.equal(2, net:metrics().links_opened)
      assert.equal(1, net:metrics().dials)
    end)

    it('logs what happens to a peer, once each', function()
      local a, b = two()
      a:dial 'mem://b'
      net:advance(0)
      net:shutdown(b, 'bye')
      net:advance(0.01)
      local log = net.world:log()
      local _, ups = log:gsub('link up', '')
      local _, downs = log:gsub('link closed', '')
      assert.equal(2, ups)
      assert.equal(2, downs)
      assert.truthy(log:find('link up peer=00000000 name="node 2" remote=mem://b dialled=true', 1, true), log)
      assert.truthy(log:find('detail=bye', 1, true), log)
    end)

    it('hears at once what is wrong with an address', function()
      local a = net:node { id = 1 }
      for url, code in pairs { nonsense = 'INVALID', ['tcp://'] = 'INVALID', ['mem:/'] = 'INVALID',
        ['tcp://127.0.0.1:99999'] = 'INVALID', ['tcp://127.0.0.1:1'] = 'UNSUPPORTED' } do -- no sockets in virtual time
        local dial, got, detail = a:dial(url)
        assert.is_nil(dial)
        assert.equal(code, got)
        assert.are_not.equal('', detail)
      end
      assert.same({}, a.dialled)
      assert.same({}, a:peers())
    end)

    it('is told of the first failure, and goes on when it keeps the address', function()
      local a = net:node { id = 1 }
      a:dial 'mem://b'
      net:advance(1)
      assert.equal(1, #a.dialled)
      assert.equal('CONNECT_FAILED', a.dialled[1].code)
      assert.equal('nobody listens there', a.dialled[1].detail)
      assert.equal('connecting', a:peer().state)
      local b = net:node { id = 2 }
      b:listen 'mem://b'
      net:advance(2)
      assert.equal('up', a:peer().state)
      assert.equal(1, #a.dialled)
    end)

    it('ends with its first failure or link when it does not keep the address', function()
      local a, b = two()
      a:dial('mem://nowhere', false)
      net:advance(5)
      assert.equal('CONNECT_FAILED', a.dialled[1].code)
      assert.same({}, a:peers())
      assert.same({ 'connecting -> gone' }, a:states())
      local dials = net:metrics().dials
      a:dial('mem://b', false)
      net:advance(1)
      assert.equal('OK', a.dialled[2].code)
      b.raw:disconnect('bye', true, false)
      net:advance(5)
      assert.same({}, a:peers())
      assert.equal(1, net:metrics().dials - dials)
    end)

    it('shares an address that is kept', function()
      local a = two()
      a:dial 'mem://b'
      a:dial 'mem://b' -- while the first is on its way
      net:advance(0)
      a:dial('mem://b', false) -- and when it is up
      assert.equal(2, #a.dialled)
      net:advance(0)
      assert.equal(3, #a.dialled)
      for _, d in ipairs(a.dialled) do assert.equal('OK', d.code) end
      assert.equal(1, net:metrics().dials)
      assert.equal(2, links_now())
    end)

    it('tries at once when somebody else wants an address that waits', function()
      local a = net:node { id = 1 }
      a:dial 'mem://b'
      net:advance(5)
      local at, dials = net:now(), net:metrics().dials
      a:dial 'mem://b'
      net:advance(0)
      assert.equal(at, a.dialled[2].at)
      assert.equal('CONNECT_FAILED', a.dialled[2].code)
      assert.equal(1, net:metrics().dials - dials)
    end)

    it('can be stopped: cancelled when due, links stay', function()
      local a, b = two()
      local d = a:dial 'mem://b'
      d:stop()
      assert.same({}, a.dialled)
      net:advance(1)
      assert.equal('CANCELLED', a.dialled[1].code)
      assert.same({}, a:peers())
      d = a:dial 'mem://b'
      net:advance(1)
      d:stop()
      net:advance(1)
      assert.equal('up', a:peer().state)
      assert.equal(2, #a.dialled)
      b.raw:disconnect('bye', true, false)
      net:advance(1)
      assert.same({}, a:peers())
    end)

    it('can be stopped by its own callback', function()
      local a = two()
      local kept, fleeting
      kept = a:dial('mem://b', true, function() kept:stop() end)
      fleeting = a:dial('mem://nowhere', false, function() fleeting:stop() end)
      net:advance(1)
      assert.equal(2, #a.dialled)
      assert.equal('up', a:peer().state)
    end)

    it('can be stopped by the callback of another dial', function()
      local a = two()
      local second
      a:dial('mem://b', true, function() second:stop() end)
      second = a:dial 'mem://b'
      net:advance(1)
      assert.equal('OK', a.dialled[1].code)
      assert.equal('CANCELLED', a.dialled[2].code)
      assert.equal('up', a:peer().state)
    end)

    it('can be stopped while its link comes up, and the link stays', function()
      local a, b = two()
      local d
      a.hooks.session = function() d:stop() end
      d = a:dial 'mem://b'
      net:advance(1)
      assert.equal('CANCELLED', a.dialled[1].code)
      assert.equal('up', a:peer().state)
      assert.equal('up', b:peer().state)
    end)

    it('gives up a silent server at the set time, and closes the link', function()
      local stop = net.world:deaf 'mem://deaf'
      local a = net:node { id = 1, handshake_timeout = 3 }
      a:dial('mem://deaf', false)
      net:advance(2.99)
      assert.same({}, a.dialled)
      net:advance(0.02)
      assert.equal('TIMEOUT', a.dialled[1].code)
      assert.equal('no handshake within 3.0 s', a.dialled[1].detail)
      stop()
    end)
  end)

  describe('that reconnects', function()
    --- When each attempt was made, by the clock of the loop, while nobody listens.
    local function gaps(reconnect_max, count)
      local a = net:node { id = 1, reconnect_max = reconnect_max }
      a:dial 'mem://b'
      local at, seen = {}, 0
      while #at < count do
        net:advance(0.001)
        local dials = net:metrics().dials
        if dials > seen then
          seen = dials
          at[#at + 1] = net:now()
        end
      end
      local out = {}
      for i = 2, #at do out[#out + 1] = at[i] - at[i - 1] end
      return out
    end

    it('waits 0.05 s, then twice as long each time, with jitter, up to the most', function()
      for i, gap in ipairs(gaps(2, 12)) do
        local base = math.min(0.05 * 2 ^ (i - 1), 1.6)
        assert.is_true(gap >= base * 0.75 - 0.003 and gap <= base * 1.25 + 0.003, ('gap %d: %g'):format(i, gap))
        assert.is_true(gap <= 2.003)
      end
    end)

    it('never waits longer than a small bound', function()
      for _, gap in ipairs(gaps(0.02, 20)) do assert.is_true(gap <= 0.022, tostring(gap)) end
    end)

    it('keeps the same peer, and says what happens', function()
      local a, b = two()
      a:dial 'mem://b'
      net:advance(0)
      local object = a:peer().object
      b.raw:disconnect('a moment', true, false)
      net:advance(0.01)
      assert.equal('reconnecting', a:peer().state)
      assert.equal(object, a:peer().object)
      assert.is_nil(a:peer().session)
      net:advance(1)
      assert.equal('up', a:peer().state)
      assert.equal(object, a:peer().object)
      assert.same({ 'connecting -> up', 'up -> reconnecting', 'reconnecting -> up' }, a:states())
      assert.same({ 'connecting -> up', 'up -> gone', 'connecting -> up' }, b:states())
      assert.same({
        'session', 'connecting -> up', 'down OK', 'up -> reconnecting', 'session', 'reconnecting -> up',
      }, a.events)
    end)

    it('begins anew after a success', function()
      local a = net:node { id = 1 }
      a:dial 'mem://b'
      net:advance(20)
      local b = net:node { id = 2 }
      b:listen 'mem://b'
      net:advance(2)
      assert.equal('up', a:peer().state)
      b.raw:disconnect('a moment', true, false)
      net:advance(0.07)
      assert.equal('up', a:peer().state)
    end)

    it('survives a hundred losses', function()
      local a, b = two()
      a:dial 'mem://b'
      for _ = 1, 100 do
        net:advance(0.1)
        assert.equal('up', a:peer().state)
        b.raw:disconnect('again', true, true)
      end
      net:advance(0.1)
      assert.equal('up', a:peer().state)
      assert.equal(2, links_now())
      assert.equal(101, net:metrics().dials)
    end)

    it('finds a node that was restarted under a new id at the same address', function()
      local a, b = two()
      a:dial 'mem://b'
      net:advance(0)
      net:shutdown(b)
      net:advance(1)
      local c = net:node { id = 3, name = 'three' }
      c:listen 'mem://b'
      net:advance(3)
      assert.equal('three', a:peer().name)
      assert.same({ 'connecting -> up', 'up -> reconnecting', 'connecting -> up', 'reconnecting -> gone' }, a:states())
    end)

    it('finds a node that was restarted under its id', function()
      local a, b = two()
      a:dial 'mem://b'
      net:advance(0)
      local object = a:peer().object
      net:shutdown(b)
      net:advance(1)
      local again = net:node { id = 2, name = 'again', epoch = 2 }
      again:listen 'mem://b'
      net:advance(3)
      assert.equal('again', a:peer().name)
      assert.equal(2, a:peer().epoch)
      assert.equal(object, a:peer().object)
    end)

    it('notices a silent node and comes back to it', function()
      local a, b = two({ heartbeat = 1 }, { heartbeat = 1 })
      a:dial 'mem://b'
      net:advance(0)
      a.raw:disconnect('cut', true, true)
      net:advance(1)
      assert.equal('up', a:peer().state)
      assert.equal('up', b:peer().state)
      assert.truthy(table.concat(b.events, ' '):find 'down PEER_LOST')
    end)

    it('spreads a thousand nodes that lost the same one', function()
      local hub = net:node { id = 5000, max_peers = 2000 }
      hub:listen 'mem://hub'
      local back = {}
      for i = 1, 1000 do
        local n = net:node({ id = i }, {
          state = function(_, peer, was)
            if was == 'reconnecting' and peer.state == 'up' then back[#back + 1] = net:now() end
          end,
        })
        n:dial 'mem://hub'
      end
      net:advance(1)
      assert.equal(1000, hub.raw:up())
      net:shutdown(hub)
      net:advance(10) -- all of them are at the longest wait by now
      local again = net:node { id = 5000, epoch = 2, max_peers = 2000 }
      again:listen 'mem://hub'
      local start = net:now()
      net:advance(2.1)
      assert.equal(1000, #back)
      local bins = {}
      for _, at in ipairs(back) do
        local bin = math.floor((at - start) * 10)
        bins[bin] = (bins[bin] or 0) + 1
      end
      for bin, count in pairs(bins) do
        assert.is_true(count < 150, ('%d of 1000 came back in the same 100 ms (%d)'):format(count, bin))
      end
    end)
  end)
end)
