--- runtime/peer/peers: the end of a node, and of its memory.

local peers = require 'spec.support.peers'
local mem = require('perilune.testing').base.mem

describe('the peers of a node', function()
  local net
  before_each(function() net = peers.new() end)
  after_each(function() net:finish() end)

  local function two(...) return peers.two(net, ...) end

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
