--- Providers behind relays: who takes a call, and where it goes when one of them, or the way, is lost.

local cluster = require 'spec.support.cluster'
local steady = require 'spec.support.steady'

-- luacheck: globals mesh, ignore 431 432

local function worker()
  local calls = 0
  local function work(seconds)
    calls = calls + 1
    mesh.sleep(seconds or 0.05)
    return mesh.self().name
  end
  mesh.action('work', work)
  mesh.action('safe', work, { idempotent = true })
  mesh.action('narrow', work, { concurrency = 1, queue = 0 })
  mesh.action('calls of ' .. mesh.self().name, function() return calls end)
end

local LINK_COST = 0.001

local function relay() mesh.action('of ' .. mesh.self().name, print) end

--- Waits until the node can call `n` providers.
local function know(net, node, n)
  net:wait(function()
    return n == node:eval(function()
      local fit = 0
      for _, c in ipairs(mesh.explain('work').candidates) do fit = fit + (c.standing == 'fit' and 1 or 0) end
      return fit
    end)
  end, n .. ' providers')
end

--- A caller behind relays, each linked to all workers. What links cost is set: on a busy machine a short way may be
--- measured as longer than two.
local function behind(net, relays, count)
  local all = { relays = {}, workers = {} }
  for i = 1, count do all.workers[i] = net:node('w' .. i, { link_cost = LINK_COST }, worker) end
  for i = 1, relays do
    all.relays[i] = net:node('r' .. i, { peers = all.workers, link_cost = LINK_COST }, relay)
  end
  all.caller = net:node('a', { peers = all.relays, link_cost = LINK_COST }, relay)
  know(net, all.caller, count)
  net:settle()
  return all
end

--- Starts `n` calls at once; the list of what they return, or of the codes of their errors.
local function start(node, n, action, seconds)
  return node:start(function(number, name, time)
    local answers, tasks = {}, {}
    for i = 1, number do
      tasks[i] = mesh.spawn(function()
        local ok, answer = pcall(mesh.call, name, time)
        answers[i] = ok and answer or answer.code .. ' ' .. answer.outcome
      end)
    end
    for _, task in ipairs(tasks) do task:await() end
    return answers
  end, n, action, seconds)
end

local function count(answers)
  local counts = {}
  for _, answer in ipairs(answers) do counts[answer] = (counts[answer] or 0) + 1 end
  return counts
end

local function calls_of(node, name)
  return node:eval(function(of) return mesh.call('calls of ' .. of) end, name)
end

cluster.describe('providers behind a relay', { 'mem', 'tcp' }, function(over)
  it('share the calls', function()
    local all = behind(over.net, 1, 2)
    local counts = count(start(all.caller, 20, 'work'):wait())
    assert.is_true(math.abs(counts.w1 - 10) <= 1, counts.w1)
    assert.equal(20, counts.w1 + counts.w2)
  end)

  it('take turns', function()
    local all = behind(over.net, 1, 3)
    local counts = all.caller:eval(function()
      local caller, counts = mesh.with { strategy = 'round_robin' }, {}
      for _ = 1, 300 do
        local name = caller.call('work', 0)
        counts[name] = (counts[name] or 0) + 1
      end
      return counts
    end)
    assert.same({ w1 = 100, w2 = 100, w3 = 100 }, counts)
  end)

  it('stand in for one that is busy', function()
    local all = behind(over.net, 1, 2)
    all.workers[1]:start(function() mesh.with { node = 'w1', timeout = 0 }.call('narrow', 100) end)
    over.net:settle()
    assert.equal('w2', (all.caller:eval(function()
      return mesh.with { providers = { 'w1', 'w2' } }.call 'narrow'
    end)))
    assert.equal(1, over.net:metrics().calls_repeated)
  end)

  it('are shown with the way to them', function()
    local all = behind(over.net, 1, 2)
    local how = all.caller:eval(function() return mesh.explain 'work' end)
    assert.equal(2, #how.candidates)
    for _, c in ipairs(how.candidates) do
      assert.same({ 2, all.relays[1]:id(), 'fit' }, { c.hops, c.via, c.standing })
      assert.is_true(c.cost > 0)
    end
  end)

  it('come after the nearest, if the caller says so', function()
    local all = behind(over.net, 1, 1)
    over.net:node('near', { peers = { all.caller }, link_cost = LINK_COST }, worker)
    know(over.net, all.caller, 2)
    local counts = all.caller:eval(function()
      local caller, counts = mesh.with { strategy = 'local' }, {}
      for _ = 1, 10 do
        local name = caller.call('work', 0)
        counts[name] = (counts[name] or 0) + 1
      end
      return counts
    end)
    assert.same({ near = 10 }, counts)
  end)
end)

cluster.describe('a way that is lost', { 'mem' }, function(over)
  it('is replaced by another for idempotent calls, which run once', function()
    local all = behind(over.net, 2, 1)
    local calls = start(all.caller, 20, 'safe', 0.3)
    over.net:advance(0.1)
    all.relays[1]:finish(0)
    assert.same({ w1 = 20 }, count(calls:wait()))
    assert.equal(20, (calls_of(all.caller, 'w1')))
  end)

  it('is replaced when it breaks behind the relay', function()
    local all = behind(over.net, 2, 1)
    local calls = start(all.caller, 20, 'safe', 0.3)
    over.net:advance(0.1)
    all.workers[1]:eval(function() mesh.disconnect('r1', { abort = true, allow_reconnect = false }) end)
    assert.same({ w1 = 20 }, count(calls:wait()))
    assert.equal(20, (calls_of(all.caller, 'w1')))
  end)

  it('or a provider may be stopped in order: no call fails', function()
    local all = behind(over.net, 2, 2)
    local run = all.caller:start(steady, 2)
    over.net:advance(0.307)
    all.workers[1]:stop(5)
    over.net:advance(0.4)
    all.relays[1]:stop(5)
    assert.same({}, run:wait())
    assert.is_true(all.workers[1]:over() and all.relays[1]:over())
  end)

  it('fails what is not idempotent and was on it', function()
    local all = behind(over.net, 2, 1)
    local calls = start(all.caller, 20, 'work', 0.3)
    over.net:advance(0.1)
    all.relays[1]:finish(0)
    all.relays[2]:finish(0)
    assert.same({ ['PEER_LOST unknown'] = 20 }, count(calls:wait()))
  end)

  it('leads to another provider when it was the only one', function()
    local all = behind(over.net, 1, 1)
    over.net:node('w2', { peers = { all.caller } }, worker)
    know(over.net, all.caller, 2)
    local calls = start(all.caller, 20, 'safe', 0.3)
    over.net:advance(0.1)
    all.workers[1]:finish(0)
    assert.same({ w2 = 20 }, count(calls:wait()))
  end)
end)
