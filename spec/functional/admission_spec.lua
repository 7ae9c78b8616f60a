local cluster = require 'spec.support.cluster'

-- luacheck: globals mesh report, ignore 211/guard 411/guard 431 111 112 113

local function worker()
  running, most = 0, 0
  function held(...)
    running = running + 1
    most = math.max(most, running)
    local guard <close> = setmetatable({}, { __close = function() running = running - 1 end })
    mesh.sleep(0.05)
    return ...
  end
  mesh.action('two', held, { concurrency = 2 })
  mesh.action('free', held)
  mesh.action('one, none waits', held, { concurrency = 1, queue = 0 })
  mesh.action('one, some wait', held, { concurrency = 1, queue = 500 })
  mesh.action('ordered', function(i)
    mesh.sleep(0.001)
    report(i)
    return i
  end, { concurrency = 1 })
  mesh.action('stream', function(i)
    running = running + 1
    most = math.max(most, running)
    local guard <close> = setmetatable({}, { __close = function() running = running - 1 end })
    for n = 1, 3 do
      coroutine.yield(i * 10 + n)
      mesh.sleep(0.01)
    end
    return i
  end, { concurrency = 1 })
end

--- Calls it `n` times at once; returns how many came back well, and the codes of the others.
local function storm(node, action, n)
  return node:eval(function(name, count)
    local good, codes, tasks, errs = 0, {}, {}, {}
    for i = 1, count do
      tasks[i] = mesh.spawn(function()
        local ok, r = pcall(mesh.call, name, i)
        if ok then
          assert(r == i)
          good = good + 1
        else
          codes[r.code] = (codes[r.code] or 0) + 1
          errs[#errs + 1] = r
        end
      end)
    end
    mesh.all(tasks)
    return good, codes, errs[1]
  end, action, n)
end

cluster.describe('a bound of concurrency', { 'mem', 'tcp' }, function(over)
  local function pair(options)
    local b = over.net:node('b', options or {}, worker)
    local a = over.net:node('a', { peers = { b } })
    a:eval(function() mesh.wait 'stream' end)
    return a, b
  end

  it('of an action holds, and those that wait come in turn', function()
    local a, b = pair()
    local good, codes = storm(a, 'two', 20)
    assert.equal(20, good)
    assert.same({}, codes)
    assert.equal(2, b:eval 'return most')
    storm(a, 'ordered', 50)
    local order = b:reported()
    for i = 1, 50 do assert.equal(i, order[i]) end
  end)

  it('of the node holds over all actions', function()
    local a, b = pair { max_concurrency = 3 }
    local one = a:start(function()
      local tasks = {}
      for i = 1, 10 do tasks[i] = mesh.spawn(mesh.call, 'two', i) end
      mesh.all(tasks)
    end)
    assert.equal(10, (storm(a, 'free', 10)))
    one:wait()
    assert.equal(3, b:eval 'return most')
  end)

  it('refuses at once what cannot wait either', function()
    local a = pair()
    local good, codes, err = storm(a, 'one, none waits', 3)
    assert.equal(1, good)
    assert.same({ BUSY = 2 }, codes)
    assert.equal('not_executed', err.outcome)
    assert.equal('one, none waits', err.action)
    assert.is_true(err.retry_after > 0 and err.retry_after <= 5, err.retry_after)
    assert.equal(2, over.net:metrics().requests_busy)
  end)

  it('refuses exactly what is over the queue', function()
    if not over.net.virtual then return end -- some would be done before the last one arrives
    local a = pair()
    local busy = a:eval(function()
      local list, busy = {}, 0
      for i = 1, 502 do
        list[i] = mesh.spawn(function()
          local ok, e = pcall(mesh.with { timeout = 60 }.call, 'one, some wait', i)
          if not ok then
            assert(e.code == 'BUSY', tostring(e))
            busy = busy + 1
          end
        end)
      end
      mesh.all(list)
      return busy
    end)
    assert.equal(1, busy)
  end)

  it('of waiting on the node holds over all actions', function()
    local a = pair { max_concurrency = 1, max_queue = 2 }
    local good, codes = storm(a, 'free', 10)
    assert.equal(3, good)
    assert.same({ BUSY = 7 }, codes)
  end)

  it('counts streams', function()
    local a, b = pair()
    local seen = a:eval(function()
      local tasks, seen = {}, {}
      for i = 1, 5 do
        tasks[i] = mesh.spawn(function()
          for v in mesh.stream('stream', i) do seen[#seen + 1] = v end
        end)
      end
      mesh.all(tasks)
      return seen
    end)
    assert.same({ 11, 12, 13, 21, 22, 23, 31, 32, 33, 41, 42, 43, 51, 52, 53 }, seen)
    assert.equal(1, b:eval 'return most')
  end)

  it('gives actions that wait their turns', function()
    local a, b = pair { max_concurrency = 1 }
    b:eval(function()
      for _, name in ipairs { 'x', 'y' } do
        mesh.action(name, function()
          report(name)
          mesh.sleep(0.001)
        end)
      end
    end)
    a:eval(function()
      mesh.wait 'y'
      local tasks = {}
      for i = 1, 10 do tasks[i] = mesh.spawn(mesh.call, 'x') end
      for i = 11, 20 do tasks[i] = mesh.spawn(mesh.call, 'y') end
      mesh.all(tasks)
    end)
    local counts = { x = 0, y = 0 }
    for i, name in ipairs(b:reported()) do
      counts[name] = counts[name] + 1
      if i > 2 then assert.is_true(math.abs(counts.x - counts.y) <= 2, table.concat(b:reported())) end
    end
  end)

  it('holds for calls of the node to itself, too', function()
    local _, b = pair()
    assert.equal(8, (storm(b, 'two', 8)))
    assert.equal(2, b:eval 'return most')
  end)
end)

cluster.describe('a queue that an action was promised', { 'mem' }, function(over)
  it('holds as many as it says until their deadlines, whatever the queue of the node does', function()
    local b = over.net:node('b', { max_concurrency = 1, max_queue = 1 }, function()
      mesh.action('promised', function() mesh.sleep(0.1) end, { concurrency = 1, queue = 60 })
      mesh.action('other', function() mesh.sleep(0.1) end)
    end)
    local a = over.net:node('a', { peers = { b } }, function()
      function many(name, n, timeout)
        local codes, tasks = {}, {}
        for i = 1, n do
          tasks[i] = mesh.spawn(function()
            local ok, err = pcall(mesh.with { timeout = timeout }.call, name)
            local key = ok and 'ok' or err.code
            codes[key] = (codes[key] or 0) + 1
          end)
        end
        return codes, tasks
      end
    end)
    a:eval(function() mesh.wait 'other' end)
    local promised, other = a:eval(function()
      local promised, tasks = many('promised', 62, 4.95)
      mesh.sleep(0.01)
      local other, others = many('other', 3, 20)
      mesh.all(tasks)
      mesh.all(others)
      return promised, other
    end)
    -- One runs in ten a second; the turns of the other action take two of them.
    assert.same({ ok = 48, TIMEOUT = 13, BUSY = 1 }, promised)
    assert.same({ ok = 1, BUSY = 2 }, other)
  end)

  it('tells the one that is too many so within five milliseconds', function()
    local b = over.net:node('b', {}, worker)
    local a = over.net:node('a', { peers = { b } })
    local busy, took, hint = a:eval(function()
      mesh.wait 'one, some wait'
      local busy, took, hint, tasks = 0, nil, nil, {}
      for i = 1, 502 do
        tasks[i] = mesh.spawn(function()
          local before = mesh.now()
          local ok, err = pcall(mesh.with { timeout = 60 }.call, 'one, some wait')
          if ok then return end
          busy, took, hint = busy + 1, mesh.now() - before, err.retry_after
        end)
      end
      mesh.all(tasks)
      return busy, took, hint
    end)
    assert.equal(1, busy)
    assert.is_true(took < 0.005, took)
    assert.is_true(hint > 0)
  end)
end)

cluster.describe('priorities', { 'mem' }, function(over)
  local function pair(options)
    local b = over.net:node('b', options or {}, function()
      order = {}
      local function note(what)
        order[#order + 1] = what or mesh.context().priority
        mesh.sleep(0.01)
      end
      mesh.action('one', note, { concurrency = 1 })
      mesh.action('any', note)
      mesh.action('promised', note, { concurrency = 1, queue = 2 })
    end)
    local a = over.net:node('a', { peers = { b } }, function()
      outcomes = {}
      --- Calls it `n` times at once.
      function call(priority, n, name, what)
        local tasks = {}
        for i = 1, n do
          tasks[i] = mesh.spawn(function()
            local ok, err = pcall(mesh.with { priority = priority, retries = 0 }.call, name or 'one', what)
            outcomes[#outcomes + 1] = priority .. (ok and '' or ' ' .. err.code .. ': ' .. err.message)
          end)
        end
        return tasks
      end
    end)
    a:eval(function() mesh.wait 'promised' end)
    return a, b
  end

  local function count(list)
    local counts = {}
    for _, what in ipairs(list) do counts[what] = (counts[what] or 0) + 1 end
    return counts
  end

  it('let the urgent ones overtake those that wait', function()
    local a, b = pair()
    a:eval(function()
      local low = call('low', 5)
      local normal = call('normal', 3)
      mesh.sleep(0.001)
      mesh.all(call('high', 3))
      mesh.all(low)
      mesh.all(normal)
    end)
    assert.same({ 'low', 'high', 'high', 'high', 'normal', 'normal', 'normal', 'low', 'low', 'low', 'low' },
      b:eval 'return order')
  end)

  for _, name in ipairs { 'one', 'any' } do
    it('starve nobody, of action ' .. name, function()
      local a, b = pair { max_concurrency = 1 }
      a:eval(function(action)
        local high, normal, low = call('high', 170, action), call('normal', 60, action), call('low', 10, action)
        mesh.sleep(1.7)
        mesh.all(high)
        mesh.all(normal)
        mesh.all(low)
      end, name)
      local order = b:eval 'return order'
      local early = count { table.unpack(order, 1, 170) }
      assert.is_true(early.low >= 9 and early.normal >= 30 and early.high >= 120,
        ('%d %d %d'):format(early.high, early.normal, early.low))
    end)
  end

  it('hold over all actions of a node', function()
    local a, b = pair { max_concurrency = 1 }
    a:eval(function()
      local low = call('low', 4, 'one')
      mesh.sleep(0.001)
      mesh.all(call('high', 2, 'any'))
      mesh.all(low)
    end)
    assert.same({ 'low', 'high', 'high', 'low', 'low', 'low' }, b:eval 'return order')
  end)

  it('decide who gives way when the queue is full', function()
    local a, b = pair { max_concurrency = 1, max_queue = 3 }
    local outcomes = a:eval(function()
      local all = { call('low', 3), call('normal', 3), call('high', 4) }
      for _, tasks in ipairs(all) do mesh.all(tasks) end
      return outcomes
    end)
    assert.same({
      high = 3, low = 1,
      ['low BUSY: the call gave way to one of higher priority'] = 2,
      ['normal BUSY: the call gave way to one of higher priority'] = 3,
      ['high BUSY: too many calls run and wait'] = 1,
    }, count(outcomes))
    assert.same({ 'low', 'high', 'high', 'high' }, b:eval 'return order')
    assert.equal(5, over.net:metrics().requests_displaced)
  end)

  it('break no promise', function()
    local a, b = pair()
    a:eval(function()
      local low = call('low', 3, 'promised')
      mesh.sleep(0.001)
      mesh.all(call('high', 1, 'promised'))
      mesh.all(low)
      assert(#outcomes == 4 and outcomes[1] == 'high BUSY: too many calls run and wait')
    end)
    assert.same({ 'low', 'low', 'low' }, b:eval 'return order')
  end)

  it('are inherited by what a handler calls and starts, over relays, too', function()
    local b = over.net:node('b', {}, function()
      mesh.action('inner', function() return mesh.context().priority end)
      mesh.action('inner stream', function()
        coroutine.yield(mesh.context().priority)
      end)
    end)
    local relay = over.net:node('relay', { relay = true, peers = { b } })
    local a = over.net:node('a', { peers = { relay } }, function()
      mesh.action('outer', function()
        local spawned = mesh.spawn(function() return mesh.call 'inner' end):await()
        local streamed
        for priority in mesh.stream 'inner stream' do streamed = priority end
        local told = mesh.with { priority = 'normal' }.call 'inner'
        return mesh.context().priority, mesh.call 'inner', spawned, streamed, told
      end)
    end)
    assert.same({ 'low', 'low', 'low', 'low', 'normal' }, { a:eval(function()
      mesh.wait 'inner'
      return mesh.with { priority = 'low' }.call 'outer'
    end) })
    local normal = { a:eval(function() return mesh.call 'outer' end) }
    assert.same({ 'normal', 'normal', 'normal', 'normal', 'normal' }, normal)
    assert.equal('high', (a:eval(function() return mesh.with { priority = 'high' }.call 'outer' end)))
  end)
end)

cluster.describe('a storm of calls that are cancelled', { 'mem', 'tcp' }, function(over)
  it('starts no more handlers than the bound, cleanup included', function()
    local b = over.net:node('b', { max_concurrency = 3, cleanup_grace = 0.05 }, function()
      running, most, begun = 0, 0, 0
      mesh.action('slow to leave', function(how)
        running, begun = running + 1, begun + 1
        most = math.max(most, running)
        local guard <close> = setmetatable({}, { __close = function() running = running - 1 end })
        local guard <close> = setmetatable({}, { __close = function() mesh.sleep(how == 'long' and 1 or 0.01) end })
        mesh.sleep(1)
      end)
    end)
    local a = over.net:node('a', { peers = { b } })
    a:eval(function()
      mesh.wait 'slow to leave'
      for round = 1, 20 do
        local tasks = {}
        for i = 1, 50 do
          tasks[i] = mesh.spawn(mesh.call, 'slow to leave', round % 5 == 0 and 'long' or 'short')
        end
        mesh.sleep(0.005)
        for _, task in ipairs(tasks) do task:cancel() end
      end
    end)
    over.net:wait(function() return b:eval 'return running' == 0 end, 'the end of all handlers')
    assert.equal(3, b:eval 'return most')
    assert.is_true(b:eval 'return begun' >= 3)
    over.net:wait(function() return over.net:metrics().requests_now == 0 end, 'the end of all requests')
  end)
end)

cluster.describe('a race of 100000 calls', { 'mem' }, function(over)
  it('never passes the bounds of node and action', function()
    local b = over.net:node('b', { max_concurrency = 7 }, function()
      running, most, own, most_own = 0, 0, 0, 0
      local function run(i)
        running = running + 1
        if running > most then most = running end
        if i % 3 == 0 then mesh.sleep(i % 7 * 0.0001) end
        running = running - 1
      end
      mesh.action('node', run)
      mesh.action('own', function(i)
        own = own + 1
        if own > most_own then most_own = own end
        run(i)
        own = own - 1
      end, { concurrency = 2, queue = 100 })
    end)
    local a = over.net:node('a', { peers = { b } })
    local ok, busy = a:eval(function()
      mesh.wait 'own'
      local ok, busy, tasks = 0, 0, {}
      for worker = 1, 200 do
        tasks[worker] = mesh.spawn(function()
          for i = 1, 500 do
            local good, err = pcall(mesh.call, (i + worker) % 2 == 0 and 'node' or 'own', i)
            if good then
              ok = ok + 1
            else
              assert(err.code == 'BUSY' and err.outcome == 'not_executed', tostring(err))
              busy = busy + 1
            end
          end
        end)
      end
      mesh.all(tasks)
      return ok, busy
    end)
    assert.equal(100000, ok + busy)
    assert.same({ 7, 2, 0, 0 }, { b:eval 'return most, most_own, running, own' })
  end)
end)
