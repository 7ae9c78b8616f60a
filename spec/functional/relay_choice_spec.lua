--- What a relay knows of the calls that pass it, and whom it chooses.

local cluster = require 'spec.support.cluster'

-- luacheck: globals mesh

local function worker()
  local calls = 0
  mesh.action('work', function(seconds)
    calls = calls + 1
    mesh.sleep(seconds or 0.05)
    return mesh.self().name
  end)
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
  net:settle()
  return all
end

--- Starts `n` calls at once to whoever takes them, or to one node.
local function start(node, n, seconds, to)
  return node:start(function(number, time, name)
    local caller, answers, tasks = mesh.with { node = name }, {}, {}
    for i = 1, number do
      tasks[i] = mesh.spawn(function()
        local ok, answer = pcall(caller.call, 'work', time)
        answers[i] = ok and answer or answer.code .. ' ' .. answer.outcome
      end)
    end
    for _, task in ipairs(tasks) do task:await() end
    return answers
  end, n, seconds, to)
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
