--- A link that has broken and may come back: new calls go round it, those that are on it stay.

local cluster = require 'spec.support.cluster'

-- luacheck: globals mesh report

local WINDOW = { resume_window = 20 } -- for the specs that let the link come back

local LINK_COST = 0.001

local function worker()
  local runs = 0
  mesh.action('echo', function(...)
    runs = runs + 1
    return ...
  end)
  mesh.action('hold', function(seconds)
    report 'began'
    mesh.sleep(seconds)
    return 'held'
  end)
  mesh.action('count', function(n, seconds)
    for i = 1, n do
      coroutine.yield(i)
      mesh.sleep(seconds)
    end
  end)
  mesh.action('runs', function() return runs end)
  mesh.action('add', function()
    local sum = 0
    for n in mesh.input() do sum = sum + n end
    return sum
  end)
end

local function with(options, peers, link_cost)
  local copy = { peers = peers, link_cost = link_cost }
  for key, value in pairs(options or {}) do copy[key] = value end
  return copy
end

cluster.describe('a broken link beside another way', { 'mem', 'tcp' }, function(over)
  local net, a, b, r, proxy

  --- a and b with a link that can be cut, and a relay beside it. What links cost is set, because on a busy machine the
  --- round trip over the relay may be the shorter one.
  local function triangle(options)
    net = over.net
    b = net:node('b', with(options, {}, LINK_COST), worker)
    proxy = net:proxy(b)
    r = net:node('r', { peers = { b }, relay = true, link_cost = LINK_COST })
    a = net:node('a', with(options, { proxy:url(), r }, LINK_COST), function()
      mesh.action('of a', function() return 'a' end)
    end)
    net:wait(function()
      return a:eval(function(id)
        for _, n in ipairs(mesh.nodes()) do
          if n.id == id then return n.hops == 1 end
        end
      end, b:id())
    end, 'the link')
    net:converge()
  end

  local function cut()
    proxy:deafen(true)
    proxy:cut()
    net:wait(function() return net:metrics().links_broken == 2 end, 'the cut')
  end

  local function heal()
    proxy:deafen(false)
    net:wait(function() return net:metrics().links_resumed == 2 end, 'the link')
  end

  local function relayed() return net:metrics().relays_opened end

  local function call_times(node, n)
    return node:eval(function(times)
      local sum = 0
      for i = 1, times do sum = sum + mesh.call('echo', i) end
      return sum
    end, n)
  end

  it('is gone round by new calls, and taken again when it is back', function()
    triangle(WINDOW)
    cut()
    assert.equal(55, call_times(a, 10))
    assert.equal(10, relayed())
    assert.equal('a', (b:eval(function() return mesh.call 'of a' end)))
    assert.equal(11, relayed())
    heal()
    assert.equal(55, call_times(a, 10))
    net:wait(function()
      local before = relayed()
      call_times(a, 1)
      return relayed() == before
    end, 'the direct way')
    assert.equal(0, net:metrics().calls_failed)
  end)

  it('keeps the calls and streams that are on it, and repeats none', function()
    triangle(WINDOW)
    local held = a:start(function() return mesh.call('hold', 0.5) end)
    local stream = a:start(function()
      local list = {}
      for i in mesh.stream('count', 40, 0.01) do list[#list + 1] = i end
      return list
    end)
    b:wait_reports(1)
    net:advance(0.1)
    cut()
    assert.equal(55, call_times(a, 10))
    net:advance(0.2)
    assert.equal('running', held:state())
    assert.equal('running', stream:state())
    heal()
    assert.equal('held', held:wait())
    local list = stream:wait()
    for i = 1, 40 do assert.equal(i, list[i]) end
    assert.equal(1, #b:reports())
    assert.equal(10, (a:eval(function() return mesh.call 'runs' end)))
    local metrics = net:metrics()
    assert.same({ 0, 0, 0 }, { metrics.calls_failed, metrics.calls_repeated, metrics.peers_lost })
  end)

  it('is gone round by streams and pings, too', function()
    triangle(WINDOW)
    cut()
    assert.equal(6, (a:eval(function()
      local sum = 0
      for i in mesh.stream('count', 3, 0) do sum = sum + i end
      return sum
    end)))
    assert.is_true(a:eval(function() return mesh.ping 'b' end) < 10)
    assert.equal(2, relayed())
    heal()
  end)

  it('does not make its node rest', function()
    triangle(WINDOW)
    cut()
    local function standing()
      return a:eval(function() return mesh.explain('echo').candidates[1].standing end)
    end
    assert.equal('fit', standing())
    r:finish(0)
    net:wait(function() return standing() == 'resting' end, 'the end of the other way')
    local call = a:start(function() return mesh.call('echo', 7) end)
    net:advance(0.2)
    assert.equal('running', call:state())
    heal()
    assert.equal(7, call:wait())
    assert.equal(0, net:metrics().calls_failed)
  end)

  it('may be lost for good, and new calls do not notice', function()
    triangle()
    local held = a:start(function() return mesh.call('hold', 100) end)
    b:wait_reports(1)
    cut()
    local run = a:start(function()
      local n, over_at = 0, mesh.now() + 1.5
      while mesh.now() < over_at do
        n = n + mesh.call('echo', 1)
        mesh.sleep(0.01)
      end
      return n
    end)
    local err = held:failure()
    assert.same({ 'PEER_LOST', 'unknown' }, { err.code, err.outcome })
    assert.is_true(run:wait() > 10)
    assert.equal(1, net:metrics().calls_failed)
  end)
end)

cluster.describe('calls that wait for a broken link', { 'mem', 'tcp' }, function(over)
  local net, a, b, proxy

  local function apart()
    net = over.net
    b = net:node('b', WINDOW, worker)
    proxy = net:proxy(b)
    a = net:node('a', with(WINDOW, { proxy:url() }))
    net:wait(function() return #a:eval(function() return mesh.nodes() end) == 2 end, 'the link')
    net:converge()
    proxy:deafen(true)
    proxy:cut()
    net:wait(function() return net:metrics().links_broken == 2 end, 'the cut')
  end

  local function another_way() net:node('r', { peers = { a, b }, relay = true }) end

  it('go another way as soon as there is one, and are run once', function()
    apart()
    local waiting = {}
    for i = 1, 20 do
      waiting[i] = a:start(function(n) return mesh.with({ retries = n % 2 }).call('echo', ('x'):rep(n * 1000)) end, i)
    end
    net:advance(0.2)
    for i = 1, 20 do assert.equal('running', waiting[i]:state()) end
    another_way()
    for i = 1, 20 do assert.equal(i * 1000, #waiting[i]:wait()) end
    assert.equal(20, (a:eval(function() return mesh.call 'runs' end)))
    local metrics = net:metrics()
    assert.same({ 0, 0, 21 }, { metrics.calls_failed, metrics.calls_repeated, metrics.relays_opened })
  end)

  it('take the items along that wait with them', function()
    apart()
    local sum = a:start(function()
      local s = mesh.stream 'add'
      for i = 1, 100 do s:send(i) end
      s:finish()
      return s:result()
    end)
    net:advance(0.2)
    assert.equal('running', sum:state())
    another_way()
    assert.equal(5050, sum:wait())
    assert.equal(0, net:metrics().calls_failed)
  end)

  it('stay where some of them has been sent', function()
    apart()
    proxy:deafen(false)
    net:wait(function() return net:metrics().links_resumed == 2 end, 'the link')
    local held = a:start(function() return mesh.call('hold', 0.1) end)
    b:wait_reports(1)
    proxy:deafen(true)
    proxy:cut()
    net:wait(function() return net:metrics().links_broken == 4 end, 'the cut')
    another_way()
    net:advance(0.5)
    assert.equal('running', held:state())
    proxy:deafen(false)
    assert.equal('held', held:wait())
    assert.equal(1, #b:reports())
  end)
end)

cluster.describe('a broken link of a ring', { 'mem' }, function(over)
  it('is gone round the long way, once all know of it', function()
    local net = over.net
    local b = net:node('b', WINDOW, worker)
    local proxy = net:proxy(b)
    local c = net:node('c', { peers = { b }, relay = true })
    local d = net:node('d', { peers = { c }, relay = true })
    local e = net:node('e', { peers = { d }, relay = true })
    local a = net:node('a', with(WINDOW, { proxy:url(), e }), function() mesh.action('of a', print) end)
    net:advance(0.2)
    proxy:deafen(true)
    proxy:cut()
    net:settle()
    local waits = a:start(function() return mesh.call('echo', 1) end)
    net:advance(0.02)
    assert.equal('running', waits:state())
    net:advance(0.08)
    assert.equal('done', waits:state())
    assert.equal(1, waits:wait())
    local before = net:now()
    assert.equal(2, (a:eval(function() return mesh.call('echo', 2) end)))
    assert.is_true(net:now() - before < 0.05)
    assert.equal(6, net:metrics().relays_opened)
    proxy:deafen(false)
    net:advance(0.2)
    assert.equal(3, (a:eval(function() return mesh.call('echo', 3) end)))
    local metrics = net:metrics()
    assert.same({ 6, 0, 0 }, { metrics.relays_opened, metrics.calls_failed, metrics.calls_repeated })
  end)

  it('is gone round by relays', function()
    local net = over.net
    local b = net:node('b', WINDOW, worker)
    local proxy = net:proxy(b)
    local r = net:node('r', with(WINDOW, { proxy:url() }))
    net:node('s', { peers = { b, r }, relay = true })
    local a = net:node('a', { peers = { r } }, function() mesh.action('of a', print) end)
    net:advance(0.2)
    proxy:deafen(true)
    proxy:cut()
    net:settle()
    local before = net:now()
    for i = 1, 10 do assert.equal(i, a:eval(function(x) return mesh.call('echo', x) end, i)) end
    assert.is_true(net:now() - before < 0.1)
    assert.equal(20, net:metrics().relays_opened)
    proxy:deafen(false)
    net:advance(0.5)
    a:eval(function() mesh.call('echo', 1) end)
    assert.equal(21, net:metrics().relays_opened)
  end)
end)
