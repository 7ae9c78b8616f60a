local cluster = require 'spec.support.cluster'

-- luacheck: globals mesh report, ignore 211/guard 431

local function names(actions)
  local list = {}
  for i, entry in ipairs(actions) do list[i] = entry.name end
  return list
end

cluster.describe('the directory', cluster.kinds, function(over)
  it('shows actions that come and go at neighbours', function()
    local b = over.net:node('b', {}, function()
      mesh.action('first', function() return 1 end, { description = 'the first one', idempotent = true })
    end)
    local a = over.net:node('a', { peers = { b } })
    local actions = a:eval(function() return mesh.actions() end)
    assert.same({ 'first' }, names(actions))
    assert.same({ { id = b:id(), name = 'b', hops = 1 } }, actions[1].providers)
    assert.equal('the first one', actions[1].description)

    b:eval(function() mesh.action('second', function() return 2 end) end)
    over.net:advance(0.05)
    assert.same({ 'first', 'second' }, names(a:eval(function() return mesh.actions() end)))
    assert.equal(2, a:eval(function() return mesh.call 'second' end))

    assert.is_true(b:eval(function() return mesh.remove 'first' end))
    assert.is_false(b:eval(function() return mesh.remove 'first' end))
    over.net:advance(0.05)
    assert.same({ 'second' }, names(a:eval(function() return mesh.actions() end)))
    assert.equal('NOT_FOUND', a:fails(function() mesh.call 'first' end).code)
    assert.same({ 'second' }, names(b:eval(function() return mesh.actions() end)))
  end)

  it('is whole for who joins just when a node has learned of another', function()
    for _ = 1, 5 do
      local far = over.net:node('far', {}, function() mesh.action('deep', function() return 'here' end) end)
      local gate = over.net:node('gate', { peers = { far } }, function()
        mesh.action('near', function() end)
        mesh.wait 'deep'
      end)
      local leaf = over.net:node('leaf', { peers = { gate } })
      assert.equal('here', leaf:eval(function() return mesh.call 'deep' end))
      for _, node in ipairs { leaf, gate, far } do node:stop() end
    end
  end)

  it('lists the nodes', function()
    local b = over.net:node('b', {}, function()
      mesh.action('x', function() end)
      mesh.action('a', function() end)
    end)
    local a = over.net:node('a', { peers = { b } }, function() mesh.action('y', function() end) end)
    over.net:settle()
    local nodes = a:eval(function() return mesh.nodes() end)
    assert.equal(2, #nodes)
    assert.same({ a:id(), 'a', 0, { 'y' } }, { nodes[1].id, nodes[1].name, nodes[1].hops, nodes[1].actions })
    assert.same({ b:id(), 'b', 1, { 'a', 'x' } }, { nodes[2].id, nodes[2].name, nodes[2].hops, nodes[2].actions })
    assert.same({ b:id(), false, false, 'up' },
      { nodes[2].via, nodes[2].draining, nodes[2].leaf, nodes[2].state })
    assert.is_true(nodes[2].cost >= 0)
    assert.equal(1, nodes[2].cost < 1 and 1 or 0)
  end)

  it('misses no change, though a task loses its turn between looking and waiting', function()
    local b = over.net:node('b')
    local a = over.net:node('a', { peers = { b } })
    local task = a:start(function()
      local node = require 'perilune.core.node'
      local seen = node.changed()
      local before = #mesh.actions()
      mesh.sleep(0.2)
      node.changed(seen)
      return before, #mesh.actions()
    end)
    over.net:advance(0.05)
    b:eval(function() mesh.action('meanwhile', function() end) end)
    assert.same({ 0, 1 }, { task:wait() })
  end)

  it('waits for an action that comes later, or not for ever', function()
    local b = over.net:node('b')
    local a = over.net:node('a', { peers = { b } })
    local task = a:start(function()
      mesh.wait 'later'
      return mesh.call 'later'
    end)
    local impatient = a:fails(function() mesh.wait('never', 0.05) end)
    assert.equal('TIMEOUT', impatient.code)
    assert.equal('running', task:state())
    b:eval(function() mesh.action('later', function() return 'here' end) end)
    assert.equal('here', (task:wait()))
    assert.equal('here', a:eval(function() return mesh.with { wait = 1 }.call 'later' end))
    assert.equal('TIMEOUT', a:fails(function() mesh.with { wait = 0.05 }.call 'never' end).code)
    local chunks = a:eval(function()
      local n = 0
      for _ in mesh.with { wait = 1 }.stream 'later' do n = n + 1 end
      return n
    end)
    assert.equal(0, chunks)
  end)

  it('tells who this is', function()
    local b = over.net:node('b')
    local a = over.net:node('a', { peers = { b } })
    local self = b:eval(function() return mesh.self() end)
    assert.equal(b:id(), self.id)
    assert.matches('^%x+$', self.id)
    assert.equal(32, #self.id)
    assert.equal('b', self.name)
    assert.same(b:addresses(), self.addresses)
    assert.equal(1, self.generation)
    assert.matches('^%d+%.%d+%.%d+$', self.version)
    assert.is_true(self.started > 1e9)
    assert.equal(b:id(), a:eval(function() return mesh.nodes()[2].id end))
  end)

  it('keeps a replaced handler for calls in flight', function()
    local b = over.net:node('b', {}, function()
      mesh.action('v', function()
        report 'old began'
        mesh.sleep(0.1)
        return 'old'
      end)
    end)
    local a = over.net:node('a', { peers = { b } })
    local old = a:start(function() return mesh.call 'v' end)
    b:wait_reports(1)
    b:eval(function() mesh.action('v', function() return 'new' end) end)
    assert.equal('new', a:eval(function() return mesh.call 'v' end))
    assert.equal('old', (old:wait()))

    local removed = a:start(function()
      mesh.wait 'w'
      return mesh.call 'w'
    end)
    b:eval(function()
      mesh.action('w', function()
        report 'w began'
        mesh.sleep(0.1)
        return 'finished'
      end)
    end)
    b:wait_reports(2)
    b:eval(function() mesh.remove 'w' end)
    assert.equal('finished', (removed:wait()))
  end)

  it('finds a node by id, by name, and says when a name is ambiguous', function()
    local function who()
      mesh.action('who', function() return mesh.self().id end)
    end
    local b = over.net:node('b', {}, who)
    local c = over.net:node('c', { name = 'same' }, who)
    local d = over.net:node('d', { name = 'same' }, who)
    local a = over.net:node('a', { peers = { b, c, d } })
    for _, node in ipairs { b, c, d } do
      assert.equal(node:id(), (a:eval(function(id) return mesh.with { node = id }.call 'who' end, node:id())))
    end
    assert.equal(b:id(), (a:eval(function() return mesh.with { node = 'b' }.call 'who' end)))
    local err = a:fails(function() mesh.with { node = 'same' }.call 'who' end)
    assert.equal('INVALID', err.code)
    assert.matches(c:id(), err.message, 1, true)
    assert.matches(d:id(), err.message, 1, true)
    err = a:fails(function() mesh.with { node = 'nobody' }.call 'who' end)
    assert.equal('NO_ROUTE', err.code)
    assert.equal('not_sent', err.outcome)
    assert.matches('nobody', err.message)
    err = a:fails(function() mesh.with { node = ('0'):rep(31) .. '1' }.call 'who' end)
    assert.equal('NO_ROUTE', err.code)
    err = a:fails(function() mesh.with { node = 'b' }.call 'other' end)
    assert.equal('NOT_FOUND', err.code)
    local stream_err = a:fails(function() (mesh.with { node = 'same' }.stream 'who'):next() end)
    assert.equal('INVALID', stream_err.code)
  end)

  it('pings', function()
    local b = over.net:node('b')
    local a = over.net:node('a', { peers = { b } })
    local rtt = a:eval(function() return mesh.ping 'b' end)
    assert.is_true(rtt >= 0 and rtt < 0.5, rtt)
    assert.is_true(a:eval(function() return mesh.ping(mesh.self().id) end) < 0.01)
    assert.equal(1000, a:eval(function()
      local tasks = {}
      for i = 1, 1000 do tasks[i] = mesh.spawn(mesh.ping, 'b') end
      return #mesh.all(tasks)
    end))
    assert.equal('NO_ROUTE', a:fails(function() mesh.ping 'nobody' end).code)
  end)

  it('connects, and disconnects with a reason', function()
    local b = over.net:node('b', { log_level = 'debug' }, function() mesh.action('of b', function() return 'b' end) end)
    local a = over.net:node('a', { log_level = 'debug' })
    assert.equal('NOT_FOUND', a:fails(function() mesh.call 'of b' end).code)
    local id = a:eval(function(url)
      local id = mesh.connect(url)
      assert(mesh.connect(url) == id)
      return id
    end, b:url())
    assert.equal(b:id(), id)
    assert.equal('b', a:eval(function()
      mesh.wait('of b', 5)
      return mesh.call 'of b'
    end))
    a:eval(function(node) mesh.disconnect(node, { reason = 'enough of it' }) end, id)
    over.net:wait(function() return over.net:metrics().links_now == 0 end)
    assert.matches('enough of it', over.net:log())
    over.net:advance(0.3)
    assert.equal(0, over.net:metrics().links_now)
    assert.equal('NOT_FOUND', a:fails(function() mesh.call 'of b' end).code)
    assert.equal('NO_ROUTE', a:fails(function(node) mesh.disconnect(node) end, id).code)
    assert.equal(b:id(), a:eval(function(url) return mesh.connect(url) end, b:url())) -- again
  end)

  it('does not connect to what is not wanted any more', function()
    local b = over.net:node 'b'
    local a = over.net:node 'a'
    a:eval(function(url)
      local task = mesh.spawn(mesh.connect, url)
      mesh.sleep(0) -- it is on its way
      task:cancel()
    end, b:url())
    over.net:advance(0.3)
    assert.equal(0, over.net:metrics().links_now)
    a:eval(function(url) mesh.connect(url) end, b:url())
    assert.is_true(over.net:metrics().links_now > 0)
  end)

  it('says why it could not connect', function()
    local a = over.net:node('a')
    local targets = { mem = 'mem://nobody', tcp = 'tcp://127.0.0.1:1', unix = 'unix:///tmp/perilune-nobody.sock' }
    local target = targets[over.kind]
    local err = a:fails(function(url) mesh.connect(url) end, target)
    assert.equal('CONNECT_FAILED', err.code)
    err = a:fails(function(url) mesh.connect(url) end, a:url())
    assert.equal('SELF', err.code)
    err = a:fails(function() mesh.connect 'nonsense' end)
    assert.equal('INVALID', err.code)
    assert.matches("^mesh.connect: 'nonsense' is not an address: ", err.message)
    over.net:settle()
    assert.equal(0, over.net:metrics().links_now)
  end)

  it('reaches every one of a list, as it comes up', function()
    if over.kind ~= 'mem' then return end -- the others take their addresses when they come
    local b = over.net:node('b')
    local a = over.net:node('a', { peers = { b, 'mem://x', 'mem://y' } })
    assert.equal(2, over.net:metrics().links_now)
    over.net:node('x')
    over.net:advance(3)
    assert.equal(4, over.net:metrics().links_now)
    over.net:node('y')
    over.net:advance(3)
    assert.equal(6, over.net:metrics().links_now)
    assert.equal(4, #a:eval(function() return mesh.nodes() end))
  end)
end)

describe('a node with listeners of three kinds', function()
  it('is reached over each', function()
    local net = cluster.new 'unix'
    local path = net:folder() .. '/three.sock'
    local b = net:node('b', { listen = { 'tcp://127.0.0.1:0', 'unix://' .. path, 'mem://three' } }, function()
      mesh.action('echo', function(x) return x end)
    end)
    local addresses = b:addresses()
    assert.equal(3, #addresses)
    assert.matches('^tcp://127.0.0.1:%d+$', addresses[1])
    assert.not_matches(':0$', addresses[1])
    for i, url in ipairs(addresses) do
      local a = net:node('a' .. i, { peers = { url } })
      assert.equal(i, a:eval(function(n) return mesh.call('echo', n) end, i))
    end
    net:finish()
  end)
end)

describe('the addresses of a node', function()
  it('can be dialled: never a wildcard, or what it is told to advertise', function()
    local net = cluster.new 'tcp'
    local b = net:node('b', { listen = { 'tcp://0.0.0.0:0' }, insecure = true })
    local addresses = b:eval(function() return mesh.self().addresses end)
    assert.is_true(#addresses > 0)
    for _, address in ipairs(addresses) do
      assert.not_matches('0%.0%.0%.0', address)
      assert.not_matches('%[::%]', address)
    end
    local c = net:node('c', { advertise = { 'tcp://mesh.example.org:4100' } })
    assert.same({ 'tcp://mesh.example.org:4100' }, c:eval(function() return mesh.self().addresses end))
    net:finish()
  end)
end)

describe('a leaf', function()
  it('is none once it has an action', function()
    local net = cluster.new 'mem'
    local b = net:node('b')
    local a = net:launch('a', { peers = { b }, listen = false }, function()
      mesh = require 'perilune'
      mesh.nodes() -- joins
      mesh.sleep(1000)
    end)
    net:settle()
    local function leaf()
      return b:eval(function() return mesh.nodes()[2].leaf end)
    end
    assert.is_true(leaf())
    a:eval(function() mesh.action('x', function() end) end)
    net:settle()
    assert.is_false(leaf())
    net:finish()
  end)

  it('is none when others can dial it, so that calls may pass through', function()
    local net = cluster.new 'mem'
    local b = net:node('b')
    net:node('a', { peers = { b } })
    net:settle()
    assert.is_false(b:eval(function() return mesh.nodes()[2].leaf end))
    net:finish()
  end)

  it('knows at its first call of what is further away', function()
    local net = cluster.new 'mem'
    local hub = net:node('hub', { relay = true })
    net:node('far', { peers = { hub } }, function() mesh.action('far', function() return 'here' end) end)
    net:advance(0.1)
    local client = net:launch('client', { listen = false, peers = { hub } }, function()
      report(mesh.call 'far')
    end)
    client:wait_reports(1)
    assert.same({ 'here' }, client:reported())
    net:finish()
  end)
end)

describe('a long directory', function()
  it('is told in several adverts', function()
    local net = cluster.new 'mem'
    local b = net:node('b', {}, function()
      for i = 1, 3000 do
        mesh.action(('action number %d with a rather long name'):format(i), function() return i end)
      end
    end)
    local a = net:node('a', { peers = { b } })
    assert.equal(3000, #a:eval(function() return mesh.actions() end))
    assert.equal(2999, a:eval(function() return mesh.call 'action number 2999 with a rather long name' end))
    net:finish()
  end)
end)
