local cluster = require 'spec.support.cluster'

-- luacheck: globals mesh report watched busy, ignore 111 112 113 431 432

-- When the tasks of a script have their turn. Time is that of the processor: a busy machine changes nothing.

local CHUNKS = 1000 -- that are there before one is taken, so that none is waited for
local PASS = 256 -- chunks that a task takes or emits before others have their turn

local function server()
  --- Runs `fn`. What happened at most between two turns of another task that is always ready: how often `fn` called
  --- what it is given, and CPU time; and how much of that there was.
  function watched(fn)
    local counted, most, longest, last = 0, 0, 0, os.clock()
    local function look()
      most, longest = math.max(most, counted), math.max(longest, os.clock() - last)
      counted, last = 0, os.clock()
    end
    local watch = mesh.spawn(function()
      while true do
        look()
        mesh.sleep(0)
      end
    end)
    mesh.sleep(0)
    local began = os.clock()
    fn(function() counted = counted + 1 end)
    look()
    watch:cancel()
    return most, longest, os.clock() - began
  end

  function busy(seconds)
    local over = os.clock() + seconds
    while os.clock() < over do end
  end

  mesh.action('take', function(seconds)
    mesh.sleep(1)
    return watched(function(count)
      for _ in mesh.input() do
        count()
        busy(seconds)
      end
    end)
  end)
  mesh.action('give', function(n, seconds)
    report(watched(function(count)
      for i = 1, n do
        count()
        busy(seconds)
        coroutine.yield(i)
      end
    end))
  end)
  mesh.action('swallow', function() for _ in mesh.input() do end end)
end

-- What a task does with `n` chunks, for each of which it computes for so long: each returns what `watched` tells.
local WAYS = {
  ['takes chunks of a stream'] = function(_, c, n, seconds)
    return c:eval(function(n, seconds)
      local s <close> = mesh.stream('give', n, 0)
      s:next()
      mesh.sleep(1)
      return watched(function(count)
        for _ in s do
          count()
          busy(seconds)
        end
      end)
    end, n + 1, seconds)
  end,
  ['takes chunks of its input'] = function(_, c, n, seconds)
    return c:eval(function(n, seconds)
      local s <close> = mesh.stream('take', seconds)
      for i = 1, n do s:send(i) end
      s:finish()
      return s:result()
    end, n, seconds)
  end,
  ['emits chunks'] = function(s, c, n, seconds)
    c:eval(function(n, seconds)
      for _ in mesh.stream('give', n, seconds) do end
    end, n, seconds)
    return table.unpack(s:reports()[1])
  end,
  ['sends chunks'] = function(_, c, n, seconds)
    return c:eval(function(n, seconds)
      local s <close> = mesh.stream 'swallow'
      return watched(function(count)
        for i = 1, n do
          count()
          busy(seconds)
          s:send(i)
        end
      end)
    end, n, seconds)
  end,
  ['feeds a stream'] = function(_, c, n, seconds)
    return c:eval(function(n, seconds)
      local s <close> = mesh.stream 'swallow'
      return watched(function(count)
        s:feed(function(_, i)
          count()
          busy(seconds)
          return i < n and i + 1 or nil
        end, nil, 0)
      end)
    end, n, seconds)
  end,
}

cluster.describe('a task that', { 'mem' }, function(over)
  local s, c
  before_each(function()
    s = over.net:node('s', {}, server)
    c = over.net:node('c', { peers = { s } }, server)
    c:eval(function() mesh.wait 'swallow' end)
  end)

  for what, way in pairs(WAYS) do
    it(what .. ' lets others have their turn after some of them', function()
      local most = way(s, c, CHUNKS, 0)
      assert.is_true(most <= PASS + 1, most)
    end)

    it(what .. ' lets others have their turn when it has computed for a while', function()
      local _, longest, took = way(s, c, 100, 0.002)
      assert.is_true(took >= 0.2, took)
      -- A slice, the last chunk, and what the processor does for the other nodes meanwhile.
      assert.is_true(longest < took / 3, ('%.0f of %.0f ms'):format(longest * 1e3, took * 1e3))
    end)
  end

  it('computes without a wait is left alone by the others of its script, however long', function()
    local most, longest = c:eval(function()
      return watched(function() busy(0.1) end)
    end)
    assert.equal(0, most)
    assert.is_true(longest >= 0.1, longest)
  end)

  it('finds a chunk where it cannot wait gets it, and computes on', function()
    assert.equal(CHUNKS, c:eval(function(n)
      local s <close> = mesh.stream('give', n, 0)
      mesh.spawn(function() end)
      local taken = 0
      s:next()
      mesh.sleep(1)
      while taken < n - 1 do
        table.sort({ 1, 2 }, function()
          local more = s:next()
          taken = taken + (more and 1 or 0)
          return false
        end)
      end
      return taken + 1
    end, CHUNKS))
  end)
end)
