--- Actions that answer equal calls in flight with one run.

local cluster = require 'spec.support.cluster'
local stranger = require 'spec.support.stranger'
local testing = require 'perilune.testing'

-- luacheck: globals mesh report, ignore 211/guard 431

local S = stranger
local put = testing.wire.msgpack.put

local function server()
  local function run(seconds, ...)
    report(seconds, ...)
    local guard <close> = setmetatable({}, { __close = function(_, err) report(err and err.code or 'closed') end })
    mesh.sleep(seconds)
    return ...
  end
  mesh.action('shared', run, { share = true })
  mesh.action('alone', run)
  mesh.action('narrow', run, { share = true, concurrency = 1, queue = 2 })
  mesh.action('short', run, { share = true, timeout = 0.2 })
  mesh.action('both', run, { share = true, idempotent = true })
  mesh.action('fail', function(seconds)
    report 'fail'
    mesh.sleep(seconds)
    error { code = 'NO_LUCK', message = 'none today', details = { n = 1 } }
  end, { share = true })
  mesh.action('chunks', function()
    report 'chunks'
    coroutine.yield(1)
    mesh.sleep(0.01)
  end, { share = true })
  mesh.action('left', function(seconds)
    mesh.sleep(seconds)
    return mesh.call 'deadline'
  end, { share = true })
  mesh.action('deadline', function() return mesh.context().deadline - mesh.now() end)
  mesh.action('who', function()
    report 'who'
    mesh.sleep(0.05)
    local context = mesh.context()
    return context.caller.name, context.meta and context.meta.user
  end, { share = true })
  mesh.action('again', function(n)
    mesh.sleep(0.01)
    return mesh.call('again', n)
  end, { share = true })
end

--- So many calls at once; returns how many gave `want`, and the codes of the others.
local function many(count, want, name, ...)
  local tasks, right, codes = {}, 0, {}
  for i = 1, count do
    tasks[i] = mesh.spawn(function(...)
      local ok, r = pcall(mesh.call, ...)
      if ok and r == want then right = right + 1 end
      if not ok then codes[r.code] = (codes[r.code] or 0) + 1 end
    end, name, ...)
  end
  mesh.all(tasks)
  return right, codes
end

cluster.describe('equal calls in flight', { 'mem', 'tcp' }, function(over)
  local net, a, b

  before_each(function()
    net = over.net
    b = net:node('b', {}, server)
    a = net:node('a', { peers = { b } })
    a:eval(function() mesh.wait 'again' end)
  end)

  local function runs()
    local n = 0
    for _, said in ipairs(b:reports()) do n = n + (type(said[1]) == 'number' and 1 or 0) end
    return n
  end

  it('are one run', function()
    assert.equal(100, (a:eval(many, 100, 'x', 'shared', 0.05, 'x')))
    assert.equal(1, runs())
    assert.equal(99, net:metrics().requests_shared)
    net:settle()
    assert.equal(0, net:metrics().requests_now)
  end)

  it('are so many runs when the action does not say so', function()
    assert.equal(100, (a:eval(many, 100, 'x', 'alone', 0.05, 'x')))
    assert.equal(100, runs())
  end)

  it('are one run over relays, and for calls of the node to itself', function()
    local r = net:node('r', { peers = { b } })
    local c = net:node('c', { peers = { r } })
    c:eval(function() mesh.wait 'again' end)
    for i, node in ipairs { c, b } do
      assert.equal(100, (node:eval(many, 100, 'x', 'shared', 0.05, 'x')))
      assert.equal(i, runs())
    end
  end)

  it('bring the same error to all', function()
    local right, codes = a:eval(many, 50, nil, 'fail', 0.05)
    assert.same({ 0, { NO_LUCK = 50 } }, { right, codes })
    assert.same({ 'fail' }, b:reported())
    local err = a:fails(function() mesh.call('fail', 0) end)
    assert.same({ 'none today', 1, 'executed' }, { err.message, err.details.n, err.outcome })
  end)

  it('run again once the first has ended', function()
    for i = 1, 3 do
      assert.equal('x', (a:eval(function() return mesh.call('shared', 0, 'x') end)))
      assert.equal(i, runs())
    end
  end)

  it('are apart by action, arguments, metadata and caller', function()
    local c = net:node('c', { peers = { b } })
    c:eval(function() mesh.wait 'again' end)
    local calls = {
      a:start(function() return mesh.call('shared', 0.1, 'x') end),
      a:start(function() return mesh.call('shared', 0.1, 'y') end),
      a:start(function() return mesh.call('shared', 0.1, 'x', nil) end),
      a:start(function() return mesh.call('both', 0.1, 'x') end),
      a:start(function() return mesh.with { meta = { user = 1 } }.call('shared', 0.1, 'x') end),
      a:start(function() return mesh.with { meta = { user = 2 } }.call('shared', 0.1, 'x') end),
      c:start(function() return mesh.call('shared', 0.1, 'x') end),
    }
    for _, call in ipairs(calls) do call:wait() end
    assert.equal(7, runs())
    assert.equal(0, net:metrics().requests_shared)
    assert.same({ 'a', nil }, { a:eval(function() return mesh.call 'who' end) })
    assert.same({ 'c', 7 }, { c:eval(function() return mesh.with { meta = { user = 7 } }.call 'who' end) })
  end)

  it('are one run when they differ in their timeout', function()
    local calls = {}
    for i = 1, 3 do
      calls[i] = a:start(function(s) return mesh.with { timeout = s }.call('shared', 0.05, 'x') end, 2 + i)
    end
    for i = 1, 3 do assert.equal('x', calls[i]:wait()) end
    assert.equal(1, runs())
  end)

  it('go on when one of them is cancelled, the first too', function()
    local calls = {}
    for i = 1, 3 do calls[i] = a:start(function() return mesh.call('shared', 0.1, 'x') end) end
    b:wait_reports(1)
    calls[1]:cancel()
    calls[2]:cancel()
    assert.equal('x', (calls[3]:wait()))
    assert.same({ 0.1, 'closed' }, b:reported())
    assert.equal('cancelled', calls[1]:state())
  end)

  it('end with the last of them', function()
    local calls = {}
    for i = 1, 3 do calls[i] = a:start(function() return mesh.call('shared', 1000, 'x') end) end
    b:wait_reports(1)
    net:settle()
    for i = 1, 3 do calls[i]:cancel() end
    b:wait_reports(2)
    assert.same({ 1000, 'CANCELLED' }, b:reported())
    net:settle()
    assert.equal(0, net:metrics().requests_now)
    assert.equal('x', (a:eval(function() return mesh.call('shared', 0, 'x') end)))
  end)

  it('that come while the run is being stopped share another', function()
    b:eval(function()
      mesh.action('tidy', function(n)
        local guard <close> = setmetatable({}, { __close = function() mesh.sleep(0.1) end })
        report('tidy', n)
        mesh.sleep(n)
        return n
      end, { share = true })
    end)
    a:eval(function() mesh.wait 'tidy' end)
    local first = a:start(function() mesh.with { timeout = 0.05 }.call('tidy', 0.07) end)
    first:failure()
    assert.equal(3, (a:eval(function()
      local list = {}
      for i = 1, 3 do list[i] = mesh.spawn(mesh.call, 'tidy', 0.07) end
      return #mesh.all(list)
    end)))
    assert.same({ 'tidy', 'tidy' }, b:reported())
  end)

  it('have the deadline of the latest', function()
    local short = a:start(function() return mesh.with { timeout = 0.1 }.call('shared', 0.3, 'x') end)
    b:wait_reports(1)
    local long = a:start(function() return mesh.with { timeout = 20 }.call('shared', 0.3, 'x') end)
    local err = short:failure()
    assert.same({ 'TIMEOUT', 'unknown' }, { err.code, err.outcome })
    assert.equal('x', (long:wait()))
    assert.same({ 0.3, 'closed' }, b:reported())
  end)

  it('pass the deadline of the latest on to calls that the handler makes', function()
    local short = a:start(function() return mesh.with { timeout = 2 }.call('left', 0.05) end)
    net:wait(function() return net:metrics().requests_started > 0 end)
    local long = a:start(function() return mesh.with { timeout = 9 }.call('left', 0.05) end)
    assert.is_true(long:wait() > 5)
    assert.is_true(short:wait() > 5)
  end)

  it('stop at the latest deadline, also when the action has a shorter one for callers that say none', function()
    for name, most in pairs { shared = 0.3, short = 0.3 } do
      local before = #b:reports()
      local first = a:start(function(n) mesh.with { timeout = 0.1 }.call(n, 1000, 'x') end, name)
      b:wait_reports(before + 1)
      local began = net:now()
      local second = a:start(function(n) mesh.with { timeout = 0.3 }.call(n, 1000, 'x') end, name)
      assert.equal('TIMEOUT', first:failure().code)
      assert.equal('TIMEOUT', second:failure().code)
      b:wait_reports(before + 2)
      local took = net:now() - began
      assert.is_true(took >= most - 0.02 and took <= net:within(most + 0.03), name .. ' ' .. took)
    end
  end)

  it('take one place in the queue', function()
    local busy = a:start(function() return mesh.call('narrow', 0.1, 'busy') end)
    b:wait_reports(1)
    local right = a:eval(many, 100, 'x', 'narrow', 0, 'x')
    assert.equal(100, right)
    assert.equal('busy', (busy:wait()))
    assert.equal(2, runs())
    assert.equal(0, net:metrics().requests_busy)
  end)

  it('are refused together', function()
    local busy = a:start(function() return mesh.call('narrow', 0.1, 'busy') end)
    b:wait_reports(1)
    local filling = {}
    for i = 1, 2 do filling[i] = a:start(function(n) return mesh.call('narrow', 0, n) end, i) end
    net:wait(function() return net:metrics().requests_queued_now == 2 end)
    local right, codes = a:eval(many, 10, 'x', 'narrow', 0, 'x')
    assert.same({ 0, { BUSY = 10 } }, { right, codes })
    for i = 1, 2 do filling[i]:wait() end
    busy:wait()
  end)

  it('are not executed when all leave while they wait for a slot', function()
    local busy = a:start(function() return mesh.call('narrow', 0.3, 'busy') end)
    b:wait_reports(1)
    local calls = {}
    for i = 1, 2 do calls[i] = a:start(function() mesh.with { timeout = 0.1 }.call('narrow', 0, 'x') end) end
    local outcomes = {}
    for i = 1, 2 do outcomes[i] = calls[i]:failure().outcome end
    assert.equal('not_executed', outcomes[2])
    busy:wait()
    net:settle()
    assert.equal(1, runs())
  end)

  it('fail for a plain call of an action that yields', function()
    local right, codes = a:eval(many, 5, nil, 'chunks')
    assert.same({ 0, { STREAM_EXPECTED = 5 } }, { right, codes })
  end)

  it('are apart as streams', function()
    assert.equal(2, a:eval(function()
      local tasks, n = {}, 0
      for i = 1, 2 do
        tasks[i] = mesh.spawn(function()
          for x in mesh.stream 'chunks' do n = n + x end
        end)
      end
      mesh.all(tasks)
      return n
    end))
    assert.same({ 'chunks', 'chunks' }, b:reported())
  end)

  it('are apart with arguments that are long', function()
    assert.equal(3, a:eval(function()
      local long, tasks, n = ('x'):rep(70000), {}, 0
      for i = 1, 3 do
        tasks[i] = mesh.spawn(function()
          if mesh.call('shared', 0.01, long) == long then n = n + 1 end
        end)
      end
      mesh.all(tasks)
      return n
    end))
    assert.equal(3, runs())
  end)

  it('bring long results to all', function()
    assert.equal(20, a:eval(function()
      local tasks, n = {}, 0
      for i = 1, 20 do
        tasks[i] = mesh.spawn(function()
          if #mesh.call('shared', 0.05, ('x'):rep(60000)) == 60000 then n = n + 1 end
        end)
      end
      mesh.all(tasks)
      return n
    end))
    assert.equal(1, runs())
  end)

  it('do not wait for themselves', function()
    local err = a:fails(function() mesh.with { timeout = 5 }.call('again', 1) end)
    assert.equal('BUSY', err.code)
    assert.matches('again %-> again; it is equal to a call that led to it', err.message)
  end)

  it('end when their path is lost', function()
    local call = a:start(function() return mesh.call('shared', 1000, 'x') end)
    b:wait_reports(1)
    a:finish(0)
    b:wait_reports(2)
    assert.equal(1000, b:reported()[1])
    net:settle()
    assert.equal(0, net:metrics().requests_now)
    assert.is_true(call:ended())
  end)

  it('do not hold up a stop, and drain with those that run', function()
    local call = a:start(function() return mesh.call('shared', 0.1, 'x') end)
    b:wait_reports(1)
    b:stop(5)
    assert.equal('x', (call:wait()))
    net:wait(function() return (b:over()) end, 'the end of the node')
  end)
end)

describe('an action that shares and is idempotent', function()
  it('goes on when its path is lost, for a repeat that comes, and stops at once when cancelled', function()
    local net = cluster.new 'mem'
    local b = net:node('b', {}, server)
    local me = ('m'):rep(16)
    local args = put('array', 2) .. put('float', 0.3) .. put('int', 7)
    local s = stranger.greet(net, b, { id = me })
    s:call(1, 'both', { call_id = 1 }, args)
    b:wait_reports(1)
    s:close()
    net:advance(0.1)
    s = stranger.greet(net, b, { id = me })
    s:call(1, 'both', { call_id = 2, first_call_id = 1, attempt = 1 }, args)
    assert.equal('\x91\x07', s:receive(S.RESULT, 1).body)
    assert.same({ 0.3, 'closed' }, b:reported())
    s:call(3, 'both', { call_id = 3 }, args)
    b:wait_reports(3)
    s:send(S.CANCEL, testing.wire.message.encode('cancel', { call_id = 3 }), { label = 3 })
    assert.equal('CANCELLED', s:error(3).code)
    net:advance(0.01)
    assert.equal('CANCELLED', b:reported()[4])
    net:finish()
  end)
end)
