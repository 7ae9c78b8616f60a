local cluster = require 'spec.support.cluster'

-- luacheck: globals mesh report, ignore 211/guard 431

describe('many calls in one turn', function()
  it('leave in few writes', function()
    local net = cluster.new 'tcp'
    local b = net:node('b', {}, function()
      mesh.action('hold', function() mesh.sleep(100) end)
    end)
    local a = net:node('a', { peers = { b } })
    a:eval(function() mesh.wait 'hold' end)
    net:settle()
    local before = net:metrics()
    local calls = a:start(function()
      local tasks = {}
      for i = 1, 1000 do tasks[i] = mesh.spawn(mesh.call, 'hold', i) end
      mesh.all(tasks)
    end)
    net:wait(function() return net:metrics().requests_started - before.requests_started == 1000 end, '1000 requests')
    local writes = net:metrics().writes - before.writes
    calls:cancel()
    net:wait(function() return calls:ended() end, 'the cancel')
    net:finish()
    assert.is_true(writes <= 20, writes .. ' writes')
  end)

  it('are passed on and answered in few writes, too', function()
    local net = cluster.new 'tcp'
    local b = net:node('b', {}, function() mesh.action('echo', function(x) return x end) end)
    local r = net:node('r', { peers = { b } })
    local a = net:node('a', { peers = { r } })
    a:eval(function() mesh.wait 'echo' end)
    net:settle()
    local before = net:metrics()
    assert.equal(1000, a:eval(function()
      local tasks, right = {}, 0
      for i = 1, 1000 do
        tasks[i] = mesh.spawn(function()
          if mesh.call('echo', i) == i then right = right + 1 end
        end)
      end
      mesh.all(tasks)
      return right
    end))
    local writes = net:metrics().writes - before.writes
    net:finish()
    assert.is_true(writes <= 4 * 20, writes .. ' writes') -- two links, both ways
  end)
end)

describe('a stream of small chunks', function()
  for _, kind in ipairs { 'tcp', 'unix' } do
    it('leaves in few writes and frames over ' .. kind, function()
      local net = cluster.new(kind)
      local b = net:node('b', {}, function()
        mesh.action('count', function(n)
          for i = 1, n do coroutine.yield(i) end
        end)
      end)
      local a = net:node('a', { peers = { b } })
      a:eval(function() mesh.wait 'count' end)
      net:settle()
      local before = net:metrics()
      assert.equal(50000, a:eval(function()
        local n = 0
        for _ in mesh.stream('count', 50000) do n = n + 1 end
        return n
      end))
      local after = net:metrics()
      net:finish()
      local function grew(name) return after[name] - before[name] end
      assert.is_true(grew 'writes' < 1000, grew 'writes')
      assert.is_true(grew 'frames_written' < 1000, grew 'frames_written')
      assert.is_true(grew 'bytes_written' < 50000 * 7, grew 'bytes_written')
    end)
  end
end)

describe('a single call', function()
  it('is not held up for others to join it', function()
    local net = cluster.new 'mem'
    local b = net:node('b', {}, function() mesh.action('echo', function(x) return x end) end)
    local a = net:node('a', { peers = { b } })
    assert.equal(0, a:eval(function()
      mesh.wait 'echo'
      local started = mesh.now()
      mesh.call('echo', 1)
      return mesh.now() - started
    end))
    net:finish()
  end)

  it('leaves in one write, and so does its answer', function()
    local net = cluster.new 'tcp'
    local b = net:node('b', {}, function() mesh.action('echo', function(x) return x end) end)
    local a = net:node('a', { peers = { b } })
    a:eval(function() mesh.wait 'echo' end)
    net:advance(0.2) -- what is told of the start has been told
    local before = net:metrics().writes
    a:eval(function()
      for i = 1, 100 do mesh.call('echo', i) end
    end)
    local writes = net:metrics().writes - before
    net:finish()
    assert.is_true(writes >= 200 and writes <= 210, writes .. ' writes')
  end)
end)
