local cluster = require 'spec.support.cluster'
local nodes = require 'spec.support.nodes'
local process = require 'spec.support.process'
local stranger = require 'spec.support.stranger'
local testing = require 'perilune.testing'

-- luacheck: globals mesh report run_jobs job_health, ignore 211/guard 431

local S = stranger
local message, put, errors = testing.wire.message, testing.wire.msgpack.put, testing.base.err

local IDEMPOTENT = put('map', 1) .. put('str', 'idempotent') .. put('bool', true)

--- A node that answers `job`, and holds its one slot while told so.
local function worker()
  local calls = 0
  mesh.action('job', function(seconds)
    calls = calls + 1
    if seconds then mesh.sleep(seconds) end
    return mesh.self().name, calls
  end, { concurrency = 1, queue = 0 })
  mesh.action('safe', function(seconds)
    calls = calls + 1
    if seconds then mesh.sleep(seconds) end
    return mesh.self().name, calls
  end, { idempotent = true })
  mesh.action('chunks', function()
    calls = calls + 1
    coroutine.yield(mesh.self().name)
    return 'end'
  end, { idempotent = true })
  mesh.action('calls', function() return calls end)
end

--- A provider that does what the spec says.
local function puppet(net, node, name, id)
  local s = stranger.greet(net, node, { name = name, id = id })
  local items = {}
  for i, action in ipairs { 'job', 'safe', 'chunks' } do
    items[i] = { kind = 'action', name = action, attributes = action ~= 'job' and IDEMPOTENT or '\x80' }
  end
  s:send(S.ADVERT, message.encode('advert', { version = 1, snapshot = true, complete = true,
    items = message.items(items) }))
  net:settle()
  return s
end

--- The next call that came to it, decoded.
local function called(s)
  local f = assert(s:receive(S.CALL), 'no call came')
  return assert(message.decode('call', f.body)), f.label
end

local OUTCOMES = { not_sent = 0, not_executed = 1, unknown = 2, executed = 3 }

local function refuse(s, label, code, outcome)
  s:send(S.ERROR, message.encode('error', { code = errors.find(code), outcome = OUTCOMES[outcome] }),
    { label = label, flags = S.CALLEE | S.NORMAL })
end

cluster.describe('a call that another provider can take', { 'mem', 'tcp' }, function(over)
  local a, w

  before_each(function()
    w = over.net:node('w', {}, worker)
    a = over.net:node('a', { peers = { w } })
  end)

  --- Runs code that calls through `caller`: the puppets come first.
  local function start(text)
    return a:start(assert(load(([[
      local caller = require('perilune').with { providers = { 'puppet', 'puppet-2', '*' }, timeout = 5 }
      return %s
    ]]):format(text))))
  end

  for _, case in ipairs {
    { 'BUSY', 'not_executed' }, { 'DRAINING', 'not_executed' }, { 'NOT_FOUND', 'not_executed' },
    { 'NO_ROUTE', 'not_sent' }, { 'PEER_LOST', 'not_sent' }, { 'CANCELLED', 'not_executed' },
  } do
    it(('goes there after %s, %s'):format(case[1], case[2]), function()
      local s = puppet(over.net, a, 'puppet')
      local call = start("caller.call 'job'")
      local first, label = called(s)
      assert.is_nil(first.first_call_id)
      refuse(s, label, case[1], case[2])
      assert.equal('w', (call:wait()))
      assert.equal(1, over.net:metrics().calls_repeated)
    end)
  end

  for _, case in ipairs {
    { 'INVALID', 'not_executed' }, { 'FORBIDDEN', 'not_executed' }, { 'HANDLER_ERROR', 'executed' },
    { 'BUSY', 'executed' }, { 'PEER_LOST', 'unknown' }, { 'CANCELLED', 'unknown' }, { 'DRAINING', 'unknown' },
    { 'TIMEOUT', 'not_executed' },
  } do
    it(('fails with %s, %s'):format(case[1], case[2]), function()
      local s = puppet(over.net, a, 'puppet')
      local call = start("caller.call 'job'")
      local _, label = called(s)
      refuse(s, label, case[1], case[2])
      local err = call:failure()
      assert.same({ case[1], case[2] }, { err.code, err.outcome })
      assert.equal(0, over.net:metrics().calls_repeated)
    end)
  end

  it('fails when its path is lost after it was sent', function()
    local s = puppet(over.net, a, 'puppet')
    local call = start("caller.call 'job'")
    called(s)
    s:close()
    local err = call:failure()
    assert.same({ 'PEER_LOST', 'unknown' }, { err.code, err.outcome })
    assert.equal(0, (a:eval(function() return mesh.call 'calls' end)))
  end)

  it('goes there even then when the action is idempotent, as a repeat', function()
    local s, s2 = puppet(over.net, a, 'puppet'), puppet(over.net, a, 'puppet-2')
    local call = start "caller.call 'safe'"
    local first = called(s)
    s:close()
    local again, label = called(s2)
    assert.same({ 1, first.call_id }, { again.attempt, again.first_call_id })
    assert.is_true(again.call_id ~= first.call_id)
    refuse(s2, label, 'BUSY', 'not_executed')
    assert.equal('w', (call:wait()))
  end)

  it('goes there when its provider says that it has stopped before it read the call', function()
    local s = puppet(over.net, a, 'puppet')
    local call = start "caller.call 'job'"
    called(s)
    s:send(S.GOODBYE, message.encode('goodbye', { code = errors.find 'DRAINING' }))
    assert.equal('w', (call:wait()))
    s = puppet(over.net, a, 'puppet')
    call = start "caller.call 'job'"
    called(s)
    s:send(S.GOODBYE, message.encode('goodbye', { code = 0 }))
    local err = call:failure()
    assert.same({ 'PEER_LOST', 'unknown' }, { err.code, err.outcome })
    s = stranger.greet(over.net, w)
    w:stop(1)
    assert.equal('DRAINING', s:goodbye().code)
  end)

  it('is not taken for unexecuted when it is the caller who stops', function()
    local s = puppet(over.net, a, 'puppet')
    local call = start "caller.call 'safe'"
    called(s)
    a:stop(1)
    local err = call:failure()
    assert.is_true(err.outcome == 'unknown', err.code .. ' ' .. err.outcome)
  end)

  it('says unknown when an attempt may have run, whatever the last one says', function()
    local s = puppet(over.net, a, 'puppet')
    local call = start("caller.call('safe', 1)")
    called(s)
    w:stop(10)
    s:close()
    local err = call:failure()
    assert.equal('unknown', err.outcome)
  end)

  it('is repeated as a stream before its first chunk, and not after', function()
    local s = puppet(over.net, a, 'puppet')
    local text = "(function() local stream <close> = caller.stream 'chunks'; local t = {}; "
      .. 'for c in stream do t[#t + 1] = c end; return t, (stream:result()) end)()'
    local stream = start(text)
    local m, label = called(s)
    assert.is_true(m.stream)
    refuse(s, label, 'BUSY', 'not_executed')
    assert.same({ { 'w' }, 'end' }, { stream:wait() })

    over.net:advance(0.2) -- it has rested
    stream = start(text)
    label = select(2, called(s))
    s:send(S.DATA, '\x03\x91\xa1x', { label = label, aux = 1, flags = S.CALLEE | S.NORMAL })
    over.net:settle()
    s:close()
    assert.equal('PEER_LOST', stream:failure().code)
    assert.equal(1, over.net:metrics().calls_repeated)
  end)
end)

cluster.describe('repeating a call', { 'mem' }, function(over)
  local function busy_workers(n)
    local list = {}
    for i = 1, n do list[i] = over.net:node('w' .. i, {}, worker) end
    local a = over.net:node('a', { peers = list })
    for i = 1, n do
      a:start(function(name) return mesh.with { node = name, timeout = 0 }.call('job', 100) end, 'w' .. i)
    end
    over.net:settle()
    return a, list
  end

  it('asks a free provider after a busy one', function()
    local workers = { over.net:node('w1', {}, worker), over.net:node('w2', {}, worker) }
    local a, b = over.net:node('a', { peers = workers }), over.net:node('b', { peers = workers })
    over.net:settle()
    b:start(function() return mesh.with { node = 'w1', timeout = 0 }.call('job', 100) end)
    for _ = 1, 3 do -- at the first it is not known yet that it is busy
      assert.equal('w2', (a:eval(function() return mesh.with { providers = { 'w1', 'w2' } }.call 'job' end)))
    end
    assert.equal(1, over.net:metrics().calls_repeated)
    assert.equal(1, over.net:metrics().requests_busy)
  end)

  it('stops after as many attempts as were allowed', function()
    local a = busy_workers(5)
    for retries, requests in pairs { [0] = 1, [1] = 2, [4] = 5, [16] = 5 } do
      over.net:advance(10) -- they have rested
      local before = over.net:metrics().requests_busy
      local err = a:fails(function(n) return mesh.with { retries = n }.call 'job' end, retries)
      assert.same({ 'BUSY', 'not_executed' }, { err.code, err.outcome })
      assert.equal(requests, over.net:metrics().requests_busy - before)
    end
    local before = over.net:metrics().requests_busy
    assert.equal('BUSY', a:fails(function() return mesh.call 'job' end).code)
    assert.equal(3, over.net:metrics().requests_busy - before)
  end)

  it('stays within its deadline', function()
    local a = over.net:node('a')
    local s = puppet(over.net, a, 'puppet')
    local call = a:start(function()
      return mesh.with { providers = { 'puppet' }, timeout = 0.3 }.call 'safe'
    end)
    called(s)
    over.net:advance(0.29)
    s:close() -- the pause before the next attempt ends after the deadline
    local err = call:failure()
    assert.same({ 'TIMEOUT', 'unknown' }, { err.code, err.outcome })
  end)

  it('makes no attempt after its deadline has passed in the pause before it', function()
    local a = over.net:node('a')
    local s = puppet(over.net, a, 'puppet')
    local stream = a:start(function()
      local stream <close> = mesh.with { providers = { 'puppet' }, timeout = 0.3 }.stream 'chunks'
      local _, err = pcall(stream)
      mesh.sleep(1) -- and the call is kept for as long
      return err.code, err.outcome
    end)
    called(s)
    over.net:advance(0.29)
    s:close()
    puppet(over.net, a, 'puppet') -- it is back
    assert.same({ 'TIMEOUT', 'unknown' }, { stream:wait() })
    assert.equal(0, over.net:metrics().calls_repeated)
  end)

  it('may be cancelled between two attempts', function()
    local a = over.net:node('a')
    local s = puppet(over.net, a, 'puppet')
    local call = a:start(function()
      return mesh.with { providers = { 'puppet' } }.call 'safe'
    end)
    called(s)
    s:close()
    over.net:advance(0.005)
    call:cancel 'enough'
    assert.equal('CANCELLED', call:failure().code)
  end)

  it('has a budget', function()
    local a = busy_workers(3)
    a:eval(function()
      for _ = 1, 1000 do pcall(mesh.call, 'job') end
    end)
    local m = over.net:metrics()
    assert.is_true(m.calls_repeated >= 290 and m.calls_repeated <= 310, m.calls_repeated)
    assert.is_true(m.repeats_refused > 100, m.repeats_refused)
  end)

  it('reaches the same provider again when its link is back, and runs once', function()
    local w = over.net:node('w', {}, worker)
    local a = over.net:node('a', { peers = { w } })
    local call = a:start(function() return mesh.call('safe', 0.1) end)
    over.net:advance(0.02)
    a:eval(function(url)
      mesh.disconnect('w', { abort = true })
      mesh.connect(url)
    end, w:url())
    assert.same({ 'w', 1 }, { call:wait() })
    assert.equal(1, (a:eval(function() return mesh.call 'calls' end)))
    assert.equal(1, over.net:metrics().requests_repeated)
  end)
end)

cluster.describe('a provider that fails', { 'mem' }, function(over)
  it('leaves the rotation after three failures and returns after two successes', function()
    local list = {}
    for i = 1, 3 do
      list[i] = over.net:node('w' .. i, {}, function()
        local hang = false
        mesh.action('job', function()
          if hang then mesh.sleep(10) end
          return mesh.self().name
        end)
        mesh.action('hang ' .. mesh.self().name, function(on) hang = on end)
      end)
    end
    local a = over.net:node('a', { peers = list }, function()
      local caller = mesh.with { strategy = 'round_robin', timeout = 0.02 }
      function run_jobs(n)
        local counts = { failed = 0 }
        for _ = 1, n do
          local ok, name = pcall(caller.call, 'job')
          if ok then counts[name] = (counts[name] or 0) + 1 else counts.failed = counts.failed + 1 end
        end
        return counts
      end
      function job_health()
        local states = {}
        for _, c in ipairs(mesh.explain('job').candidates) do states[c.name] = c.health end
        return states
      end
    end)
    local function run(n) return a:eval(function(count) return run_jobs(count) end, n) end
    local function health() return a:eval(function() return job_health() end) end

    assert.same({ failed = 0, w1 = 4, w2 = 4, w3 = 4 }, run(12))
    a:eval(function() mesh.call('hang w1', true) end)
    assert.same({ failed = 1, w2 = 1, w3 = 1 }, run(3))
    assert.same({ w1 = 'degraded', w2 = 'ok', w3 = 'ok' }, health())
    assert.same({ failed = 2, w2 = 14, w3 = 14 }, run(30))
    assert.same({ w1 = 'ejected', w2 = 'ok', w3 = 'ok' }, health())
    a:eval(function() mesh.call('hang w1', false) end)
    over.net:advance(1)
    assert.same({ w1 = 'probing', w2 = 'ok', w3 = 'ok' }, health())
    assert.equal(0, run(10).failed)
    assert.same({ w1 = 'ok', w2 = 'ok', w3 = 'ok' }, health())
  end)
end)

describe('workers as processes', function()
  local WORKER = [[
    seen = 0
    mesh.action('safe', function(seconds)
      seen = seen + 1
      mesh.sleep(seconds)
      return mesh.self().name
    end, { idempotent = true })
    mesh.action('once', function(seconds)
      mesh.sleep(seconds)
      return mesh.self().name
    end)
  ]]

  it('may be killed: what is idempotent ends elsewhere', function()
    local w1, w2 = nodes.start('w1', { listen = 'tcp' }, WORKER), nodes.start('w2', { listen = 'tcp' }, WORKER)
    local a = nodes.start('a', { peers = { w1, w2 } })
    local calls = {}
    for i = 1, 20 do calls[i] = a:begin "return mesh.call('safe', 1.5)" end
    w1:wait_for 'return seen == 10'
    w1.process:kill 'KILL'
    for _, call in ipairs(calls) do assert.equal('w2', (call:wait())) end
    assert.equal(10, a:metrics().calls_repeated)
  end)

  it('may be stopped one after the other: no call fails', function()
    local w1, w2 = nodes.start('w1', { listen = 'tcp' }, WORKER), nodes.start('w2', { listen = 'tcp' }, WORKER)
    local a = nodes.start('a', { listen = 'tcp', peers = { w1, w2 } })
    local run = a:begin [[
      local caller, failed = mesh.with { wait = 10 }, {}
      stopping = false
      while not stopping do
        local tasks = {}
        for i = 1, 10 do tasks[i] = mesh.spawn(pcall, caller.call, 'once', 0.01) end
        for _, task in ipairs(tasks) do
          local ok, err = task:await()
          if not ok then failed[#failed + 1] = tostring(err) .. ' ' .. tostring(err.outcome) end
        end
      end
      return failed
    ]]
    for _, w in ipairs { w1, w2 } do
      process.sleep(0.3)
      w.process:kill 'TERM'
      assert.equal(0, (w.process:wait()))
      nodes.start(w.name, { listen = 'tcp', peers = { a } }, WORKER)
    end
    process.sleep(0.3)
    a:eval 'stopping = true'
    assert.same({}, (run:wait()))
  end)
end)
