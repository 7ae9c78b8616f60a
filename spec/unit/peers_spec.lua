--- runtime/peer/peers: who may be a neighbour, and how neighbours part.

local testing = require 'perilune.testing'
local peers = require 'spec.support.peers'
local message = testing.wire.message
local types, frame = peers.types, peers.frame

describe('the peers of a node', function()
  local net
  before_each(function() net = peers.new() end)
  after_each(function() net:finish() end)

  local function two(...) return peers.two(net, ...) end

  local function links_now() return net:metrics().links_now end

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

    it('say which start is to be surpassed, and let in who does that', function()
      local _, b = two({}, { heartbeat = 2 })
      silent(b, 5)
      local again = net:node { id = 1, epoch = 2, renews = true }
      again:dial 'mem://b'
      net:advance(2.1)
      assert.equal(1, #again.dialled) -- the refusal is none of the dial
      assert.equal('OK', again.dialled[1].code)
      assert.equal(6, b:peer().epoch)
      assert.equal(1, b.raw:up())
    end)

    it('do not say so while the first one lives', function()
      local a, b = two { epoch = 9 }
      a:dial 'mem://b'
      net:advance(0)
      local copy = net:node { id = 1, epoch = 2, renews = true }
      copy:dial 'mem://b'
      net:advance(1)
      assert.equal('INVALID', copy.dialled[1].code)
      assert.equal(9, b:peer().epoch)
      local raw = net:raw 'mem://b'
      net:advance(0)
      raw:write(peers.PREAMBLE .. peers.hello { id = ('\0'):rep(7) .. '\1' .. ('\0'):rep(8), epoch = 2 })
      net:advance(0.1)
      local frames = peers.parse(raw:take())
      assert.equal(types.GOODBYE, frames[#frames].type)
      assert.is_nil(message.decode('goodbye', frames[#frames].body).epoch)
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
end)
