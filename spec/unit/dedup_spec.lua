--- runtime/peer/peers: one link between two nodes.

local peers = require 'spec.support.peers'

describe('the peers of a node', function()
  local net
  before_each(function() net = peers.new() end)
  after_each(function() net:finish() end)

  local function two(...) return peers.two(net, ...) end

  local function links_now() return net:metrics().links_now end

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

    it('do not close a link that has circuits, and close it with the last one of either', function()
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
      assert.equal(4, links_now()) -- one end has still some
      b.raw:set_circuits(0)
      net:advance(1)
      assert.equal(2, links_now())
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
end)
