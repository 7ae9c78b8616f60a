--- runtime/peer/peers: dials, reconnects, and one link between two nodes.

local peers = require 'spec.support.peers'
local types, frame = peers.types, peers.frame
local process = require 'spec.support.process'
local mem = require('perilune.testing').base.mem

describe('the peers of a node', function()
  local net
  before_each(function() net = peers.new() end)
  after_each(function() net:finish() end)

  --- Two nodes, the second one listening at mem://b.
  local function two(options_a, options_b)
    local function options(id, more)
      local o = { id = id, name = 'node ' .. id, epoch = 1 }
      for k, v in pairs(more or {}) do o[k] = v end
      return o
    end
    local a, b = net:node(options(1, options_a)), net:node(options(2, options_b))
    assert.equal('mem://b', b:listen 'mem://b')
    return a, b
  end

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

  describe('that part', function()
    it('give the reason, and come back only when allowed', function()
      local a, b = two()
      a:dial 'mem://b'
      net:advance(0)
      b.raw:disconnect('not you', false, false)
      net:advance(10)
      assert.equal('not you', a.detail)
      assert.same({}, a:peers())
      assert.same({}, b:peers())
      assert.same({ 'connecting -> up', 'up -> gone' }, a:states())
      assert.equal(1, net:metrics().dials)
      a:dial 'mem://b' -- on purpose
      net:advance(0)
      assert.equal('OK', a.dialled[2].code)
    end)

    it('stop their own dials, too, unless they may come back', function()
      local a, b = two()
      a:dial 'mem://b'
      net:advance(0)
      a.raw:disconnect('enough', false, false)
      net:advance(10)
      assert.same({}, a:peers())
      assert.equal('enough', b.detail)
      assert.equal(1, net:metrics().dials)
    end)

    it('can do so while dialling', function()
      local a = two()
      a:dial 'mem://b'
      a.raw:disconnect('enough', false, false)
      assert.same({}, a.dialled)
      net:advance(1)
      assert.equal('CANCELLED', a.dialled[1].code)
      assert.same({}, a:peers())
    end)

    it('fail everything at once when they abort', function()
      local a, b = two()
      a:dial 'mem://b'
      net:advance(0)
      a.raw:disconnect('enough', true, true)
      net:advance(0)
      assert.same({ 'session', 'connecting -> up', 'down OK', 'up -> reconnecting' }, a.events)
      assert.same({ 'session', 'connecting -> up', 'down PEER_LOST', 'up -> gone' }, b.events)
    end)

    it('wait as long as they were told', function()
      local listener = net:node { id = 2, max_peers = 0 }
      listener:listen 'mem://b'
      local a = net:node { id = 1 }
      a:dial 'mem://b'
      net:advance(0.99)
      assert.equal('BUSY', a.dialled[1].code)
      assert.equal('too many peers', a.dialled[1].detail)
      assert.equal(1, net:metrics().dials)
      net:advance(0.3)
      assert.equal(2, net:metrics().dials)
      assert.equal(2, net:metrics().links_refused)
    end)
  end)

  describe('with a bound on their number', function()
    it('refuses the next one, keeps the others, and has room when one leaves', function()
      local hub = net:node { id = 100, max_peers = 3 }
      hub:listen 'mem://hub'
      local nodes = {}
      for i = 1, 5 do
        nodes[i] = net:node { id = i }
        nodes[i]:dial 'mem://hub'
      end
      net:advance(0.5)
      local codes = { OK = 0, BUSY = 0 }
      for _, n in ipairs(nodes) do codes[n.dialled[1].code] = codes[n.dialled[1].code] + 1 end
      assert.same({ OK = 3, BUSY = 2 }, codes)
      assert.equal(3, hub.raw:up())
      for i, n in ipairs(nodes) do
        if n.dialled[1].code == 'OK' then
          net:shutdown(nodes[i])
          break
        end
      end
      net:advance(3)
      assert.equal(3, hub.raw:up())
    end)

    it('does not refuse those that it dials itself', function()
      local a, b = two { max_peers = 0 }
      a:dial 'mem://b'
      net:advance(0)
      assert.equal('OK', a.dialled[1].code)
      assert.equal(1, b.raw:up())
    end)
  end)

  describe('with their own address', function()
    it('find out, and do not try again', function()
      local a = net:node { id = 1 }
      a:listen 'mem://self'
      a:dial 'mem://self'
      net:advance(10)
      assert.equal('SELF', a.dialled[1].code)
      assert.equal('the address leads back to this node', a.dialled[1].detail)
      assert.same({}, a:peers())
      assert.equal(1, net:metrics().dials)
      assert.equal(0, links_now())
    end)
  end)

  describe('that claim one id', function()
    it('refuse a copy of themselves', function()
      local a = net:node { id = 1, epoch = 1 }
      local copy = net:node { id = 1, epoch = 2 }
      copy:listen 'mem://b'
      a:dial 'mem://b'
      net:advance(0.01)
      assert.equal('INVALID', a.dialled[1].code)
      assert.equal('id is taken', a.dialled[1].detail)
      assert.equal(0, links_now())
    end)

    it('refuse a newcomer while the first one lives', function()
      local a, b = two()
      a:dial 'mem://b'
      net:advance(0)
      for _, epoch in ipairs { 0, 7 } do
        local copy = net:node { id = 1, epoch = epoch }
        copy:dial('mem://b', false)
        net:advance(0.5)
        assert.equal('INVALID', copy.dialled[1].code)
        assert.equal('id is taken', copy.dialled[1].detail)
      end
      assert.equal(1, b:peer().epoch)
      assert.equal('up', b:peer().state)
      assert.equal('up', a:peer().state)
    end)

    --- A node of `epoch` that is only bytes, up at `b` and then silent.
    local function silent(b, epoch)
      local raw = net:raw 'mem://b'
      net:advance(0)
      raw:write(peers.PREAMBLE .. peers.hello { id = ('\0'):rep(7) .. '\1' .. ('\0'):rep(8), epoch = epoch }
        .. frame(types.READY))
      net:advance(0)
      assert.equal(epoch, b:peer().epoch)
    end

    it('let a restarted node in when the old link does not answer', function()
      local _, b = two({}, { heartbeat = 2 })
      silent(b, 1)
      local object = b:peer().object
      local again = net:node { id = 1, epoch = 2 }
      again:dial 'mem://b'
      net:advance(1.9)
      assert.equal(0, #again.dialled)
      net:advance(0.2)
      assert.equal('OK', again.dialled[1].code)
      assert.equal(2, b:peer().epoch)
      assert.equal(object, b:peer().object)
      assert.same({ 'connecting -> up' }, b:states()) -- one link took the place of the other
      assert.equal(1, b.raw:up())
    end)

    it('refuse an older start even then', function()
      local _, b = two({}, { heartbeat = 2 })
      silent(b, 5)
      local old = net:node { id = 1, epoch = 2 }
      old:dial('mem://b', false)
      net:advance(2.1)
      assert.equal('INVALID', old.dialled[1].code)
      assert.equal(5, b:peer().epoch)
    end)

    it('believe the same start at once', function()
      local _, b = two({}, { heartbeat = 2 })
      silent(b, 1)
      local again = net:node { id = 1, epoch = 1 }
      again:dial 'mem://b'
      net:advance(0.1)
      assert.equal('OK', again.dialled[1].code)
      net:advance(10)
      assert.equal('up', again:peer().state)
      assert.equal(1, b.raw:up())
      assert.equal(again:peer().session.nonce, b:peer().session.nonce)
    end)
  end)

  describe('that dial each other', function()
    it('end with one link', function()
      local a, b = two()
      a:listen 'mem://a'
      a:dial 'mem://b'
      b:dial 'mem://a'
      net:advance(1)
      assert.equal('OK', a.dialled[1].code)
      assert.equal('OK', b.dialled[1].code)
      assert.equal(2, links_now())
      assert.equal(a:peer().session.nonce, b:peer().session.nonce)
      assert.is_true(a:peer().session.dialler) -- of the smaller id
      assert.same({ 'connecting -> up' }, a:states())
      assert.same({ 'connecting -> up' }, b:states())
      net:advance(100)
      assert.equal(2, net:metrics().dials)
    end)

    it('keep the link with the smaller nonce when one node dialled both', function()
      local a, b = two()
      b:listen 'mem://b2'
      a:dial 'mem://b'
      net:advance(1)
      local first = a:peer().session.nonce
      a:dial 'mem://b2'
      net:advance(1)
      assert.equal('OK', a.dialled[2].code)
      assert.equal(2, links_now())
      local last = a:peer().session.nonce
      assert.equal(last, b:peer().session.nonce)
      assert.is_true(last <= first)
    end)

    it('do not close a link that has circuits, and close it with the last one', function()
      local a, b = two()
      a:listen 'mem://a'
      b:dial 'mem://a'
      net:advance(0)
      a.raw:set_circuits(1)
      b.raw:set_circuits(1)
      a:dial 'mem://b' -- this one is to stay
      net:advance(30)
      assert.equal(4, links_now())
      assert.is_true(a:peer().session.dialler)
      a.raw:set_circuits(0)
      net:advance(1)
      assert.equal(2, links_now()) -- what one end has open, the other counts as well
      assert.equal('up', a:peer().state)
      assert.equal('up', b:peer().state)
    end)

    --- Two nodes dial each other three times each and send, while links are fast and slow by
    --- chance.
    local function crossed(seed)
      local mine = peers.new(seed)
      math.randomseed(seed)
      local ids = { math.random(1 << 60), math.random(1 << 60) }
      local nodes = { mine:node { id = ids[1] }, mine:node { id = ids[2] } }
      for side = 1, 2 do
        for i = 1, 3 do nodes[side]:listen(('mem://%d-%d'):format(side, i)) end
      end
      local dialled, sent = { 0, 0 }, { 0, 0 }
      for _ = 1, 60 do
        local side = math.random(2)
        if dialled[side] < 3 and math.random(4) == 1 then
          dialled[side] = dialled[side] + 1
          nodes[side]:dial(('mem://%d-%d'):format(3 - side, dialled[side]))
        end
        if nodes[side].raw:send 'message' then sent[side] = sent[side] + 1 end
        mine.world:shake(math.random(0, 8))
      end
      for side = 1, 2 do
        for i = dialled[side] + 1, 3 do nodes[side]:dial(('mem://%d-%d'):format(3 - side, i)) end
      end
      while mine.world:shake(100) do end
      mine:advance(1)
      for side = 1, 2 do
        local n = nodes[side]
        assert.equal(3, #n.dialled)
        for _, d in ipairs(n.dialled) do assert.equal('OK', d.code) end
        assert.equal(sent[3 - side], #n.frames, 'messages')
        for _, state in ipairs(n:states()) do -- an address turned out to be a node that is known
          assert.is_true(state == 'connecting -> up' or state == 'connecting -> gone', state)
        end
        assert.equal('up', n:peer().state)
      end
      local one, other = nodes[1]:peer().session, nodes[2]:peer().session
      assert.equal(one.nonce, other.nonce)
      local smaller = ids[1] < ids[2] and one or other
      assert.is_true(smaller.dialler)
      assert.equal(2, mine:metrics().links_now)
      mine:advance(20)
      assert.equal(one.nonce, nodes[1]:peer().session.nonce)
      assert.equal(2, mine:metrics().links_now)
      mine:finish()
      return one.nonce
    end

    it('end with one link and lose no message, in a thousand runs', function()
      for seed = 1, 1000 do
        local ok, why = pcall(crossed, seed)
        if not ok then error(('seed %d: %s'):format(seed, why)) end
      end
    end)

    it('replay from their seed', function()
      assert.equal(crossed(42), crossed(42))
    end)
  end)

  describe('that listen', function()
    it('refuse to do so beyond this machine, and say what to do', function()
      local a = net:node { id = 1 }
      for _, url in ipairs { 'tcp://0.0.0.0:0', 'tcp://[::]:0', 'tcp://192.0.2.1:4000', 'tcp://*:1' } do
        local bound, code, detail = a:listen(url)
        assert.is_nil(bound)
        assert.equal('FORBIDDEN', code)
        assert.truthy(detail:find 'insecure')
      end
    end)

    it('say what is wrong with an address', function()
      local a = net:node { id = 1 }
      local _, code, detail = a:listen 'nonsense'
      assert.equal('INVALID', code)
      assert.are_not.equal('', detail)
      a:listen 'mem://here'
      _, code, detail = a:listen 'mem://here'
      assert.equal('ADDRESS_IN_USE', code)
      assert.equal('mem://here is in use', detail)
    end)

    it('accept nothing once they stop doing so', function()
      local a, b = two()
      b.raw:unlisten()
      a:dial('mem://b', false)
      net:advance(1)
      assert.equal('CONNECT_FAILED', a.dialled[1].code)
    end)
  end)

  describe('that stop', function()
    it('end dials and links with a reason', function()
      local a, b = two()
      a:dial 'mem://b'
      a:dial 'mem://nowhere'
      net:advance(0)
      net:shutdown(a, 'the end')
      assert.is_false(a.raw:is_free())
      net:advance(0)
      assert.is_true(a.raw:is_free())
      assert.equal('stopped', a.events[#a.events])
      assert.equal('the end', b.detail)
      assert.same({}, b:peers())
    end)

    it('cancel what is due, and free all', function()
      local a = two()
      a:dial 'mem://b'
      net:shutdown(a)
      net:advance(0)
      assert.equal('CANCELLED', a.dialled[1].code)
      assert.is_true(a.raw:is_free())
    end)

    it('have nothing to wait for when nothing is there', function()
      local a = net:node { id = 1 }
      net:shutdown(a)
      assert.is_false(a.raw:is_free())
      net:advance(0)
      assert.is_true(a.raw:is_free())
    end)

    it('refuse to dial', function()
      local a, b = two()
      a:dial 'mem://b'
      net:advance(0)
      a.hooks.state = function(n)
        local dial, code = n:dial 'mem://b'
        assert.is_nil(dial)
        assert.equal('DRAINING', code)
      end
      net:shutdown(a)
      net:advance(1)
      assert.is_true(a.raw:is_free())
      assert.same({}, b:peers())
    end)

    it('can do so in every callback', function()
      for _, event in ipairs { 'session', 'state', 'down' } do
        local a = net:node({ id = 1 }, { [event] = function(n) net:shutdown(n) end })
        local b = net:node { id = 2 }
        local url = 'mem://' .. event
        b:listen(url)
        a:dial(url)
        net:advance(1)
        if event == 'down' then b.raw:disconnect('', true, false) end
        net:advance(1)
        assert.is_true(a.raw:is_free(), event)
      end
      local a
      a = two()
      a:dial('mem://b', true, function() net:shutdown(a) end)
      net:advance(1)
      assert.is_true(a.raw:is_free())
    end)
  end)

  it('survive when memory is exhausted at any point, and recover', function()
    for n = 1, 120 do
      local a, b = net:node { id = 10 * n, name = 'a' }, net:node { id = 10 * n + 1, name = 'b' }
      local url = 'mem://oom' .. n
      b:listen(url)
      mem.fail_at(n)
      a:dial(url)
      net:advance(0.02)
      if #b:peers() > 0 then b.raw:disconnect('again', true, false) end
      net:advance(0.02)
      mem.fail_at(0)
      net:advance(3)
      assert.equal('up', a:peer().state, n)
      net:shutdown(a)
      net:shutdown(b)
      net:advance(0.1)
    end
  end)

  it('are left alone by garbage and by those who do not speak', function()
    local a, b = two({}, { handshake_timeout = 5 })
    a:dial 'mem://b'
    local raws = {}
    for i = 1, 100 do
      raws[i] = net:raw 'mem://b'
      if i % 2 == 0 then raws[i]:write 'GET / HTTP/1.1\r\n\r\n' end
    end
    net:advance(7)
    for _, raw in ipairs(raws) do assert.is_false(raw:is_open()) end
    assert.equal(1, b.raw:up())
    assert.equal(100, net:metrics().handshakes_failed)
  end)
end)

describe('peers over sockets', function()
  local net
  before_each(function() net = peers.new 'real' end)
  after_each(function() net:finish() end)

  it('listen on several kinds at once, and use one link', function()
    local b = net:node { id = 2 }
    local urls = {
      b:listen 'tcp://127.0.0.1:0', b:listen('unix://' .. process.temp_dir() .. '/b'), b:listen 'mem://b-real',
    }
    assert.equal(3, #urls)
    local a = net:node { id = 1 }
    for _, url in ipairs(urls) do a:dial(url) end
    net:wait(function() return #a.dialled == 3 and net:metrics().links_now == 2 end, 'one link')
    for _, d in ipairs(a.dialled) do assert.equal('OK', d.code) end
    assert.equal(a:peer().session.nonce, b:peer().session.nonce)
    assert.is_true(a:peer().session.rtt_us > 0)
  end)

  it('reconnect', function()
    local a, b = net:node { id = 1 }, net:node { id = 2 }
    a:dial(b:listen 'tcp://127.0.0.1:0')
    net:wait(function() return #a.dialled == 1 end, 'the link')
    b.raw:disconnect('again', true, true)
    net:wait(function() return #a:states() == 3 end, 'the next link')
    assert.equal('up', a:peer().state)
  end)

  it('hear a refused connection at once', function()
    local b = net:node { id = 2 }
    local url = b:listen 'tcp://127.0.0.1:0'
    b.raw:unlisten()
    net:advance(0.01)
    local a = net:node { id = 1 }
    a:dial(url, false)
    net:wait(function() return #a.dialled == 1 end, 'the refusal')
    assert.equal('CONNECT_FAILED', a.dialled[1].code)
    assert.are_not.equal('', a.dialled[1].detail)
  end)

  it('give up a connection that nobody answers, at the set time', function()
    local frozen = peers.new 'real' -- never runs, so its queue fills and the system drops the rest
    frozen.inner = true
    local url = frozen:node({ id = 2 }):listen 'tcp://127.0.0.1:0?backlog=1'
    for _ = 1, 4 do net:raw(url) end
    net:advance(0.05)
    local a = net:node { id = 1, connect_timeout = 0.2 }
    local start = net:now()
    a:dial(url, false)
    net:wait(function() return #a.dialled == 1 end, 'the timeout')
    assert.equal('TIMEOUT', a.dialled[1].code)
    assert.equal('no connection within 0.2 s', a.dialled[1].detail)
    assert.is_true(a.dialled[1].at - start >= 0.2)
    frozen:finish()
  end)
end)
