--- What a relay knows of the calls that pass it, and whom it chooses.

local cluster = require 'spec.support.cluster'
local steady = require 'spec.support.steady'

-- luacheck: globals mesh

local function worker()
  local calls = 0
  mesh.action('work', function(seconds)
    calls = calls + 1
    mesh.sleep(seconds or 0.05)
    return mesh.self().name
  end)
  mesh.action('narrow', function(seconds)
    calls = calls + 1
    mesh.sleep(seconds or 0.05)
    return mesh.self().name
  end, { concurrency = 1, queue = 0 })
  mesh.action('safe', function() return mesh.self().name end, { idempotent = true })
  mesh.action('turns', function() return mesh.self().name end, { strategy = 'round_robin' })
  mesh.action('items', function(n, seconds)
    for i = 1, n do
      coroutine.yield(i)
      mesh.sleep(seconds)
    end
  end)
  mesh.action('calls of ' .. mesh.self().name, function() return calls end)
end

--- A hub with workers.
local function star(net, workers)
  local all = { workers = {} }
  for i = 1, workers do all.workers[i] = net:node('w' .. i, {}, worker) end
  all.hub = net:node('hub', { peers = all.workers, relay = true })
  net:advance(0.1)
  return all
end

--- Starts `n` calls at once to whoever takes them, or to one node.
local function start(node, n, seconds, to, action)
  return node:start(function(number, time, name, what)
    local caller, answers, tasks = mesh.with { node = name }, {}, {}
    for i = 1, number do
      tasks[i] = mesh.spawn(function()
        local ok, answer = pcall(caller.call, what, time)
        answers[i] = ok and answer or answer.code .. ' ' .. answer.outcome
      end)
    end
    for _, task in ipairs(tasks) do task:await() end
    return answers
  end, n, seconds, to, action or 'work')
end

local function count(answers)
  local counts = {}
  for _, answer in ipairs(answers) do counts[answer] = (counts[answer] or 0) + 1 end
  return counts
end

--- Calls in flight at each worker, as the node counts them.
local function in_flight(node)
  return node:eval(function()
    local list = {}
    for _, c in ipairs(mesh.explain('work').candidates) do list[c.name] = c.outstanding end
    return list
  end)
end

cluster.describe('calls that pass a relay', { 'mem' }, function(over)
  local net, all, caller

  before_each(function()
    net = over.net
    all = star(net, 2)
    caller = net:node('caller', { peers = { all.hub }, relay = true })
    net:advance(0.1)
  end)

  it('count there, while they last', function()
    local calls = start(caller, 10, 0.1, 'w1')
    net:advance(0.02)
    assert.same({ w1 = 10, w2 = 0 }, in_flight(all.hub))
    calls:wait()
    net:settle()
    assert.same({ w1 = 0, w2 = 0 }, in_flight(all.hub))
  end)

  it('count as streams, too, until they end or are left', function()
    local streams = caller:start(function()
      local to = mesh.with { node = 'w2' }
      local left, read = to.stream('items', 100, 0.1), to.stream('items', 3, 0.1)
      left:next()
      while read:next() do mesh.sleep(0.01) end
      mesh.sleep(0.2)
      left:close()
    end)
    net:advance(0.1)
    assert.same({ w1 = 0, w2 = 2 }, in_flight(all.hub))
    net:advance(0.3)
    assert.same({ w1 = 0, w2 = 1 }, in_flight(all.hub))
    streams:wait()
    net:advance(0.05)
    assert.same({ w1 = 0, w2 = 0 }, in_flight(all.hub))
  end)

  it('make it choose others for its own', function()
    local calls = start(caller, 10, 0.2, 'w1')
    net:advance(0.02)
    assert.same({ w1 = 5, w2 = 15 }, count(start(all.hub, 20, 0.1):wait()))
    calls:wait()
  end)

  it('are forgotten with the path', function()
    local calls = start(caller, 10, 10, 'w1')
    net:advance(0.02)
    all.workers[1]:finish(0)
    assert.same({ ['CANCELLED unknown'] = 10 }, count(calls:wait()))
    assert.same({ w2 = 0 }, in_flight(all.hub))

    start(caller, 10, 10, 'w2')
    net:advance(0.02)
    assert.same({ w2 = 10 }, in_flight(all.hub))
    caller:finish(0)
    net:advance(0.02)
    assert.same({ w2 = 0 }, in_flight(all.hub))
  end)
end)

--- A client, which is a leaf: its timer keeps it.
local function leaf(net, name, ...)
  local node = net:launch(name, { listen = false, peers = { ... } }, function() mesh.every(1000, print) end)
  node:eval(function() mesh.nodes() end)
  return node
end

cluster.describe('a leaf that has no provider near', { 'mem' }, function(over)
  local net, all, a

  before_each(function()
    net = over.net
    all = star(net, 3)
    a = leaf(net, 'a', all.hub)
  end)

  local function chosen() return net:metrics().relays_chosen end

  local function executed()
    local n = 0
    for i = 1, #all.workers do n = n + a:eval(function(of) return mesh.call('calls of ' .. of) end, 'w' .. i) end
    return n
  end

  it('leaves the choice to the relay', function()
    assert.same({ w1 = 3, w2 = 3, w3 = 3 }, count(start(a, 9, 0.05):wait()))
    assert.equal(9, chosen())
  end)

  it('shares the providers with another leaf, and with what the relay calls itself', function()
    local b = leaf(net, 'b', all.hub)
    local first = start(a, 10, 0.2, 'w1')
    net:advance(0.02)
    local second = start(b, 20, 0.2)
    net:advance(0.02)
    assert.same({ w1 = 10, w2 = 10, w3 = 10 }, in_flight(all.hub))
    assert.same({ w1 = 1, w2 = 1, w3 = 1 }, count(start(all.hub, 3, 0.1):wait()))
    first:wait()
    assert.same({ w2 = 10, w3 = 10 }, count(second:wait()))
  end)

  it('and another leaf send less to the one that is slow', function()
    local b = leaf(net, 'b', all.hub)
    all.workers[3]:eval(function()
      mesh.action('work', function()
        mesh.sleep(0.5)
        return mesh.self().name
      end)
    end)
    local function client()
      local counts, stop = {}, mesh.now() + 5
      local function lane()
        while mesh.now() < stop do
          local name = mesh.call('work', 0.05)
          counts[name] = (counts[name] or 0) + 1
        end
      end
      local lanes = {}
      for i = 1, 6 do lanes[i] = mesh.spawn(lane) end
      mesh.all(lanes)
      return counts
    end
    local runs = { a:start(client), b:start(client) }
    for _, run in ipairs(runs) do
      local counts = run:wait()
      assert.is_true(counts.w3 * 5 < counts.w1 and counts.w3 * 5 < counts.w2, counts.w3)
    end
  end)

  it('asks the others when one is busy, and none twice', function()
    assert.same({ w1 = 1, w2 = 1, w3 = 1 }, count(start(a, 3, 0.3, nil, 'narrow'):wait()))
    local held = start(all.hub, 2, 0.5, nil, 'narrow')
    net:advance(0.02)
    local b = leaf(net, 'b', all.hub) -- its own relay: nothing is known of who is busy
    local before = net:metrics()
    local answers = count(start(b, 1, 0.1, nil, 'narrow'):wait())
    for name in pairs(count(held:wait())) do assert.is_nil(answers[name]) end
    assert.equal(0, net:metrics().calls_failed - before.calls_failed)
    assert.equal(6, executed())
  end)

  it('fails when all are', function()
    for i = 1, 3 do start(all.workers[i], 1, 10, all.workers[i]:id(), 'narrow') end
    net:advance(0.02)
    local before = net:metrics()
    local err = a:fails(function() mesh.call 'narrow' end)
    assert.same({ 'BUSY', 'not_executed' }, { err.code, err.outcome })
    assert.equal(3, net:metrics().requests_busy - before.requests_busy)
    err = a:fails(function() mesh.with { retries = 16 }.call 'narrow' end)
    assert.same({ 'BUSY', 'not_executed' }, { err.code, err.outcome })
    err = a:fails(function() mesh.with { retries = 0 }.call 'narrow' end)
    assert.same({ 'BUSY', 'not_executed' }, { err.code, err.outcome })
    assert.equal(3, executed())
  end)

  it('loses no call when a provider stops in order', function()
    local run = a:start(steady, 1)
    net:advance(0.307)
    all.workers[1]:stop(5)
    assert.same({}, run:wait())
  end)

  it('fails what may have run when its provider is lost', function()
    local calls = start(a, 3, 1)
    net:advance(0.02)
    all.workers[2]:finish(0)
    local answers = count(calls:wait())
    assert.same({ 1, 1 }, { answers.w1, answers.w3 })
    assert.equal(3, chosen())
  end)

  it('streams from whom the relay chooses', function()
    assert.equal(30, (a:eval(function()
      local sum = 0
      for _ = 1, 5 do
        for i in mesh.stream('items', 3, 0.01) do sum = sum + i end
      end
      return sum
    end)))
    assert.equal(5, chosen())
  end)

  it('says so', function()
    local how = a:eval(function() return mesh.explain 'work' end)
    assert.matches('next node on the way decides', how.reason)
    assert.is_nil(all.hub:eval(function() return mesh.explain('work').reason:find 'next node' end))
  end)

  it('chooses itself when it is told how, or when a repeat must find the same one', function()
    a:eval(function()
      mesh.with { strategy = 'least' }.call('work', 0)
      mesh.with { strategy = 'hash', key = 'k' }.call('work', 0)
      mesh.with { prefer = { region = 'eu' } }.call('work', 0)
      mesh.with { providers = { 'w*' } }.call('work', 0)
      mesh.with { node = 'w2' }.call('work', 0)
      mesh.call 'safe'
      mesh.call 'turns'
      mesh.call 'calls of w1'
    end)
    assert.equal(0, chosen())
    net:node('near', { peers = { all.hub } }, worker)
    local b = leaf(net, 'b', all.hub, net.nodes[#net.nodes])
    net:advance(0.1)
    b:eval(function() mesh.call('work', 0) end)
    assert.equal(0, chosen())
  end)

  it('chooses itself when the relay does not', function()
    local other = net:node('other', { peers = all.workers, relay = true })
    local b = leaf(net, 'b', all.hub, other)
    net:advance(0.1)
    local run = b:start(function()
      local names, stop = {}, mesh.now() + 0.5
      while mesh.now() < stop do names[#names + 1] = mesh.call('work', 0.001) end
      return #names
    end)
    net:advance(0.1)
    all.hub:stop(5)
    assert.is_true(run:wait() > 100)
    assert.equal(0, net:metrics().calls_failed)
  end)
end)
