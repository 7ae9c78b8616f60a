local cluster = require 'spec.support.cluster'

-- luacheck: globals mesh report, ignore 211/guard 431 111 112 113

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
