local nodes = require 'spec.support.nodes'
local process = require 'spec.support.process'

local ACTIONS = [[
seen = {}
mesh.action('add', function(a, b) return a + b end)
mesh.action('slow', function(seconds)
  seen[#seen + 1] = 'began'
  local note <close> = setmetatable({}, { __close = function() seen[#seen + 1] = 'closed' end })
  mesh.sleep(seconds)
  return 'late'
end)
mesh.action('count', function(max)
  local note <close> = setmetatable({}, { __close = function() seen[#seen + 1] = 'closed' end })
  for i = 1, max or math.huge do coroutine.yield(i) end
end)
]]

local FAST = { '--heartbeat=0.2', '--reconnect-max=0.3' }

for _, kind in ipairs { 'tcp', 'unix' } do
  describe('a callee that is killed, over ' .. kind, function()
    it('fails the calls to it at once, their outcome unknown', function()
      local b = nodes.start('b', { listen = kind }, ACTIONS)
      local a = nodes.start('a', { peers = { b } })
      local calls = {}
      for i = 1, 50 do calls[i] = a:begin "mesh.call('slow', 100)" end
      b:wait_for 'return #seen == 50'
      local killed = process.now()
      b.process:kill 'KILL'
      for _, call in ipairs(calls) do
        local err, at = call:failure()
        assert.equal('PEER_LOST', err.code)
        assert.equal('unknown', err.outcome)
        assert.equal('slow', err.action)
        assert.equal(b.id, err.node)
        assert.is_true(at - killed < 1, at - killed)
      end
      assert.equal(0, a:metrics().calls_now)
      local err = a:fails "mesh.call('add', 1, 2)"
      assert.equal('NOT_FOUND', err.code)
      assert.equal('not_sent', err.outcome)
    end)

    it('ends the streams from it behind a prefix without gaps', function()
      local b = nodes.start('b', { listen = kind }, ACTIONS)
      local a = nodes.start('a', { peers = { b } }, 'progress = {}')
      local streams = {}
      for i = 1, 5 do
        streams[i] = a:begin([[
          local n = ...
          local ok, err = pcall(function()
            for i in mesh.stream 'count' do
              assert(i == (progress[n] or 0) + 1, 'a gap')
              progress[n] = i
            end
          end)
          return ok, err.code, err.outcome, progress[n]
        ]], i)
      end
      a:wait_for 'return #progress == 5 and progress[5] > 2000'
      local killed = process.now()
      b.process:kill 'KILL'
      for _, stream in ipairs(streams) do
        local ok, code, outcome, count = stream:wait()
        assert.same({ false, 'PEER_LOST', 'unknown' }, { ok, code, outcome })
        assert.is_true(count > 0)
      end
      assert.is_true(process.now() - killed < 1)
      assert.equal(0, a:metrics().calls_now)
    end)
  end)

  describe('a caller that is killed, over ' .. kind, function()
    it('has its handlers and producers cancelled, and is forgotten', function()
      local b = nodes.start('b', { listen = kind }, ACTIONS)
      local before = b:metrics()
      local a = nodes.start('a', { peers = { b } })
      a:begin "mesh.call('slow', 100)"
      a:begin "for i in mesh.stream 'count' do got = i end"
      a:wait_for 'return got and got > 1000'
      b:wait_for 'return #seen == 1'
      a.process:kill 'KILL'
      b:wait_for 'return #seen == 3'
      assert.same({ 'began', 'closed', 'closed' }, b:eval 'return seen')
      local after = b:metrics()
      assert.equal(0, after.requests_now)
      assert.equal(0, after.links_now)
      assert.equal(before.tasks_now, after.tasks_now)
      assert.equal(0, after.tasks_failed)
      assert.equal(1, after.peers_lost)
      assert.equal(1, b:eval 'return #mesh.nodes()')
    end)
  end)

  describe('a callee that is stopped, over ' .. kind, function()
    it('is lost after heartbeat x misses, and comes back by itself', function()
      local b = nodes.start('b', { listen = kind, flags = FAST }, ACTIONS)
      local a = nodes.start('a', { peers = { b }, flags = FAST })
      local call = a:begin "mesh.call('slow', 100)"
      b:wait_for 'return #seen == 1'
      b.process:kill 'STOP'
      local stopped = process.now()
      local err, at = call:failure()
      assert.equal('PEER_LOST', err.code)
      assert.equal('unknown', err.outcome)
      assert.is_true(at - stopped > 0.3 and at - stopped < 1.6, at - stopped)
      assert.equal('NOT_FOUND', a:fails("mesh.call('add', 1, 2)").code)
      b.process:kill 'CONT'
      a:wait_for "return pcall(mesh.call, 'add', 1, 2)"
      b:wait_for "return seen[2] == 'closed'"
      assert.equal(1, a:metrics().links_now)
      b:wait_for 'return mesh.metrics().links_now == 1'
    end)
  end)
end

describe('a caller that was stopped for longer than its heartbeats', function()
  local function stop_for(seconds, window)
    local flags = { '--heartbeat=0.1', '--resume-window=' .. window }
    local b = nodes.start('b', { listen = 'tcp', flags = flags }, ACTIONS)
    local a = nodes.start('a', { peers = { b }, flags = { '--heartbeat=5', '--reconnect-max=0.3', flags[2] } })
    local call = a:begin "return mesh.call('slow', 1.5)"
    b:wait_for 'return #seen == 1'
    a.process:kill 'STOP'
    b:wait_for 'return mesh.metrics().links_broken == 1'
    process.sleep(seconds)
    a.process:kill 'CONT'
    return a, b, call
  end

  it('goes on with its calls when it is back in time', function()
    local a, b, call = stop_for(0.2, 10)
    assert.equal('late', call:wait())
    assert.equal(1, a:metrics().links_resumed)
    assert.equal(1, b:metrics().links_resumed)
    assert.equal(0, a:metrics().peers_lost + b:metrics().peers_lost)
    assert.same({ 'began', 'closed' }, b:eval 'return seen')
  end)

  it('has lost them when it comes too late, and both ends know', function()
    local a, b, call = stop_for(0.5, 0.1)
    local err = call:failure()
    assert.equal('PEER_LOST', err.code)
    assert.equal('unknown', err.outcome)
    local told = err.message:find('no such session', 1, true) -- or it did not get there in time itself
    assert.is_truthy(told or err.message:find('not back within 0.10 s', 1, true), err.message)
    b:wait_for "return seen[2] == 'closed'"
    assert.equal(1, a:metrics().peers_lost)
    assert.equal(1, b:metrics().peers_lost)
    a:wait_for "return pcall(mesh.call, 'add', 1, 2)"
  end)
end)

describe('a node that was stopped itself', function()
  it('does not take the others for dead', function()
    local b = nodes.start('b', { listen = 'tcp', flags = { '--heartbeat=1', '--heartbeat-misses=5' } }, ACTIONS)
    local a = nodes.start('a', { peers = { b }, flags = FAST })
    local call = a:begin "return mesh.call('slow', 2)"
    b:wait_for 'return #seen == 1'
    a.process:kill 'STOP'
    process.sleep(1.2) -- twice what it would give others
    a.process:kill 'CONT'
    assert.equal('late', call:wait())
    assert.equal(0, a:metrics().peers_lost)
    assert.equal(0, b:metrics().peers_lost)
  end)
end)

describe('a callee that restarts', function()
  it('is found again by the script that called it', function()
    local url = nodes.address 'tcp'
    local b = nodes.start('b', { listen = url, flags = FAST }, ACTIONS)
    local a = nodes.start('a', { peers = { b }, flags = FAST })
    for round = 1, 3 do
      assert.equal(round, a:eval("return mesh.with { wait = 5 }.call('add', 0, ...)", round))
      b.process:kill(round % 2 == 1 and 'KILL' or 'TERM')
      b.process:wait()
      process.sleep(0.7) -- longer than the longest gap between two dials
      b = nodes.start('b', { listen = url, flags = FAST }, ACTIONS)
      local back = process.now()
      a:wait_for "return pcall(mesh.call, 'add', 1, 2)"
      assert.is_true(process.now() - back < 2)
    end
    assert.equal(2, a:eval 'return #mesh.nodes()')
  end)
end)

describe('the peers that a node is given', function()
  it('are linked as they come up', function()
    local urls = { nodes.address 'tcp', nodes.address 'unix', nodes.address 'tcp' }
    nodes.start('one', { listen = urls[1] }, "mesh.action('from one', print)")
    local a = nodes.start('a', { peers = urls, flags = FAST })
    assert.equal(2, a:eval 'return #mesh.nodes()')
    nodes.start('two', { listen = urls[2] }, "mesh.action('from two', print)")
    a:eval "mesh.wait('from two', 5)"
    nodes.start('three', { listen = urls[3] }, "mesh.action('from three', print)")
    a:eval "mesh.wait('from three', 5)"
    local names = a:eval [[
      local names = {}
      for _, node in ipairs(mesh.nodes()) do names[#names + 1] = node.name end
      table.sort(names)
      return table.concat(names, ' ')
    ]]
    assert.equal('a one three two', names)
  end)
end)
