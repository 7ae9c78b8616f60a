local cluster = require 'spec.support.cluster'

-- luacheck: globals mesh report executed, ignore 211/guard 431

local function worker()
  executed = {}
  mesh.action('do', function(id, seconds)
    executed[id] = (executed[id] or 0) + 1
    if seconds > 0 then mesh.sleep(seconds) end
    return id
  end)
  mesh.action('narrow', function(id, seconds)
    executed[id] = (executed[id] or 0) + 1
    mesh.sleep(seconds)
    return id
  end, { concurrency = 2, queue = 5 })
  mesh.action('stream', function(id, n, size, fails)
    local guard <close> = setmetatable({}, { __close = function() mesh.sleep(0) end })
    executed[id] = (executed[id] or 0) + 1
    local text = ('s'):rep(size)
    for i = 1, n do
      coroutine.yield(i, text)
      if i % 50 == 0 then mesh.sleep(0.001) end
    end
    if fails then error { code = 'PLANNED', message = 'at the end' } end
    return id
  end)
  mesh.action('through', function(id, seconds)
    return mesh.call('do', id, seconds)
  end)
  mesh.action('echo', function(id, text) return id, text end)
end

--- Random work from one node; returns what went wrong.
local function storm(seed, rounds, tag)
  local state = seed
  local function below(n)
    state = (state * 6364136223846793005 + 1442695040888963407)
    return (state >> 33) % n
  end
  local FINE = {
    PEER_LOST = true, DRAINING = true, NOT_FOUND = true, NO_ROUTE = true, TIMEOUT = true, BUSY = true,
    CANCELLED = true, PLANNED = true,
  }
  local wrong, tasks, done = {}, {}, {}
  local function judge(id, ok, result)
    if ok then
      done[#done + 1] = id
      if result ~= id then wrong[#wrong + 1] = ('%s got %s'):format(id, tostring(result)) end
    elseif type(result) ~= 'table' or not FINE[result.code] then
      wrong[#wrong + 1] = ('%s: %s'):format(id, tostring(result))
    elseif result.outcome == 'not_sent' or result.outcome == 'not_executed' then
      done[#done + 1] = '!' .. id
    end
  end
  local function read(id)
    local n, size, fails, leave = below(300), below(2000), below(4) == 0, below(3) == 0 and below(100)
    local got = 0
    local s <close> = mesh.with { timeout = 2, idle = 2 }.stream('stream', id, n, size, fails)
    for i, text in s do
      got = got + 1
      if i ~= got or #text ~= size then error('chunk ' .. i .. ' after ' .. got) end
      if leave == got then return nil end
      if below(60) == 0 then mesh.sleep(below(5) / 1000) end
    end
    if got ~= n then error(('%d of %d chunks'):format(got, n)) end
    return s:result()
  end
  for round = 1, rounds do
    local id = ('%s-%d'):format(tag, round)
    local kind = below(8)
    tasks[#tasks + 1] = mesh.spawn(function()
      local with = mesh.with { timeout = below(4) == 0 and 0.02 or 2 }
      if kind == 0 then
        local ok, result = pcall(read, id)
        if not ok or result then judge(id, ok, result) end
      elseif kind == 1 then
        judge(id, pcall(with.call, 'narrow', id, below(20) / 1000))
      elseif kind == 2 then
        judge(id, pcall(with.call, 'through', id, below(20) / 1000))
      elseif kind == 3 then
        local text = ('e'):rep(below(200000))
        local ok, result, back = pcall(with.call, 'echo', id, text)
        if ok and back ~= text then wrong[#wrong + 1] = id .. ': another text' end
        judge(id, ok, result)
      else
        judge(id, pcall(with.call, 'do', id, below(3) == 0 and below(30) / 1000 or 0))
      end
    end)
    if below(10) == 0 then tasks[1 + below(#tasks)]:cancel() end
    if below(4) == 0 then mesh.sleep(below(10) / 1000) end
  end
  for _, task in ipairs(tasks) do pcall(task.await, task) end
  return wrong, done
end

cluster.describe('a storm', cluster.kinds, function(over)
  for seed = 1, over.kind == 'mem' and math.max(4, 12 // cluster.factor) or 3 do
    it('of calls, streams, cancels and cuts leaves every answer right and nothing behind, seed ' .. seed, function()
      local net = over.net
      local nodes = { net:node('a', {}, worker) }
      nodes[2] = net:node('b', { peers = { nodes[1] } }, worker)
      nodes[3] = net:node('c', { peers = { nodes[1], nodes[2] } }, worker)
      local storms = {}
      for i, node in ipairs(nodes) do storms[i] = node:start(storm, seed * 100 + i, 300, node.name) end
      local cuts = 0
      local function over_yet()
        for _, s in ipairs(storms) do
          if not s:ended() then return false end
        end
        return true
      end
      while not over_yet() do
        net:advance(0.02)
        cuts = cuts + 1
        if cuts % 5 == 0 and cuts < 60 then
          nodes[1 + cuts % 3]:start(function()
            for _, node in ipairs(mesh.nodes()) do
              if node.hops == 1 then pcall(mesh.disconnect, node.id, { abort = true, allow_reconnect = true }) end
            end
          end)
        end
      end
      local counts = {}
      for _, node in ipairs(nodes) do
        for id, n in pairs(node:eval 'return executed') do counts[id] = (counts[id] or 0) + n end
      end
      for _, s in ipairs(storms) do
        local wrong, done = s:wait()
        assert.same({}, wrong)
        assert.is_true(#done > 100, #done)
        for _, id in ipairs(done) do
          if id:sub(1, 1) == '!' then assert.is_nil(counts[id:sub(2)], id) end
        end
      end
      for id, n in pairs(counts) do assert.equal(1, n, id) end -- at most once
      net:wait(function() return net:metrics().requests_now == 0 end, 'the last handlers')
      assert.equal(0, net:metrics().calls_now)
      assert.equal(0, net:metrics().protocol_errors)
      assert.equal(0, net:metrics().tasks_failed)
    end)
  end
end)

cluster.describe('a node that stops in a storm', cluster.kinds, function(over)
  for seed = 1, over.kind == 'mem' and math.max(3, 8 // cluster.factor) or 2 do
    it('settles everything, and a new one takes its place, seed ' .. seed, function()
      local net = over.net
      local a = net:node('a', {}, worker)
      local b = net:node('b', { peers = { a }, drain = 0.05, cleanup_grace = 0.05 }, worker)
      local c = net:node('c', { peers = { a, b } }, worker)
      local storms = {
        a:start(storm, seed * 1000 + 1, 300, 'a'),
        b:start(storm, seed * 1000 + 2, 300, 'b'),
        c:start(storm, seed * 1000 + 3, 300, 'c'),
      }
      net:advance(0.1 + seed / 50)
      b:stop()
      net:wait(function() return (b:over()) end, 'the end of b')
      assert.is_true(storms[2]:ended())
      local again = net:node('b', { peers = { a } }, worker)
      for _, i in ipairs { 1, 3 } do
        local wrong = storms[i]:wait()
        assert.same({}, wrong)
      end
      net:wait(function() return net:metrics().requests_now == 0 end, 'the last handlers')
      assert.equal(0, net:metrics().calls_now)
      assert.equal(0, net:metrics().protocol_errors)
      assert.equal('x', a:eval(function(id)
        return mesh.with { node = id, wait = 1 }.call('do', 'x', 0)
      end, again:id()))
    end)
  end
end)
