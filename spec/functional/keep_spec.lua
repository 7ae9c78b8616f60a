--- Links that are kept, and those that nobody wants any more.

local cluster = require 'spec.support.cluster'
local mem = require 'perilune.testing'.base.mem

-- luacheck: globals mesh report

local function member()
  mesh.action('of ' .. mesh.self().name, function(seconds)
    if seconds then mesh.sleep(seconds) end
    return mesh.self().name
  end)
end

cluster.describe('a link', cluster.kinds, function(over)
  local a, b

  before_each(function()
    b = over.net:node('b', {}, member)
    a = over.net:node('a', { peers = { b } }, member)
    over.net:wait(function() return over.net:metrics().links_now == 2 end, 'the link')
  end)

  local function links() return over.net:metrics().links_now end

  local function keep(node, other, what)
    node:eval(function(id, name) mesh[name](id) end, other:id(), what)
  end

  it('goes when neither end keeps it', function()
    keep(a, b, 'unkeep')
    over.net:wait(function() return links() == 0 end, 'the end of the link')
    over.net:advance(0.5)
    assert.equal(0, links())
    assert.equal('NOT_FOUND', a:fails(function() mesh.call 'of b' end).code)
  end)

  it('goes only when the calls on it have ended, both ways', function()
    local seconds = over.net.virtual and 5 or 0.3
    local there = a:start(function(s) return mesh.call('of b', s) end, seconds)
    local back = b:start(function(s) return mesh.call('of a', s) end, seconds)
    over.net:wait(function() return over.net:metrics().requests_now == 2 end, 'the calls')
    keep(a, b, 'unkeep')
    assert.equal('b', (there:wait()))
    assert.equal('a', (back:wait()))
    over.net:wait(function() return links() == 0 end, 'the end of the link')
  end)

  it('is dialled anew by the other end when that keeps it', function()
    keep(b, a, 'keep')
    over.net:advance(0.1)
    assert.equal(2, links())
    keep(a, b, 'unkeep')
    over.net:wait(function()
      local up = links() == 2 and b:eval(function(id)
        for _, n in ipairs(mesh.nodes()) do
          if n.id == id then return n.state end
        end
      end, a:id())
      return up == 'up'
    end, 'the new link')
    assert.equal('b', (a:eval(function()
      mesh.wait('of b', 5)
      return mesh.call 'of b'
    end)))
    assert.equal('a', (b:eval(function()
      mesh.wait('of a', 5)
      return mesh.call 'of a'
    end)))
    keep(b, a, 'unkeep')
    over.net:wait(function() return links() == 0 end, 'the end of the link')
  end)

  it('loses no call while it is kept and unkept in turn', function()
    keep(b, a, 'keep')
    local calls = {}
    for i = 1, 100 do
      calls[i] = a:start(function() return mesh.with { wait = 5 }.call('of b', 0.01) end)
      if i % 20 == 0 then
        keep(a, b, 'unkeep')
        over.net:advance(0.05)
        a:eval(function(url) mesh.connect(url) end, b:url())
      end
    end
    for _, call in ipairs(calls) do assert.equal('b', (call:wait())) end
  end)

  it('is one after six dials at once', function()
    local tasks = {}
    for i = 1, 6 do
      local from, to = a, b
      if i % 2 == 0 then from, to = b, a end
      tasks[i] = from:start(function(url) return mesh.connect(url) end, to:url())
    end
    for _, task in ipairs(tasks) do task:wait() end
    over.net:wait(function() return links() == 2 end, 'one link')
    local pongs = a:eval(function()
      local n = 0
      for _ = 1, 1000 do
        if mesh.call 'of b' == 'b' then n = n + 1 end
      end
      return n
    end)
    assert.equal(1000, pongs)
  end)

  it('is kept again after it was not for a while', function()
    for _, what in ipairs { 'keep', 'unkeep', 'keep' } do
      keep(b, a, what)
      over.net:advance(0.5)
      over.net:wait(function() return links() == 2 end, 'one link')
    end
    keep(a, b, 'unkeep')
    over.net:advance(0.5)
    over.net:wait(function() return links() == 2 end, 'the link of the other end')
    assert.equal('b', (a:eval(function() return mesh.with { wait = 5 }.call 'of b' end)))
  end)

  it('costs nothing more however often its address is connected to', function()
    local function connect(times)
      a:eval(function(url, n)
        for i = 1, n do assert(mesh.connect(url .. (i % 2 == 0 and '?backlog=10' or '')) == mesh.connect(url)) end
        collectgarbage()
      end, b:url(), times)
    end
    connect(3)
    local before = mem.live()
    connect(100)
    assert.is_true(mem.live() - before < 50)
    assert.equal(2, links())
    keep(a, b, 'unkeep') -- once is enough
    over.net:wait(function() return links() == 0 end, 'the end of the link')
    over.net:advance(0.5)
    assert.equal(0, links())
  end)

  it('cannot be kept to a node that has none, or tells no address', function()
    local err = a:fails(function() mesh.keep(('0'):rep(31) .. '1') end)
    assert.equal('NO_ROUTE', err.code)
    local client = over.net:node('client', { listen = false, peers = { b } }, function()
      mesh.spawn(function() mesh.sleep(60) end)
      mesh.action('_x', function() end)
    end)
    over.net:advance(0.1)
    err = b:fails(function(id) mesh.keep(id) end, client:id())
    assert.equal('INVALID', err.code)
    assert.matches('no address', err.message)
  end)
end)
