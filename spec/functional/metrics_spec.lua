--- What is counted: the figures of a scripted run are those of the calls that it made.

local cluster = require 'spec.support.cluster'

-- luacheck: globals mesh report, ignore 431

local function metrics_of(name) return mesh.with { node = name }.call '_perilune.metrics' end

--- Figures of the actions of a node, as `served.NAME` or `called.NAME`.
local function figures(asker, name)
  local by = { served = {}, called = {} }
  local all = asker:eval(metrics_of, name)
  for _, f in ipairs(all.actions) do by[f.served and 'served' or 'called'][f.action] = f end
  return by, all
end

local function sum_of_codes(f)
  local sum = 0
  for _, n in pairs(f.codes) do sum = sum + n end
  return sum
end

--- calls, ok, failed, streams, sent, received, running, queued
local function row(f)
  assert.equal(f.failed, sum_of_codes(f))
  return { f.calls, f.ok, f.failed, f.streams, f.sent, f.received, f.running, f.queued }
end

local function server()
  mesh.action('add', function(x, y) return x + y end)
  mesh.action('boom', function() error 'boom' end)
  mesh.action('own', function() error { code = 'OUT_OF_STOCK' } end)
  mesh.action('count', function(n) for i = 1, n do coroutine.yield(i) end end)
  mesh.action('take', function()
    local n = 0
    for _ in mesh.input() do n = n + 1 end
    return n
  end)
  mesh.action('nap', function(s) mesh.sleep(s) end)
  mesh.action('one', function() mesh.sleep(1000) end, { concurrency = 1, queue = 1 })
end

--- 10 good calls, 3 + 2 bad ones, 4 streams of 25, one left after 5, 2 uploads of 7.
local function traffic()
  for i = 1, 10 do mesh.call('add', i, i) end
  for _ = 1, 3 do pcall(mesh.call, 'boom') end
  for _ = 1, 2 do pcall(mesh.call, 'own') end
  for _ = 1, 4 do
    for _ in mesh.stream('count', 25) do end -- luacheck: ignore 542
  end
  for _ = 1, 2 do
    local s <close> = mesh.stream 'take'
    for i = 1, 7 do s:send(i) end
    s:finish()
    s:result()
  end
  pcall(mesh.with { timeout = 0.05, retries = 0 }.call, 'nap', 1000)
  pcall(mesh.call, 'nobody provides this')
end

local EXPECTED = {
  add = { { 10, 10, 0, 0, 0, 0, 0, 0 }, { 10, 10, 0, 0, 0, 0, 0, 0 } },
  boom = { { 3, 0, 3, 0, 0, 0, 0, 0 }, { 3, 0, 3, 0, 0, 0, 0, 0 } },
  own = { { 2, 0, 2, 0, 0, 0, 0, 0 }, { 2, 0, 2, 0, 0, 0, 0, 0 } },
  count = { { 4, 4, 0, 4, 0, 100, 0, 0 }, { 4, 4, 0, 4, 100, 0, 0, 0 } },
  take = { { 2, 2, 0, 2, 14, 0, 0, 0 }, { 2, 2, 0, 2, 0, 14, 0, 0 } },
  nap = { { 1, 0, 1, 0, 0, 0, 0, 0 }, { 1, 0, 1, 0, 0, 0, 0, 0 } },
}

cluster.describe('what is counted of actions', cluster.kinds, function(over)
  local net

  before_each(function() net = over.net end)

  local function check(caller, provider)
    caller:eval(traffic)
    net:wait(function() return figures(provider, provider.name).served.nap.running == 0 end, 'the nap to end')
    local called = figures(caller, caller.name).called
    local served = figures(caller, provider.name).served
    for action, rows in pairs(EXPECTED) do
      assert.same(rows[1], row(called[action]), 'calls of ' .. action)
      assert.same(rows[2], row(served[action]), 'requests of ' .. action)
    end
    assert.same({ HANDLER_ERROR = 3 }, served.boom.codes)
    assert.same({ HANDLER_ERROR = 3 }, called.boom.codes)
    assert.same({ OWN = 2 }, called.own.codes)
    assert.same({ TIMEOUT = 1 }, called.nap.codes)
    assert.same({ 10, 0, 0 }, { called.add.latency.count, called.boom.latency.count, called.count.latency.count })
    assert.equal(10, served.add.latency.count)
    assert.is_nil(called['nobody provides this'])
    return called, served
  end

  it('is what was called, at both ends', function()
    local b = net:node('b', {}, server)
    local a = net:node('a', { peers = { b } })
    local before = net:metrics()
    local called = check(a, b)
    -- All nodes of this process count in one; of their own calls these are those of the specs themselves.
    local after = net:metrics()
    local total = 0
    for _, f in pairs(called) do total = total + f.ok end
    local asked = after.requests_system - before.requests_system
    assert.equal(total, after.calls_ok - before.calls_ok - asked)
    assert.equal(6, after.calls_failed - before.calls_failed)
    assert.equal(1, after.calls_refused - before.calls_refused)
    assert.equal(114, after.chunks_sent - before.chunks_sent)
    assert.equal(114, after.chunks_received - before.chunks_received)
    assert.same({ before.calls_now, before.requests_now }, { after.calls_now, after.requests_now })
  end)

  it('is the same over a relay, which counts neither', function()
    local c = net:node('c', {}, server)
    local b = net:node('b', { peers = { c }, relay = true })
    local a = net:node('a', { peers = { b } })
    a:eval(function() mesh.wait('add', 10) end)
    check(a, c)
    local relay = figures(a, 'b')
    assert.same({}, relay.called)
    assert.same({}, relay.served)
  end)

  it('is the same of a node that calls itself', function()
    local a = net:node('a', {}, server)
    check(a, a)
  end)
end)

cluster.describe('how long a call took', { 'tcp', 'unix' }, function(over)
  it('is the time in which the caller did nothing but wait, too', function()
    local b = over.net:node('b', {}, server)
    local a = over.net:node('a', { peers = { b } })
    a:eval(function() for _ = 1, 3 do mesh.call('nap', 0.1) end end)
    for _, f in ipairs { figures(a, 'a').called.nap, figures(a, 'b').served.nap } do
      assert.is_true(f.latency.p50 >= 0.1, 'only ' .. f.latency.p50)
    end
  end)

  it('is also what a handler computes', function()
    local b = over.net:node('b', {}, function()
      mesh.action('burn', function()
        local until_s = mesh.now() + 0.02
        while mesh.now() < until_s do end -- luacheck: ignore 542
      end)
    end)
    local a = over.net:node('a', { peers = { b } })
    a:eval(function() mesh.call 'burn' end)
    for _, f in ipairs { figures(a, 'a').called.burn, figures(a, 'b').served.burn } do
      assert.is_true(f.latency.p50 >= 0.02, 'only ' .. f.latency.p50)
    end
  end)
end)

cluster.describe('figures of actions', { 'mem' }, function(over)
  local net

  before_each(function() net = over.net end)

  it('tell how long calls took, at both ends', function()
    local b = net:node('b', {}, server)
    local a = net:node('a', { peers = { b } })
    a:eval(function()
      for i = 1, 100 do mesh.call('nap', i <= 90 and 0.010 or 0.5) end
    end)
    for _, f in ipairs { figures(a, 'a').called.nap, figures(a, 'b').served.nap } do
      local l = f.latency
      assert.equal(100, l.count)
      assert.is_true(l.p50 >= 0.010 and l.p50 < 0.012 and l.p90 < 0.012, l.p50)
      assert.is_true(l.p99 >= 0.5 and l.p99 < 0.54 and l.max < 0.54, l.p99)
      assert.is_true(l.sum >= 0.9 + 5 and l.sum < 6.2, l.sum)
      local n = 0
      for i = 2, #l.ranges, 2 do n = n + l.ranges[i] end
      assert.equal(100, n)
    end
  end)

  it('tell what runs and what waits, and who was refused', function()
    local b = net:node('b', {}, server)
    local a = net:node('a', { peers = { b } })
    local runs = {}
    for i = 1, 2 do runs[i] = a:start(function() mesh.call 'one' end) end
    net:wait(function() return (figures(a, 'b').served.one or {}).queued == 1 end, 'a call that waits')
    assert.equal('BUSY', a:fails(function() mesh.with { retries = 0 }.call 'one' end).code)
    local served, called = figures(a, 'b').served.one, figures(a, 'a').called.one
    assert.same({ 3, 0, 1, 1, 1 }, { served.calls, served.ok, served.failed, served.running, served.queued })
    assert.same({ 3, 0, 1, 2 }, { called.calls, called.ok, called.failed, called.running })
    assert.same({ BUSY = 1 }, served.codes)
    for _, run in ipairs(runs) do run:cancel() end
    net:wait(function() return figures(a, 'b').served.one.running == 0 end, 'the end of both')
    assert.same({ BUSY = 1, CANCELLED = 2 }, figures(a, 'a').called.one.codes)
    assert.same({ BUSY = 1, CANCELLED = 2 }, figures(a, 'b').served.one.codes)
  end)

  it('count a call once, however often it was tried', function()
    local b = net:node('b', {}, server)
    local c = net:node('c', {}, server)
    local a = net:node('a', { peers = { b, c } })
    b:stop(5)
    for _ = 1, 5 do a:eval(function() mesh.call('add', 1, 1) end) end
    assert.same({ 5, 5, 0, 0, 0, 0, 0, 0 }, row(figures(a, 'a').called.add))
    assert.same({ 5, 5, 0, 0, 0, 0, 0, 0 }, row(figures(a, c.name).served.add))
  end)

  it('stay when an action goes and comes back, and when its script is loaded anew', function()
    local b = net:node('b', {}, server)
    local a = net:node('a', { peers = { b } })
    a:eval(function() mesh.call('add', 1, 1) end)
    b:eval(function() mesh.remove 'add' end)
    net:wait(function() return #a:eval(function() return mesh.actions() end) == 6 end, 'the action to go')
    assert.equal('NOT_FOUND', a:fails(function() mesh.call('add', 1, 1) end).code)
    b:reloaded(server)
    a:eval(function() mesh.wait('add', 10) mesh.call('add', 1, 1) end)
    assert.equal(2, figures(a, 'b').served.add.ok)
    assert.equal(2, figures(a, 'a').called.add.ok)
  end)

  it('count each of the calls that one run answers', function()
    local b = net:node('b', {}, function()
      mesh.action('same', function() mesh.sleep(0.1) return 1 end, { share = true })
    end)
    local a = net:node('a', { peers = { b } })
    a:eval(function()
      local tasks = {}
      for i = 1, 5 do tasks[i] = mesh.spawn(mesh.call, 'same') end
      mesh.all(tasks)
    end)
    assert.same({ 5, 5, 0, 0, 0, 0, 0, 0 }, row(figures(a, 'b').served.same))
  end)

  it('are of the node that is asked, with what else it tells of itself', function()
    local b = net:node('b', {}, server)
    local a = net:node('a', { peers = { b } })
    local _, all = figures(a, 'b')
    assert.same({ b:id(), 'b', false }, { all.id, all.name, all.draining })
    assert.is_true(all.uptime >= 0 and all.metrics.links_now >= 1)
  end)

  it('are bounded: for names that come and go there is room for so many', function()
    local b = net:node('b', {}, server)
    local a = net:node('a', { peers = { b } })
    b:eval(function()
      for i = 1, 1200 do
        mesh.action('temporary' .. i, function() return i end)
        mesh.call('temporary' .. i)
        mesh.remove('temporary' .. i)
      end
    end)
    local all = a:eval(metrics_of, 'b')
    local served, calls = 0, 0
    for _, f in ipairs(all.actions) do
      served = served + (f.served and 1 or 0)
      calls = calls + (f.served and f.calls or 0)
    end
    assert.equal(512, served)
    assert.is_true(calls >= 500)
  end)
end)
