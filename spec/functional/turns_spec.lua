local cluster = require 'spec.support.cluster'

-- luacheck: globals mesh report watched busy, ignore 111 112 113 431 432

-- When the tasks of a script have their turn. Time is that of the processor, which a busy machine hardly changes.

local CHUNKS = 1000 -- that are there before one is taken, so that none is waited for
local PASS = 256 -- chunks that a task takes or emits before others have their turn

local function tools()
  --- Runs `fn`. How often it called what it is given at most between two turns of another task, which is always ready,
  --- and how many turns that had.
  function watched(fn)
    local counted, most, turns = 0, 0, 0
    local function look()
      most, counted, turns = math.max(most, counted), 0, turns + 1
    end
    local watch = mesh.spawn(function()
      while true do
        look()
        mesh.sleep(0)
      end
    end)
    mesh.sleep(0)
    turns = 0
    fn(function() counted = counted + 1 end)
    look()
    watch:cancel()
    return most, turns - 1
  end

  function busy(seconds)
    local over = os.clock() + seconds
    while os.clock() < over do end
  end
end

local function actions()
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
    s = over.net:node('s', {}, tools)
    s:eval(actions)
    c = over.net:node('c', { peers = { s } }, tools)
    c:eval(function() mesh.wait 'swallow' end)
  end)

  for what, way in pairs(WAYS) do
    it(what .. ' lets others have their turn after some of them', function()
      local most = way(s, c, CHUNKS, 0)
      assert.is_true(most <= PASS + 1, most)
    end)

    it(what .. ' lets others have their turn when it has computed for a while', function()
      local _, turns = way(s, c, 100, 0.003)
      -- Each 5 to 10 ms where the system looks at the clock as often as it is asked to, which a busy one does not.
      assert.is_true(turns >= 1, turns)
    end)
  end

  it('computes without a wait is left alone by the others of its script, however long', function()
    local _, turns = c:eval(function()
      return watched(function() busy(0.1) end)
    end)
    assert.equal(0, turns)
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
