local cluster = require 'spec.support.cluster'

-- luacheck: globals mesh compute crowd, ignore 111 112 113

-- Handlers that compute, of actions without any bound. What waits for the processor is counted in handlers, not in
-- seconds, because others may use this one, too.

local function worker()
  began = 0
  --- Computes for a millisecond or so.
  function compute()
    local x = 0
    for i = 1, 120000 do x = x + i % 7 end
    return x
  end
  --- Returns how many have begun since its caller has asked.
  mesh.action('work', function(since)
    began = began + 1
    compute()
    return began - 1 - since
  end)
  mesh.action('nap', function(seconds) mesh.sleep(seconds) end)
  mesh.action('quick', function() return mesh.metrics().requests_queued_now end)
  --- Computes, asks itself, and computes again.
  mesh.action('deep', function(depth)
    compute()
    local below = depth > 0 and mesh.call('deep', depth - 1) or 0
    compute()
    return below + 1
  end)
end

local function caller()
  --- Calls it so often at once, and waits for the first answer. Returns the tasks, and a function that says how many
  --- have their answers.
  function crowd(n)
    local done, tasks = 0, {}
    for i = 1, n do
      tasks[i] = mesh.spawn(function()
        mesh.call('work', 0)
        done = done + 1
      end)
    end
    while done == 0 do mesh.sleep(0) end
    return tasks, function() return done end
  end
end

cluster.describe('handlers that compute without a bound', { 'tcp' }, function(over)
  --- A node that knows what its handlers compute, and one that calls it.
  local function pair(options)
    local b = over.net:node('b', options or {}, worker)
    local a = over.net:node('a', { peers = { b } }, caller)
    a:eval(function()
      mesh.wait 'work'
      for _ = 1, 20 do mesh.call('work', 0) end
      for _ = 1, 5 do mesh.call('deep', 1) end
    end)
    return a, b
  end

  it('begin no faster than they can run', function()
    local a = pair()
    local waiting, done = a:eval(function()
      local tasks, done = crowd(100)
      local waiting = mesh.call 'quick'
      local before = done()
      mesh.all(tasks)
      return waiting, before
    end)
    assert.is_true(waiting >= 90 - done, ('%d wait, %d have run'):format(waiting, done))
    local m = over.net:metrics()
    assert.same({ 0, 0, 0 }, { m.requests_busy, m.requests_queued_now, m.overloads })
  end)

  it('are never refused for a queue that is full', function()
    local a = pair { max_queue = 5 }
    local good = a:eval(function()
      local tasks, call = {}, mesh.with { retries = 0 }.call
      for i = 1, 60 do tasks[i] = mesh.spawn(call, 'work', 0) end
      return #mesh.all(tasks)
    end)
    assert.equal(60, good)
    assert.equal(0, over.net:metrics().requests_busy)
  end)

  it('leave the turn to the urgent ones, and to those that compute little', function()
    local a = pair()
    local quick, urgent = a:eval(function()
      local tasks, done = crowd(60)
      local at = done()
      mesh.call 'quick'
      local quick = done() - at
      at = done()
      mesh.with { priority = 'high' }.call('work', 0)
      local urgent = done() - at
      mesh.all(tasks)
      return quick, urgent
    end)
    assert.is_true(quick < 15 and urgent < 20, ('%d and %d went first'):format(quick, urgent))
  end)

  it('do not hold up those that wait, however many', function()
    local a = pair()
    local waiting = a:eval(function()
      local tasks = {}
      for i = 1, 2000 do tasks[i] = mesh.spawn(mesh.call, 'nap', 0.3) end
      local working = mesh.spawn(mesh.call, 'work', 0)
      local waiting = mesh.call 'quick'
      mesh.all(tasks)
      working:await()
      return waiting
    end)
    assert.is_true(waiting <= 1, waiting)
    assert.equal(0, over.net:metrics().requests_busy)
  end)

  it('may call themselves', function()
    local a = pair()
    local depths = a:eval(function()
      local list = {}
      for i = 1, 20 do list[i] = mesh.spawn(mesh.call, 'deep', 3) end
      return mesh.all(list)
    end)
    assert.equal(20, #depths)
    for _, depth in ipairs(depths) do assert.equal(4, depth) end
  end)

  it('answer in time what they have begun, when ten times as much comes', function()
    local a, b = pair()
    local before = b:eval 'return began'
    local r = a:eval(function(at)
      local call = mesh.with { retries = 0, timeout = 60 }.call
      local each = mesh.now()
      for _ = 1, 20 do call('work', 0) end
      each = (mesh.now() - each) / 20
      local known, tasks, busy, hints, late, good = at + 20, {}, 0, 0, {}, 0
      for i = 1, 4000 do
        tasks[i] = mesh.spawn(function()
          local since = known
          local ok, result = pcall(call, 'work', since)
          if ok then
            good = good + 1
            known = math.max(known, since + result)
            if i > 2000 then late[#late + 1] = result end
          else
            if result.code ~= 'BUSY' or result.outcome ~= 'not_executed' then error(result) end
            busy = busy + 1
            if result.retry_after and result.retry_after > 0 then hints = hints + 1 end
          end
        end)
        if i % 10 == 0 then mesh.sleep(each) end
      end
      mesh.all(tasks)
      table.sort(late)
      return { good = good, busy = busy, hints = hints, p90 = late[#late * 9 // 10] }
    end, before)
    assert.equal(r.good, b:eval 'return began' - before - 20)
    assert.is_true(r.busy > 500 and r.good > 50, ('%d good, %d busy'):format(r.good, r.busy))
    assert.equal(r.busy, r.hints)
    assert.is_true(r.p90 <= 250, r.p90)
  end)
end)
