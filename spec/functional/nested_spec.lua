--- Calls within calls, which come back to nodes and actions where they have been.

local cluster = require 'spec.support.cluster'
local nodes = require 'spec.support.nodes'
local process = require 'spec.support.process'
local stranger = require 'spec.support.stranger'
local testing = require 'perilune.testing'

-- luacheck: globals mesh report ACTION, ignore 211/guard 431

local S = stranger
local put = testing.wire.msgpack.put

--- `again(n)` of node a calls `pass(n - 1)` of node c, and that `again` of a, until n is 0. Each doubles.
local function again()
  mesh.action('again', function(n, rest)
    if n == 0 then return 1 end
    return 2 * mesh.with { timeout = rest }.call('pass', n, rest)
  end, ACTION)
end

local function pass()
  mesh.action('pass', function(n, rest) return mesh.with { timeout = rest }.call('again', n - 1, rest) end, ACTION)
end

--- Calls `again` with each of `numbers` at once, with a timeout each; returns how many were right, how often each
--- code came, the first failure, and how long it took.
local function storm(numbers, timeout)
  mesh.wait 'again'
  local started = mesh.now()
  local right, codes, first, tasks = 0, {}, nil, {}
  for i, n in ipairs(numbers) do
    tasks[i] = mesh.spawn(function()
      local ok, r = pcall(mesh.with { timeout = timeout }.call, 'again', n, timeout)
      if ok and r == 2 ^ n then
        right = right + 1
      else
        codes[r.code] = (codes[r.code] or 0) + 1
        first = first or r
      end
    end)
  end
  mesh.all(tasks)
  return right, codes, first, mesh.now() - started
end

local function times(n, count)
  local list = {}
  for i = 1, count do list[i] = n end
  return list
end

cluster.describe('a call that comes back', { 'mem', 'tcp' }, function(over)
  local net

  before_each(function() net = over.net end)

  --- a and c behind a relay, and the caller behind the same.
  local function build(node, action, between)
    local code = string.dump(again)
    local options = node or {}
    local a = net:node('a', options)
    a:eval('ACTION = ' .. (action or '{}') .. " mesh = require 'perilune'")
    a:eval(code)
    local r = net:node('r', { peers = { a } })
    local c = net:node('c', { peers = { r } })
    c:eval('ACTION = ' .. (between or '{}') .. " mesh = require 'perilune'")
    c:eval(string.dump(pass))
    local x = net:node('x', { peers = { r } })
    c:eval(function() mesh.wait 'again' end)
    a:eval(function() mesh.wait 'pass' end)
    return x, a, c
  end

  local function nothing_left()
    net:settle()
    local m = net:metrics()
    assert.same({ 0, 0, 0, 0 }, { m.requests_now, m.requests_queued_now, m.calls_now, m.relays_now })
  end

  it('over a relay to where it began returns its value', function()
    local x, a = build()
    assert.equal(1, (x:eval(storm, { 1 }, 10)))
    assert.equal(8, (x:eval(function() return mesh.call('again', 3) end)))
    assert.equal(16, (a:eval(function() return mesh.call('again', 4) end)))
  end)

  for what, bounds in pairs {
    ['the action'] = { nil, '{ concurrency = 1 }' },
    ['the node'] = { { max_concurrency = 1 }, nil },
  } do
    it('to the one slot of ' .. what .. ', which it holds, is refused at once', function()
      local x = build(bounds[1], bounds[2])
      local right, codes, err, took = x:eval(storm, { 1 }, 5)
      assert.same({ 0, { BUSY = 1 } }, { right, codes })
      assert.is_true(took < net:within(0.1), took)
      assert.equal('executed', err.outcome) -- of the outer one
      assert.equal('not_executed', err.cause.cause.outcome)
      assert.matches('again %-> %(1 call elsewhere%) %-> again; the calls that led to it hold every slot of ' .. what,
        err.message)
      assert.equal(1, (x:eval(storm, { 0 }, 5))) -- the slot is free again
      nothing_left()
    end)

    it('a hundred times at once through two slots of ' .. what .. ' gets through', function()
      local two = what == 'the node' and { max_concurrency = 2 } or nil
      local x = build(two, not two and '{ concurrency = 2 }' or nil)
      local right, codes = x:eval(storm, times(1, 100), 20)
      assert.same({ 100, {} }, { right, codes })
      nothing_left()
    end)
  end

  it('deeper than there are slots is refused, also when others have them', function()
    local x = build(nil, '{ concurrency = 2 }')
    local right, codes = x:eval(storm, { 2 }, 5)
    assert.same({ 0, { BUSY = 1 } }, { right, codes })
    right, codes = x:eval(storm, times(2, 20), 5)
    assert.equal(20, right + (codes.BUSY or 0))
    nothing_left()
  end)

  it('through bounds on both nodes, again and again, gets through', function()
    local x = build(nil, '{ concurrency = 3 }', '{ concurrency = 3 }')
    for depth = 1, 2 do
      local right, codes = x:eval(storm, times(depth, 100), 20)
      assert.same({ 100, {} }, { right, codes })
    end
    nothing_left()
  end)

  it('of different depths at once gets through as many slots as the deepest has', function()
    local x = build(nil, '{ concurrency = 4 }')
    local numbers = {}
    for i = 1, 100 do numbers[i] = i % 4 end
    local right, codes = x:eval(storm, numbers, 20)
    assert.same({ 100, {} }, { right, codes })
    nothing_left()
  end)
end)

describe('a nested call', function()
  local net

  before_each(function() net = cluster.new 'mem' end)
  after_each(function() net:finish() end)

  --- An action that starts its own action in different ways, at a node with one slot for it.
  local function alone(code)
    local b = net:node('b', {}, function()
      mesh.action('back', function() return mesh.call('one', false) end)
    end)
    local a = net:node('a', { peers = { b } })
    a:eval("mesh = require 'perilune'")
    a:eval(code)
    a:eval(function() mesh.wait 'back' end)
    b:eval(function() mesh.wait 'one' end)
    return a
  end

  for what, code in pairs {
    ['awaited'] = function()
      mesh.action('one', function(go) return go and mesh.spawn(mesh.call, 'back'):await() end, { concurrency = 1 })
    end,
    ['one of several tasks'] = function()
      mesh.action('one', function(go)
        if not go then return end
        mesh.all { mesh.spawn(mesh.call, 'back'), mesh.spawn(mesh.sleep, 0) }
      end, { concurrency = 1 })
    end,
    ['made in a scope'] = function()
      mesh.action('one', function(go)
        if not go then return end
        mesh.scope(function(scope) scope:spawn(mesh.call, 'back') end)
      end, { concurrency = 1 })
    end,
    ['a stream'] = function()
      mesh.action('one', function(go)
        if not go then return end
        for _ in mesh.stream 'back' do report 'chunk' end
      end, { concurrency = 1 })
    end,
    ['to itself'] = function()
      mesh.action('one', function(go) return go and mesh.call('one', false) end, { concurrency = 1 })
    end,
  } do
    it('is known as that when it is ' .. what, function()
      local err = alone(code):fails(function() mesh.with { timeout = 5 }.call('one', true) end)
      assert.equal('BUSY', err.code)
      assert.matches('it would wait for itself: one %-> ', err.message)
      assert.equal(0, net:metrics().requests_expired)
    end)
  end

  it('for which nobody waits may wait for the slot of the one that made it', function()
    local a = alone(function()
      mesh.action('one', function(go)
        if go then mesh.spawn(function() report(mesh.call 'back') end) end
        mesh.sleep(0.01)
        return 'done'
      end, { concurrency = 1 })
    end)
    assert.equal('done', (a:eval(function() return mesh.call('one', true) end)))
    a:wait_reports(1)
    assert.same({ 'done' }, a:reported())
  end)

  it('starts in the slot of the one that waits for it, one at a time', function()
    local a = alone(function()
      local most, now = 0, 0
      mesh.action('one', function(fan)
        now = now + 1
        most = math.max(most, now)
        mesh.sleep(fan == 'hold' and 10 or 0.001)
        if fan == 'out' then
          local tasks = {}
          for i = 1, 50 do tasks[i] = mesh.spawn(mesh.call, 'back') end
          mesh.all(tasks)
        end
        now = now - 1
        return most
      end, { concurrency = 2 })
    end)
    local hold = a:start(function() return mesh.with { timeout = 0 }.call('one', 'hold') end)
    assert.equal(3, (a:eval(function() return mesh.call('one', 'out') end))) -- two, one of which waits for the third
    assert.equal('running', hold:state())
    local calls = {}
    for i = 1, 5 do calls[i] = a:start(function() return mesh.with { timeout = 0 }.call('one', 'out') end) end
    for i = 1, 5 do assert.is_true(calls[i]:wait() <= 4) end
    hold:wait()
    assert.equal(0, net:metrics().requests_queued_now)
  end)

  it('never passes a bound of one', function()
    local a = alone(function()
      local now = 0
      mesh.action('one', function(go)
        now = now + 1
        assert(now == 1)
        local ok, err = pcall(mesh.call, go and 'back' or 'none')
        report(ok, err.code)
        now = now - 1
      end, { concurrency = 1 })
    end)
    for _ = 1, 20 do a:start(function() mesh.call('one', true) end) end
    a:wait_reports(20)
    for _, said in ipairs(a:reports()) do assert.same({ false, 'BUSY' }, { said[1], said[2] }) end
  end)

  it('may be cancelled while it waits, with those that led to it or in the slot of one', function()
    local a = alone(function()
      mesh.action('one', function(go, n)
        if go then mesh.all { mesh.spawn(mesh.call, 'back', 1), mesh.spawn(mesh.call, 'back', 2) } end
        local guard <close> = setmetatable({}, { __close = function() report('closed') end })
        report 'began'
        mesh.sleep(1000)
      end, { concurrency = 2 })
    end)
    local other = a:start(function() mesh.with { timeout = 0 }.call('one', false) end)
    a:wait_reports(1)
    local call = a:start(function() mesh.with { timeout = 0 }.call('one', true) end)
    a:wait_reports(2) -- in the slot of the one that waits
    net:settle()
    assert.equal(1, net:metrics().requests_queued_now)
    call:cancel()
    a:wait_reports(3)
    net:settle()
    assert.same({ 'began', 'began', 'closed' }, a:reported())
    assert.equal(0, net:metrics().requests_queued_now)
    call = a:start(function() mesh.with { timeout = 0 }.call('one', true) end)
    a:wait_reports(4)
    other:cancel() -- its slot is for the one that waits
    a:wait_reports(6)
    assert.equal(0, net:metrics().requests_queued_now)
    call:cancel()
    net:settle()
    assert.equal(0, net:metrics().requests_now)
  end)

  it('is refused beyond a depth', function()
    local b = net:node('b', {}, function()
      mesh.action('down', function(n)
        report(n)
        return mesh.call('down', n + 1)
      end)
    end)
    local a = net:node('a', { peers = { b } })
    local err = a:fails(function()
      mesh.wait 'down'
      mesh.call('down', 0)
    end)
    assert.equal('TOO_LARGE', err.code)
    assert.matches('nested in too many others', err.message)
    assert.equal(65, #b:reports()) -- the first, and PL_ANCESTORS_MAX in it
  end)
end)

describe('calls that come back over processes', function()
  it('get through two slots, and are refused by one', function()
    local function again(bound)
      return ([[
        mesh.action('again', function(n)
          if n == 0 then return 1 end
          return 2 * mesh.call('pass', n)
        end, { concurrency = %d })
      ]]):format(bound)
    end
    local a = nodes.start('a', { listen = 'tcp' }, again(2))
    local r = nodes.start('r', { listen = 'tcp', peers = { a } })
    local c = nodes.start('c', { peers = { r } }, [[
      mesh.action('pass', function(n) return mesh.call('again', n - 1) end)
    ]])
    c:eval "mesh.wait 'again'"
    a:eval "mesh.wait 'pass'"
    assert.equal(100, c:eval [[
      local tasks, right = {}, 0
      for i = 1, 100 do
        tasks[i] = mesh.spawn(function()
          if mesh.call('again', 1) == 2 then right = right + 1 end
        end)
      end
      mesh.all(tasks)
      return right
    ]])
    a:eval(again(1))
    local began = process.now()
    local err = c:fails "mesh.call('again', 1)"
    assert.equal('BUSY', err.code)
    assert.is_true(process.now() - began < process.patience)
    assert.equal(1, c:eval "return mesh.call('again', 0)")
  end)
end)

describe('the marks of a call', function()
  local net, a, s

  before_each(function()
    net = cluster.new 'mem'
    a = net:node('a', {}, function()
      mesh.action('hold', function() mesh.sleep(1000) end, { concurrency = 1 })
      mesh.action('ask', function(id) return mesh.with { node = id }.call 'tell' end, { concurrency = 1 })
      mesh.action('plain', function() return true end)
    end)
  end)
  after_each(function() net:finish() end)

  local function marks(...)
    local list, all = { ... }, {}
    for i, mark in ipairs(list) do all[i] = put('uint', mark) end
    return put('array', #list) .. table.concat(all)
  end

  --- The marks of a CALL that the node makes for a call of ours.
  local function learn(label, ancestors)
    s:call(label, 'ask', { call_id = label, ancestors = ancestors }, put('array', 1) .. put('str', s.hex))
    local f = s:receive(S.CALL)
    return testing.wire.message.decode('call', f.body).ancestors
  end

  it('are known to those whom it leads to, and to nobody before', function()
    s = stranger.greet(net, a, { id = ('n'):rep(16) })
    s.hex = ('6e'):rep(16)
    s:offer { 'tell' }
    net:settle()
    local before = marks(1, 2, 1 << 63)
    local got = learn(1, before)
    assert.equal(4, got:byte(1) & 15)
    assert.equal(before:sub(2), got:sub(2, #before))
    assert.equal(1 + 3 * 9 + 9 - 16, #got) -- 1 and 2 in one byte each
  end)

  it('of others, forged or not, are worth nothing', function()
    s = stranger.greet(net, a)
    s:call(1, 'hold', { call_id = 1 })
    s:call(3, 'hold', { call_id = 2, ancestors = marks(1, 1, 1), timeout_ms = 50 })
    assert.equal('TIMEOUT', s:error(3).code) -- it waited
  end)

  it('are bounded', function()
    s = stranger.greet(net, a)
    local many = {}
    for i = 1, 64 do many[i] = i end
    s:call(1, 'plain', { call_id = 1, ancestors = marks(table.unpack(many)) })
    assert(s:receive(S.RESULT, 1))
    s:call(3, 'plain', { call_id = 2, ancestors = marks(65, table.unpack(many)) })
    local err = s:error(3)
    assert.same({ 'TOO_LARGE', 1 }, { err.code, err.outcome })
  end)

  it('that are no numbers break the protocol', function()
    s = stranger.greet(net, a)
    s:call(1, 'plain', { call_id = 1, ancestors = put('array', 1) .. put('str', 'x') })
    assert.equal('PROTOCOL', s:goodbye().code)
  end)
end)
