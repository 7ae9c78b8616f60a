--- Rings, stars, meshes that are parted: who is reached, over which way, and who is not.

local cluster = require 'spec.support.cluster'

-- luacheck: globals mesh report, ignore 211/guard 431

local function member() mesh.action('of ' .. mesh.self().name, function() return mesh.self().name end) end

local function names_of(node)
  return node:eval(function()
    local names = {}
    for i, n in ipairs(mesh.nodes()) do names[i] = n.name end
    table.sort(names)
    return table.concat(names, ' ')
  end)
end

cluster.describe('a node between two others', { 'mem', 'tcp' }, function(over)
  it('passes calls on without an action of its own when it is told to relay', function()
    local hub = over.net:node('hub', { relay = true })
    local a = over.net:node('a', { peers = { hub } }, member)
    local b = over.net:node('b', { peers = { hub } }, member)
    over.net:advance(0.1)
    assert.equal('a b hub', names_of(a))
    assert.equal('b', (a:eval(function() return mesh.call 'of b' end)))
    assert.equal('a', (b:eval(function() return mesh.call 'of a' end)))
    assert.is_false(a:eval(function()
      for _, n in ipairs(mesh.nodes()) do
        if n.name == 'hub' then return n.leaf end
      end
    end))
  end)

  it('passes none on when it is told not to', function()
    local hub = over.net:node('hub', { relay = false }, member)
    local a = over.net:node('a', { peers = { hub } }, member)
    local b = over.net:node('b', { peers = { hub } }, member)
    over.net:advance(0.1)
    local err = a:fails(function(id) mesh.with { node = id }.call('of b') end, b:id())
    assert.equal('NO_ROUTE', err.code)
    assert.equal('not_sent', err.outcome)
    assert.equal('NOT_FOUND', a:fails(function() mesh.call 'of b' end).code)
    assert.equal('hub', (a:eval(function() return mesh.call 'of hub' end)))
  end)

  it('lets each ping the other', function()
    local hub = over.net:node('hub', { relay = true })
    local a = over.net:node('a', { peers = { hub } }, member)
    over.net:node('b', { peers = { hub } }, member)
    over.net:advance(0.1)
    local rtt = a:eval(function() return mesh.ping 'b' end)
    assert.is_true(rtt > 0 and rtt < 0.5, rtt)
    assert.equal(100, a:eval(function()
      local tasks = {}
      for i = 1, 100 do tasks[i] = mesh.spawn(mesh.ping, 'b') end
      return #mesh.all(tasks)
    end))
    local actions = a:eval(function() return mesh.actions() end)
    assert.equal(2, #actions) -- a ping leaves no trace in it
  end)
end)

cluster.describe('the way', { 'mem' }, function(over)
  it('is the cheapest, also where a link is dear', function()
    local dear = over.net:node('dear', { link_cost = 1, relay = true })
    local a = over.net:node('a', { peers = { dear } }, member)
    local hops = {}
    for i = 1, 3 do
      hops[i] = over.net:node('hop' .. i, { peers = { hops[i - 1] or a }, relay = true })
    end
    over.net:node('b', { peers = { dear, hops[3] } }, member)
    over.net:advance(0.1)
    local function route()
      return a:eval(function()
        for _, r in ipairs(mesh.routes()) do
          if r.name == 'b' then return r end
        end
      end)
    end
    local r = route()
    assert.same({ 4, 0.004, { hops[1]:id() } }, { r.hops, r.cost, r.next })
    assert.equal('b', (a:eval(function() return mesh.call 'of b' end)))
    hops[2]:finish(0)
    over.net:advance(0.1)
    r = route()
    assert.same({ 2, 2.0, { dear:id() } }, { r.hops, r.cost, r.next })
    assert.equal('b', (a:eval(function() return mesh.call 'of b' end)))
  end)

  it('costs what the address of a link says, at either end', function()
    local function cost(node, name)
      return node:eval(function(of)
        for _, r in ipairs(mesh.routes()) do
          if r.name == of then return r.cost end
        end
      end, name)
    end
    local hub = over.net:node('hub', { relay = true, listen = { 'mem://cheap', 'mem://dear?cost=2.5' } })
    local a = over.net:node('a', { peers = { 'mem://cheap?cost=0.5' } }, member)
    local b = over.net:node('b', { peers = { 'mem://dear?cost=0.25' }, link_cost = 1 }, member)
    local c = over.net:node('c', { peers = { 'mem://cheap' }, link_cost = 0.125 }, member)
    over.net:advance(0.1)
    assert.same({ 0.5, 2.5, 0.125 }, { cost(hub, 'a'), cost(hub, 'b'), cost(hub, 'c') })
    assert.same({ 0.5, 2.5, 0.125 }, { cost(a, 'hub'), cost(b, 'hub'), cost(c, 'hub') })
    assert.same({ 3.0, 0.625 }, { cost(a, 'b'), cost(a, 'c') })
    a:eval(function()
      mesh.connect('mem://cheap', { cost = 4 }) -- the same address
      mesh.connect('mem://cheap')
    end)
    over.net:advance(3)
    assert.same({ 4.0, 4.125 }, { cost(hub, 'a'), cost(c, 'a') })
    hub:eval(function(url) mesh.connect(url, { cost = 5 }) end, a:url()) -- the link is not the one that it dials
    over.net:advance(3)
    assert.same({ 5.0, 5.125 }, { cost(hub, 'a'), cost(c, 'a') })
  end)

  it('may have several first steps that are equally good', function()
    local a = over.net:node('a', {}, member)
    local left = over.net:node('left', { peers = { a }, relay = true })
    local right = over.net:node('right', { peers = { a }, relay = true })
    over.net:node('b', { peers = { left, right } }, member)
    over.net:advance(0.1)
    local next_hops = a:eval(function()
      for _, r in ipairs(mesh.routes()) do
        if r.name == 'b' then return r.next end
      end
    end)
    local both = { left:id(), right:id() }
    table.sort(both)
    assert.same(both, next_hops)
  end)

  it('is another one while a link is gone, and the old one after that', function()
    local net = over.net
    local a = net:node('a', {}, member)
    local b = net:node('b', { peers = { a } }, member)
    local c = net:node('c', { peers = { a, b } }, member)
    net:advance(0.1)
    local function hops() return a:eval(function(id)
      for _, n in ipairs(mesh.nodes()) do
        if n.id == id then return n.hops end
      end
    end, c:id()) end
    assert.equal(1, hops())
    c:eval(function(id) mesh.disconnect(id) end, a:id())
    net:advance(0.1)
    assert.equal(2, hops())
    assert.equal('c', (a:eval(function() return mesh.call 'of c' end)))
    c:eval(function(url) mesh.connect(url) end, a:url())
    net:advance(0.1)
    assert.equal(1, hops())
  end)
end)

cluster.describe('a mesh', { 'mem' }, function(over)
  it('of ten nodes that are all linked runs each call once', function()
    local nodes = {}
    for i = 1, 10 do
      nodes[i] = over.net:node('n' .. i, { peers = { table.unpack(nodes) } }, function()
        mesh.action('count', function() report(mesh.self().name) end)
      end)
    end
    over.net:advance(0.2)
    for i = 1, 10 do
      assert.equal(10, select(2, names_of(nodes[i]):gsub('n%d+', '')))
      nodes[i]:eval(function()
        for _ = 1, 10 do mesh.call 'count' end
      end)
    end
    local ran = 0
    for i = 1, 10 do ran = ran + #nodes[i]:reports() end
    assert.equal(100, ran)
  end)

  it('that falls in two and heals is one again', function()
    local net = over.net
    local a1 = net:node('a1', {}, member)
    local a2 = net:node('a2', { peers = { a1 } }, member)
    local b1 = net:node('b1', {}, member)
    local b2 = net:node('b2', { peers = { b1 } }, member)
    net:advance(0.1)
    for _ = 1, 3 do
      a1:eval(function(url) mesh.connect(url) end, b1:url())
      net:advance(0.2)
      assert.equal('b2', (a2:eval(function() return mesh.call 'of b2' end)))
      assert.equal('a1 a2 b1 b2', names_of(b2))
      a1:eval(function(id) mesh.disconnect(id) end, b1:id())
      net:advance(0.1)
      assert.equal('NOT_FOUND', a2:fails(function() mesh.call 'of b2' end).code)
      assert.equal('b1 b2', names_of(b2))
      assert.equal('b1', (b2:eval(function() return mesh.call 'of b1' end)))
    end
  end)

  it('lets mesh.wait see what comes anywhere', function()
    local net = over.net
    local a = net:node('a', {}, member)
    local hub = net:node('hub', { peers = { a }, relay = true })
    local task = a:start(function()
      mesh.wait('of late', 5)
      return mesh.call 'of late'
    end)
    net:node('late', { peers = { hub } }, member)
    assert.equal('late', (task:wait()))
  end)
end)

cluster.describe('a neighbour', { 'mem', 'tcp' }, function(over)
  it('that is cut off with abort fails everything pending at once, at both ends', function()
    local function provider()
      local function hold()
        local guard <close> = setmetatable({}, { __close = function() report 'closed' end })
        report 'began'
        mesh.sleep(600)
      end
      mesh.action('slow at ' .. mesh.self().name, hold)
      mesh.action('flow', function()
        coroutine.yield 'first'
        hold()
      end)
      mesh.action('take', function()
        for _ in mesh.input() do report 'taken' end
      end)
    end
    local b = over.net:node('b', {}, provider)
    local a = over.net:node('a', { peers = { b } }, provider)
    b:eval(function() mesh.wait 'slow at a' end)
    local pending = {}
    pending[1] = b:start(function() mesh.call 'slow at a' end)
    for i = 2, 21 do pending[i] = a:start(function() mesh.call 'slow at b' end) end
    pending[22] = a:start(function()
      for _ in mesh.with { node = 'b', idle = 0 }.stream 'flow' do report 'flows' end
    end)
    pending[23] = a:start(function()
      local s <close> = mesh.with { node = 'b', idle = 0 }.stream 'take'
      s:send 'something'
      s:result()
    end)
    b:wait_reports(22)
    a:wait_reports(2)
    local cut = over.net:now()
    a:eval(function(id) mesh.disconnect(id, { abort = true }) end, b:id())
    local function lost(task)
      local err = task:failure()
      assert.same({ 'PEER_LOST', 'unknown' }, { err.code, err.outcome })
    end
    for i = 2, #pending do lost(pending[i]) end
    assert.is_true(over.net:now() - cut <= over.net:within(0.1), over.net:now() - cut)
    lost(pending[1]) -- there it is not known before the link could have come back
    assert.is_true(over.net:now() - cut <= over.net:within(0.85), over.net:now() - cut)
    b:wait_reports(22 + 21)
    a:wait_reports(2 + 1)
    over.net:settle()
    local m = over.net:metrics()
    assert.same({ 0, 0, 0 }, { m.calls_now, m.requests_now, m.links_now })
  end)

  it('past max_peers is refused with the reason', function()
    local hub = over.net:node('hub', { max_peers = 1 }, member)
    over.net:node('first', { peers = { hub } }, member)
    local second = over.net:node('second')
    local err = second:fails(function(url) mesh.connect(url) end, hub:url())
    assert.equal('BUSY', err.code)
    assert.matches('too many peers', err.message)
  end)
end)

describe('two listeners of one node', function()
  it('are one mesh to those who come over them', function()
    local net = cluster.new 'tcp'
    local hub = net:node('hub', { relay = true, listen = { 'tcp://127.0.0.1:0', 'tcp://127.0.0.1:0' } })
    local addresses = hub:addresses()
    local a = net:node('a', { peers = { addresses[1] } }, member)
    local b = net:node('b', { peers = { addresses[2] } }, member)
    net:wait(function() return names_of(a) == 'a b hub' and names_of(b) == 'a b hub' end, 'both to be known')
    assert.equal('b', (a:eval(function() return mesh.call 'of b' end)))
    assert.equal('a', (b:eval(function() return mesh.call 'of a' end)))
    net:finish()
  end)
end)

describe('the list of nodes', function()
  it('has them under the ids they chose, while they come and go', function()
    local net = cluster.new 'mem'
    local hub = net:node('hub', { relay = true })
    local a = net:node('a', { peers = { hub } }, member)
    for i = 1, 5 do
      local id = ('%02x'):format(i):rep(16)
      local b = net:node('b' .. i, { id = id, peers = { hub } }, member)
      net:advance(0.1)
      assert.equal(id, b:id())
      local found = a:eval(function(want)
        for _, n in ipairs(mesh.nodes()) do
          if n.id == want then return { n.name, n.hops, n.via } end
        end
      end, id)
      assert.same({ 'b' .. i, 2, hub:id() }, found)
      b:finish(0)
      net:advance(0.1)
      assert.equal('a hub', names_of(a))
    end
    net:finish()
  end)
end)
