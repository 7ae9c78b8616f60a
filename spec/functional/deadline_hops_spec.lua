--- Deadlines and cancels of calls that lead to others, over several nodes.

local cluster = require 'spec.support.cluster'
local stranger = require 'spec.support.stranger'
local testing = require 'perilune.testing'

-- luacheck: globals mesh report, ignore 211/guard 431

local S = stranger
local ACCURACY = 0.02

local function middle()
  mesh.action('outer', function(own, ...)
    local guard <close> = setmetatable({}, { __close = function(_, err)
      if err then report('closed', mesh.now(), err.code) end
    end })
    local deadline = mesh.context().deadline
    report('began', deadline and deadline - mesh.now())
    return mesh.with { timeout = own }.call('inner', ...)
  end, { concurrency = 1 })
end

local function last()
  mesh.action('inner', function(seconds, catches)
    local guard <close> = setmetatable({}, { __close = function(_, err)
      if err then report('closed', mesh.now(), err.code) end
    end })
    local deadline = mesh.context().deadline
    report('began', deadline and deadline - mesh.now())
    if catches then
      pcall(mesh.sleep, seconds)
      local caught = os.clock()
      repeat until os.clock() - caught > 0.03
      return 'too late'
    end
    mesh.sleep(seconds)
    return 'in time'
  end, { concurrency = 1 })
end

cluster.describe('over two relays and a handler between', { 'mem', 'tcp' }, function(over)
  local net, a, b, c

  --- a -- r -- b -- q -- c
  before_each(function()
    net = over.net
    c = net:node('c', {}, last)
    local q = net:node('q', { peers = { c } })
    b = net:node('b', { peers = { q } }, middle)
    local r = net:node('r', { peers = { b } })
    a = net:node('a', { peers = { r } })
    a:eval(function() mesh.wait 'outer' end)
    b:eval(function() mesh.wait 'inner' end)
  end)

  --- Both handlers have ended, with this code, so long after `from`; nothing is left.
  local function ended(code, from, seconds)
    b:wait_reports(2)
    c:wait_reports(2)
    for _, node in ipairs { b, c } do
      local said = node:reports()[2]
      assert.same({ 'closed', code }, { said[1], said[3] })
      local off = said[2] - from - seconds
      assert.is_true(off >= -ACCURACY and off <= net:within(ACCURACY), node.name .. ' ' .. off)
    end
    net:settle()
    local m = net:metrics()
    assert.same({ 0, 0, 0 }, { m.requests_now, m.calls_now, m.relays_now })
  end

  it('a deadline ends the call and both handlers in time', function()
    local from = net:now()
    local err, took = a:eval(function()
      local started = mesh.now()
      local _, err = pcall(mesh.with { timeout = 0.3 }.call, 'outer', 100, 1000)
      return err, mesh.now() - started
    end)
    assert.same({ 'TIMEOUT', 'outer' }, { err.code, err.action })
    assert.not_equal('not_executed', err.outcome)
    assert.is_true(took >= 0.3 - ACCURACY and took <= net:within(0.3 + ACCURACY), took)
    ended('TIMEOUT', from, 0.3)
    local outer, inner = b:reports()[1][2], c:reports()[1][2]
    assert.is_true(outer <= 0.301 and inner <= outer + 0.001, inner .. ' of ' .. outer)
    assert.is_true(inner > 0.3 - net:within(ACCURACY))
  end)

  it('a call without one inherits none, and one with 0 inherits that of its handler', function()
    local forever = a:start(function() return mesh.with { timeout = 0 }.call('outer', 0, 0.05) end)
    assert.equal('in time', forever:wait())
    assert.is_nil(b:reports()[1][2])
    assert.is_nil(c:reports()[1][2])
    local bound = a:start(function() return mesh.with { timeout = 5 }.call('outer', 0, 0.05) end)
    bound:wait()
    assert.is_true(c:reports()[2][2] <= 5 and c:reports()[2][2] > 4)
  end)

  it('a nested call may end earlier, and only it does', function()
    local err = a:fails(function() mesh.with { timeout = 5 }.call('outer', 0.1, 1000) end)
    assert.same({ 'TIMEOUT', 'executed', 'unknown' }, { err.code, err.outcome, err.cause.outcome })
    c:wait_reports(2)
    assert.equal('TIMEOUT', c:reports()[2][3])
  end)

  it('a reply that comes too late is discarded at each hop, and counted', function()
    local err = a:fails(function() mesh.with { timeout = 0.1 }.call('outer', 100, 1000, true) end)
    assert.equal('TIMEOUT', err.code)
    net:wait(function() return net:metrics().requests_now == 0 end, 'the end of the handlers')
    net:settle()
    local m = net:metrics()
    assert.same({ 0, 0, 0 }, { m.requests_now, m.calls_now, m.relays_now })
    assert.is_true(m.replies_late >= 1)
  end)

  it('a task that is cancelled stops both handlers and frees their slots', function()
    local task = a:start(function() mesh.call('outer', 100, 1000) end)
    c:wait_reports(1)
    local from = net:now()
    task:cancel()
    ended('CANCELLED', from, 0)
    a:start(function() mesh.call('outer', 100, 1000) end)
    c:wait_reports(3) -- both slots are free
    assert.equal('began', b:reports()[3][1])
  end)
end)

cluster.describe('a callee', { 'mem', 'tcp' }, function(over)
  it('keeps the deadline by itself when no cancel comes', function()
    local net = over.net
    local c = net:node('c', {}, last)
    local s = stranger.greet(net, c)
    for i, seconds in ipairs { 0.05, 0.3 } do
      local from = net:now()
      s:call(2 * i - 1, 'inner', { call_id = i, timeout_ms = math.floor(seconds * 1000) },
        testing.wire.msgpack.put('array', 1) .. testing.wire.msgpack.put('int', 1000))
      local err = s:error(2 * i - 1)
      assert.same({ 'TIMEOUT', 2 }, { err.code, err.outcome })
      local said = c:reports()[2 * i]
      assert.same({ 'closed', 'TIMEOUT' }, { said[1], said[3] })
      local off = said[2] - from - seconds
      assert.is_true(off >= -ACCURACY and off <= net:within(ACCURACY), off)
    end
  end)

  it('does not start what has waited for too long', function()
    local net = over.net
    local c = net:node('c', {}, last)
    local s = stranger.greet(net, c)
    local args = testing.wire.msgpack.put('array', 1) .. testing.wire.msgpack.put('float', 0.2)
    s:call(1, 'inner', { call_id = 1 }, args)
    for i = 2, 50 do s:call(2 * i - 1, 'inner', { call_id = i, timeout_ms = 1 + i }, args) end
    for i = 2, 50 do
      local err = s:error(2 * i - 1)
      assert.same({ 'TIMEOUT', 1 }, { err.code, err.outcome })
    end
    assert(s:receive(S.RESULT, 1))
    assert.same({ 'began' }, c:reported())
    assert.equal(49, net:metrics().requests_expired)
  end)

  it('starts no more handlers than the bound in a storm of cancels', function()
    local net = over.net
    local b = net:node('b', {}, function()
      local now, most = 0, 0
      mesh.action('slow to end', function()
        now = now + 1
        most = math.max(most, now)
        local guard <close> = setmetatable({}, { __close = function()
          mesh.sleep(0.005)
          now = now - 1
        end })
        mesh.sleep(1000)
      end, { concurrency = 3 })
      mesh.action('most', function() return most, now end)
    end)
    local a = net:node('a', { peers = { b } })
    a:eval(function()
      mesh.wait 'most'
      for round = 1, 20 do
        local tasks = {}
        for i = 1, 50 do tasks[i] = mesh.spawn(pcall, mesh.call, 'slow to end') end
        mesh.sleep(round % 3 * 0.004)
        for i = 1, 50 do tasks[i]:cancel() end
      end
    end)
    net:advance(0.1)
    assert.same({ 3, 0 }, { a:eval(function() return mesh.call 'most' end) })
    net:settle()
    assert.equal(0, net:metrics().requests_now)
  end)
end)
