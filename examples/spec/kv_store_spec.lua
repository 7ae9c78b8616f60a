-- A store and its clients in virtual time; expiry takes no time of ours.
local test = require 'perilune.test'

describe('kv_store.lua', function()
  local net

  before_each(function()
    net = test.mesh { nodes = { store = test.script 'kv_store.lua', a = true, b = true } }
  end)

  it('gives one node what another has set', function()
    net.a:call('set', 'color', { r = 255, g = 0 })
    assert.same({ r = 255, g = 0 }, net.b:call('get', 'color'))
    net.b:call('delete', 'color')
    assert.is_nil(net.a:call('get', 'color'))
  end)

  it('forgets after the time that it was told', function()
    net.a:call('set', 'session', 'ada', 60)
    net:advance(59)
    assert.equal('ada', net.b:call('get', 'session'))
    net:advance(2)
    assert.is_nil(net.b:call('get', 'session'))
  end)

  it('adds for many at once, and loses none', function()
    local tasks = {}
    for i = 1, 20 do
      tasks[i] = net[i % 2 == 0 and 'a' or 'b']:start(function() mesh.call('add', 'visits', 1) end)
    end
    for _, task in ipairs(tasks) do task:wait() end
    assert.equal(20, net.a:call('get', 'visits'))
  end)

  it('swaps only what is as expected', function()
    net.a:call('set', 'leader', 'a')
    assert.is_false(net.b:call('swap', 'leader', 'c', 'b'))
    assert.is_true(net.b:call('swap', 'leader', 'a', 'b'))
    assert.equal('b', net.a:call('get', 'leader'))
  end)

  it('cannot be reached from the other side of a partition, and says so', function()
    net:partition('store', { 'a', 'b' })
    net:advance(10)
    local ok, err = pcall(net.a.call, net.a, 'get', 'color')
    assert.is_false(ok)
    assert.equal('not_sent', err.outcome)
    net:heal()
    net:advance(5)
    net.a:call('set', 'color', 'green')
  end)
end)
