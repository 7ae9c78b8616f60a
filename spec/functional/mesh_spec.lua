--- The mesh as every node knows it: who is there, what they provide, and how far they are.

local cluster = require 'spec.support.cluster'

-- luacheck: globals mesh

local function member() mesh.action('of ' .. mesh.self().name, function() return mesh.self().name end) end

--- Nodes in a row, each linked to the one before it.
local function chain(net, names)
  local nodes, before = {}, nil
  for _, name in ipairs(names) do
    before = net:node(name, { peers = before and { before } }, member)
    nodes[name] = before
  end
  net:advance(0.1)
  return nodes
end

local function hops_of(node)
  return node:eval(function()
    local hops = {}
    for _, n in ipairs(mesh.nodes()) do hops[n.name] = n.hops end
    return hops
  end)
end

--- Which actions a node knows, and at how many hops.
local function actions_of(node)
  return node:eval(function()
    local hops = {}
    for _, a in ipairs(mesh.actions()) do hops[a.name] = a.providers[1].hops end
    return hops
  end)
end

cluster.describe('a chain of nodes', { 'mem', 'tcp' }, function(over)
  it('is known to its ends', function()
    local nodes = chain(over.net, { 'a', 'b', 'c', 'd' })
    assert.same({ a = 3, b = 2, c = 1, d = 0 }, hops_of(nodes.d))
    assert.same({ a = 0, b = 1, c = 2, d = 3 }, hops_of(nodes.a))
    assert.same({ ['of a'] = 3, ['of b'] = 2, ['of c'] = 1, ['of d'] = 0 }, actions_of(nodes.d))
    local a = nodes.d:eval(function() return mesh.nodes()[2] end)
    assert.same({ 'up', false, false }, { a.state, a.leaf, a.draining })
    for _, n in ipairs(nodes.d:eval(function() return mesh.nodes() end)) do
      assert.equal(n.hops == 0 and nodes.d:id() or nodes.c:id(), n.via)
    end
  end)

  it('is called and streamed from end to end', function()
    local nodes = chain(over.net, { 'a', 'b', 'c', 'd' })
    nodes.a:eval(function()
      mesh.action('count', function(n)
        for i = 1, n do coroutine.yield(i) end
        return 'done'
      end)
    end)
    over.net:advance(0.1)
    assert.equal('a', (nodes.d:eval(function() return mesh.call 'of a' end)))
    assert.equal('d', (nodes.a:eval(function() return mesh.call 'of d' end)))
    assert.equal(500500, nodes.d:eval(function()
      local sum = 0
      for i in mesh.stream('count', 1000) do sum = sum + i end
      return sum
    end))
  end)

  it('is measured from end to end, and counts as no failed call', function()
    local nodes = chain(over.net, { 'a', 'b', 'c', 'd' })
    local far = nodes.d:eval(function() return mesh.ping 'a' end)
    assert.is_true(far > 0 and far < 1, far)
    assert.equal(far, far + nodes.d:eval(function() return mesh.ping 'd' end))
    assert.is_true(nodes.d:eval(function() return mesh.ping 'c' end) > 0)
    assert.equal(0, over.net:metrics().calls_failed)
    local err = nodes.d:fails(function() mesh.ping(('0a'):rep(16)) end)
    assert.equal('NO_ROUTE', err.code)
    assert.equal('there is no path to the node', err.message)
  end)

  it('hears of actions that come and go at the other end', function()
    local nodes = chain(over.net, { 'a', 'b', 'c', 'd' })
    nodes.a:eval(function() mesh.action('new', function() end) end)
    over.net:advance(0.1)
    assert.equal(3, actions_of(nodes.d).new)
    nodes.a:eval(function() mesh.remove 'new' end)
    over.net:advance(0.1)
    assert.is_nil(actions_of(nodes.d).new)
  end)

  it('hears when its end dies', function()
    local nodes = chain(over.net, { 'a', 'b', 'c', 'd' })
    nodes.a:finish(0)
    over.net:advance(0.1)
    assert.same({ b = 2, c = 1, d = 0 }, hops_of(nodes.d))
    assert.same({ ['of b'] = 2, ['of c'] = 1, ['of d'] = 0 }, actions_of(nodes.d))
  end)
end)
