local cluster = require 'spec.support.cluster'

-- luacheck: globals mesh report offer, ignore 111 112 113 431

-- A node that is offered more than it can take, in virtual time.

local CAPACITY, SECONDS = 400, 5

local function worker()
  mesh.action('work', function() mesh.sleep(0.01) end)
end

--- Offers `rate` calls a second for `seconds`, at even or random distances.
local function client()
  function offer(rate, seconds, even, priority)
    local call = mesh.with { priority = priority, retries = 0 }.call
    local times, codes, tasks, hints, seed = {}, {}, {}, 0, 1
    local began = mesh.now()
    local at = began
    local function gap()
      if even then return 1 / rate end
      seed = (seed * 1103515245 + 12345) % 0x80000000
      return -math.log((seed + 1) / 0x80000001) / rate
    end
    while at < began + seconds do
      at = at + gap()
      if at > mesh.now() then mesh.sleep(at - mesh.now()) end
      tasks[#tasks + 1] = mesh.spawn(function()
        local before = mesh.now()
        local ok, err = pcall(call, 'work')
        if ok then
          times[#times + 1] = mesh.now() - before
        else
          codes[err.code] = (codes[err.code] or 0) + 1
          if err.retry_after and err.retry_after > 0 then hints = hints + 1 end
        end
      end)
    end
    local good = #times / (mesh.now() - began)
    mesh.all(tasks)
    table.sort(times)
    return { good = good, p99 = times[math.max(1, #times * 99 // 100)],
      codes = codes, hints = hints, offered = #tasks, answered = #times }
  end
end

cluster.describe('a node under overload', { 'mem' }, function(over)
  local function pair(options)
    local b = over.net:node('b', options or { max_concurrency = 4 }, worker)
    local a = over.net:node('a', { peers = { b } }, client)
    a:eval(function() mesh.wait 'work' end)
    return a, b
  end

  --- What comes of an offer of so many times the capacity, for five seconds.
  local function offered(a, times, ...)
    return a:eval(function(...) return offer(...) end, times * CAPACITY, SECONDS, ...)
  end

  local function text(r) return ('%.0f good a second, p99 %.1f ms'):format(r.good, r.p99 * 1e3) end

  it('does four fifths of what it can, and answers as fast as ever', function()
    local a = pair()
    local normal, even = offered(a, 0.8), offered(a, 1, true)
    assert.same({}, even.codes)
    for times, p99 in pairs { [2] = normal.p99, [10] = even.p99 } do
      local r = offered(a, times)
      assert.is_true(r.good >= 0.8 * CAPACITY, text(r))
      assert.is_true(r.p99 < 2 * p99, text(r))
      assert.equal(r.offered - r.answered, r.codes.BUSY)
      assert.equal(r.codes.BUSY, r.hints)
    end
    local m = over.net:metrics()
    assert.is_true(m.overloads >= 2 and m.requests_shed > 10000 and m.requests_shed <= m.requests_busy)
  end)

  it('does so too when it is an action that is bounded, and the queue overflows', function()
    local b = over.net:node('b', { max_queue = 16 }, function()
      mesh.action('work', function() mesh.sleep(0.01) end, { concurrency = 4 })
    end)
    local a = over.net:node('a', { peers = { b } }, client)
    a:eval(function() mesh.wait 'work' end)
    local r = offered(a, 10)
    assert.is_true(r.good >= 0.8 * CAPACITY, text(r))
    assert.is_true(r.p99 < 0.05, text(r))
  end)

  it('serves the urgent ones among them', function()
    local a = pair()
    local flood = a:start(function(...) return offer(...) end, 10 * CAPACITY, SECONDS, false, 'low')
    local urgent = offered(a, 0.5, false, 'high')
    assert.same({}, urgent.codes)
    assert.is_true(urgent.p99 < 0.03, text(urgent))
    local low = flood:wait()
    assert.is_true(low.good + urgent.good >= 0.8 * CAPACITY, text(low))
  end)

  it('leaves nobody below those who call again as soon as they are answered', function()
    local a = pair()
    local most = a:eval(function()
      local burst = mesh.spawn(offer, 4000, 0.3)
      local most, till, callers = 0, mesh.now() + 4, {}
      for i = 1, 10 do -- four are served, six wait
        callers[i] = mesh.spawn(function()
          while mesh.now() < till do
            local before = mesh.now()
            local ok, err = pcall(mesh.with { retries = 0 }.call, 'work')
            most = math.max(most, mesh.now() - before)
            if not ok then
              assert(err.code == 'BUSY', err)
              mesh.sleep(0.01)
            end
          end
        end)
      end
      mesh.all(callers)
      burst:await()
      return most
    end)
    assert.is_true(most < 0.2, most)
  end)

  it('still gives a burst its turn', function()
    local a = pair()
    local results = a:eval(function()
      local list = {}
      for i = 1, 900 do list[i] = mesh.spawn(mesh.call, 'work') end
      mesh.all(list)
      return #list
    end)
    assert.equal(900, results)
    assert.equal(0, over.net:metrics().overloads)
  end)

  it('does not start what nobody waits for any more', function()
    local b = over.net:node('b', { max_concurrency = 4 }, function()
      begun = 0
      mesh.action('work', function()
        begun = begun + 1
        mesh.sleep(0.01)
      end)
    end)
    local a = over.net:node('a', { peers = { b } }, client)
    a:eval(function() mesh.wait 'work' end)
    local codes = a:eval(function()
      local tasks, codes = {}, {}
      for i = 1, 100 do
        tasks[i] = mesh.spawn(function()
          local ok, err = pcall(mesh.with { timeout = 0.055 }.call, 'work')
          local key = ok and 'ok' or err.code .. ' ' .. err.outcome
          codes[key] = (codes[key] or 0) + 1
        end)
      end
      mesh.all(tasks)
      return codes
    end)
    -- The last four ran into their deadline.
    assert.same({ ok = 20, ['TIMEOUT not_executed'] = 76, ['TIMEOUT unknown'] = 4 }, codes)
    assert.equal(24, b:eval 'return begun')
    assert.equal(76, over.net:metrics().requests_expired)
  end)
end)

cluster.describe('a call whose time is over', { 'tcp' }, function(over)
  it('is not begun when the script gets round to it', function()
    local b = over.net:node('b', {}, function()
      begun = 0
      mesh.action('burn', function(seconds)
        local deadline = mesh.now() + seconds
        while mesh.now() < deadline do end
      end)
      mesh.action('count', function() begun = begun + 1 end)
      mesh.action('counts', function()
        begun = begun + 1
        coroutine.yield(1)
      end)
    end)
    local a = over.net:node('a', { peers = { b } })
    local codes = a:eval(function()
      mesh.wait 'counts'
      local hasty = mesh.with { timeout = 0.05, retries = 0 }
      local codes, tasks = {}, {}
      local burning = mesh.spawn(mesh.call, 'burn', 0.5)
      for i = 1, 20 do
        tasks[i] = mesh.spawn(function()
          local ok, err
          if i % 2 == 0 then
            ok, err = pcall(hasty.call, 'count')
          else
            ok, err = pcall(function() for _ in hasty.stream 'counts' do end end)
          end
          local key = ok and 'ok' or err.code
          codes[key] = (codes[key] or 0) + 1
        end)
      end
      mesh.all(tasks)
      burning:await()
      mesh.call('burn', 0)
      return codes
    end)
    assert.same({ TIMEOUT = 20 }, codes)
    assert.equal(0, b:eval 'return begun')
    assert.is_true(over.net:metrics().requests_expired >= 20)
  end)
end)

-- In time of the processor, which a busy machine does not stretch.
cluster.describe('many handlers that compute for a while', { 'tcp' }, function(over)
  it('let others have their turn between two of them', function()
    local b = over.net:node('b', {}, function()
      mesh.action('work', function(n)
        local x = 0
        for i = 1, n do x = x + i % 7 end
        return x
      end)
    end)
    local a = over.net:node('a', { peers = { b } })
    local took, gap = a:eval(function()
      mesh.wait 'work'
      local n = 10000
      local began
      repeat -- until one takes some milliseconds
        n, began = n * 2, os.clock()
        mesh.call('work', n)
      until os.clock() - began > 0.004
      local tasks, gap, last, stop = {}, 0, os.clock(), false
      local watch = mesh.spawn(function()
        while not stop do
          mesh.sleep(0)
          gap, last = math.max(gap, os.clock() - last), os.clock()
        end
      end)
      began = os.clock()
      for i = 1, 100 do tasks[i] = mesh.spawn(mesh.call, 'work', n) end
      mesh.all(tasks)
      stop = true
      watch:await()
      return os.clock() - began, gap
    end)
    assert.is_true(gap < took / 5, ('%.0f of %.0f ms'):format(gap * 1e3, took * 1e3))
  end)
end)
