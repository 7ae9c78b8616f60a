--- Much of everything in a star of stars: calls small and large, nested and failing, streams read and left, cancels;
--- afterwards nothing is held that was not before. `./dev soak [CALLS]` makes a million of it, with processes.

local cluster = require 'spec.support.cluster'
local nodes = require 'spec.support.nodes'
local process = require 'spec.support.process'
local testing = require 'perilune.testing'

local mem = testing.base.mem

--- How many of them with processes: ./dev soak 1000000
local CALLS = tonumber(os.getenv 'PERILUNE_SPEC_SOAK')
local PARTS = 10
local MIB = 1024 * 1024

--- Nine nodes: two stars whose hubs hang on one in the middle. Each is called by all.
local NAMES = { 'middle', 'left', 'right', 'l1', 'l2', 'l3', 'r1', 'r2', 'r3' }
local HUB = { left = 'middle', right = 'middle', l1 = 'left', l2 = 'left', l3 = 'left',
  r1 = 'right', r2 = 'right', r3 = 'right' }
local CALLERS = { 'l1', 'l2', 'l3', 'r1', 'r2', 'r3' }

local SERVE = [[
  mesh = require 'perilune'
  mesh.action('echo', function(...) return ... end)
  mesh.action('heavy', function(size)
    local parts = {}
    for i = 1, size // 64 do parts[i] = ('%063d\n'):format(i) end
    return table.concat(parts)
  end)
  mesh.action('count', function(n, text)
    local guard <close> = setmetatable({}, { __close = function() mesh.sleep(0) end })
    for i = 1, n do
      coroutine.yield(i, text)
      if i % 8 == 0 then mesh.sleep(0) end
    end
    return n
  end)
  mesh.action('pass', function(node, ...) return mesh.with { node = node }.call('echo', ...) end)
  mesh.action('fail', function(n) error { code = 'PLANNED', message = 'as planned', details = { n = n } } end)
  mesh.action('hang', function() mesh.sleep(1000) end)
]]

--- So many calls and streams to random nodes, some at once; returns how many went well and the first that did not.
local WORK = [[
  local seed, count, width, ids = ...
  local state = seed
  local function below(n)
    state = state * 6364136223846793005 + 1442695040888963407
    return (state >> 33) % n
  end
  local function any() return ids[1 + below(#ids)] end
  local function to(node) return mesh.with { node = node, timeout = 120 } end

  local function echo()
    local text = ('e'):rep(below(200))
    local n, got = to(any()).call('echo', 42, text)
    return n == 42 and got == text
  end
  local function heavy()
    local size = 64 * (1 + below(1500))
    return #to(any()).call('heavy', size) == size
  end
  local function read()
    local n, sum = below(40), 0
    local s <close> = to(any()).stream('count', n, ('s'):rep(below(500)))
    for i in s do sum = sum + i end
    return s:result() == n and sum == n * (n + 1) // 2
  end
  local function leave()
    local last = 1 + below(10)
    for i in to(any()).stream('count', 100000, 'left') do
      if i == last then return true end
    end
  end
  local function nested() return to(any()).call('pass', any(), 'through') == 'through' end
  local function fails()
    local ok, err = pcall(to(any()).call, 'fail', 7)
    return not ok and err.code == 'PLANNED' and err.details.n == 7
  end
  local function cancelled()
    local task = mesh.spawn(to(any()).call, 'hang')
    mesh.sleep(below(3) * 0.001)
    task:cancel()
    local ok, err = pcall(task.await, task)
    return not ok and err.code == 'CANCELLED'
  end
  local function late()
    local ok, err = pcall(mesh.with { node = any(), timeout = 0.001 }.call, 'hang')
    return not ok and err.code == 'TIMEOUT'
  end
  local KINDS = {
    echo, echo, echo, echo, echo, echo, echo, echo, echo, echo, nested, nested, heavy, read, read, leave, fails,
    cancelled, late,
  }

  local good, wrong, tasks, started = 0, nil, {}, 0
  for i = 1, width do
    tasks[i] = mesh.spawn(function()
      while started < count do
        started = started + 1
        local kind = 1 + below(#KINDS)
        local ok, right = pcall(KINDS[kind])
        if ok and right then
          good = good + 1
        else
          wrong = wrong or ('kind %d: %s'):format(kind, tostring(right))
        end
      end
    end)
  end
  mesh.all(tasks)
  return good, wrong
]]

local MEET = [[
  for _, id in ipairs(...) do
    while not pcall(mesh.with { node = id }.call, 'echo') do mesh.sleep(0.01) end
  end
]]
local COLLECT = 'collectgarbage() collectgarbage()'
local TABLES = { 'requests_now', 'requests_queued_now', 'calls_now', 'relays_now', 'relay_bytes_now' }

--- Starts the nine with `start(name, peers)`; returns them by name, and their ids.
local function build(start)
  local by_name, ids = {}, {}
  for i, name in ipairs(NAMES) do
    by_name[name] = start(name, { by_name[HUB[name]] })
    ids[i] = type(by_name[name].id) == 'string' and by_name[name].id or by_name[name]:id()
  end
  for _, node in pairs(by_name) do
    node:eval(MEET, ids)
  end
  return by_name, ids
end

describe('calls and streams of all kinds in a star of stars', function()
  it('leave nothing behind', function()
    local net = cluster.new 'mem'
    local star, ids = build(function(name, peers)
      local node = net:node(name, { peers = peers })
      node:eval(SERVE)
      return node
    end)

    local function work(seed, count, width)
      local calls = {}
      for i, name in ipairs(CALLERS) do calls[i] = star[name]:start(WORK, seed + i, count // #CALLERS, width, ids) end
      for _, call in ipairs(calls) do
        local good, wrong = call:wait()
        assert.is_nil(wrong)
        assert.equal(count // #CALLERS, good)
      end
      net:advance(3)
      local bytes = 0
      for _, node in pairs(star) do
        node:eval(COLLECT)
        bytes = bytes + node:memory()
      end
      net:settle()
      return mem.live(), bytes
    end
    work(1, 4200, 40) -- so many objects are kept for the next
    local blocks, bytes = work(2, 4200, 40)
    local blocks_after, bytes_after = work(3, 12000, 8)
    local m = net:metrics()
    for _, name in ipairs(TABLES) do assert.equal(0, m[name], name) end
    assert.is_true(blocks_after - blocks <= 4, blocks_after - blocks .. ' blocks')
    assert.is_true(bytes_after - bytes <= 32768, bytes_after - bytes .. ' bytes of Lua') -- stacks that were used more
    net:finish()
  end)

  if not CALLS then return end

  it('leave nothing behind in processes, however many they are', function()
    local star, ids = build(function(name, peers)
      return nodes.start(name, { listen = 'tcp', peers = peers }, SERVE)
    end)

    --- A part of the work, so many at once from each node; returns the resident memory of each node after it.
    local function work(seed, width)
      local calls, sizes, line = {}, {}, {}
      local each = CALLS // PARTS // #CALLERS
      local began = process.now()
      for i, name in ipairs(CALLERS) do calls[i] = star[name]:begin(WORK, seed * 100 + i, each, width, ids) end
      for _, call in ipairs(calls) do
        local good, wrong = call:wait(3600)
        assert.is_nil(wrong)
        assert.equal(each, good)
      end
      local took = process.now() - began
      for i, name in ipairs(NAMES) do
        star[name]:eval(COLLECT)
        sizes[i] = star[name]:rss()
        line[i] = ('%s %.2f'):format(name, sizes[i] / MIB)
      end
      io.stderr:write(('%d to %d, %.0f/s, MiB: '):format(seed, PARTS, each * #CALLERS / took),
        table.concat(line, ', '), '\n')
      return sizes
    end
    -- First more at once than ever again, so that what is kept for the next has its size, and the heaps have theirs.
    for part = -1, 0 do work(part, 64) end
    for part = 1, PARTS // 2 do work(part, 16) end
    local before, after = work(PARTS // 2 + 1, 16)
    for part = PARTS // 2 + 2, PARTS do after = work(part, 16) end
    local sum_before, sum_after = 0, 0
    for i, name in ipairs(NAMES) do
      sum_before, sum_after = sum_before + before[i], sum_after + after[i]
      local m = star[name]:metrics()
      for _, entry in ipairs(TABLES) do assert.equal(0, m[entry], name .. ' ' .. entry) end
    end
    io.stderr:write(('%.2f MiB before, %.2f MiB after: %+.2f %%\n'):format(sum_before / MIB, sum_after / MIB,
      (sum_after / sum_before - 1) * 100))
    assert.is_true(sum_after < sum_before * 1.01)
  end)
end)
