local cluster = require 'spec.support.cluster'

-- luacheck: globals mesh report, ignore 211/guard 431

local function worker()
  mesh.action('slow', function(seconds)
    local guard <close> = setmetatable({}, { __close = function() report 'closed' end })
    report 'began'
    mesh.sleep(seconds)
    return 'done'
  end)
  mesh.action('narrow', function(seconds)
    report 'narrow'
    mesh.sleep(seconds)
    return 'done'
  end, { concurrency = 1 })
  mesh.action('drip', function(n)
    for i = 1, n do
      coroutine.yield(i)
      mesh.sleep(0.05)
    end
    return 'end'
  end)
  mesh.action('nested', function()
    mesh.sleep(0.1)
    return mesh.call('helper')
  end)
  mesh.action('helper', function() return 'helped' end)
end

cluster.describe('a node that stops', cluster.kinds, function(over)
  local a, b

  before_each(function()
    b = over.net:node('b', {}, worker)
    a = over.net:node('a', { peers = { b } })
    a:eval(function() mesh.wait 'helper' end)
  end)

  it('lets what runs finish, refuses what waits and what is new, and ends with 0', function()
    local slow = a:start(function() return mesh.call('slow', 0.4) end)
    local stream = a:start(function()
      local n, s = 0, (mesh.stream('drip', 5))
      for _ in s do n = n + 1 end
      return n, s:result()
    end)
    local first = a:start(function() return mesh.call('narrow', 0.2) end)
    b:wait_reports(2)
    local second = a:start(function() return mesh.call('narrow', 0) end)
    over.net:wait(function() return over.net:metrics().requests_queued_now == 1 end)
    b:eval(function() mesh.stop() end)

    local err = second:failure()
    assert.equal('DRAINING', err.code)
    assert.equal('not_executed', err.outcome)
    over.net:settle()
    err = a:fails(function() mesh.call('slow', 0) end)
    assert.is_true(err.code == 'NOT_FOUND' or err.code == 'DRAINING', err.code)
    assert.not_equal('executed', err.outcome)
    over.net:wait(function()
      return a:eval(function()
        for _, node in ipairs(mesh.nodes()) do
          if node.name == 'b' then return node.draining end
        end
      end)
    end, 'the news that b is draining')
    assert.equal('done', (slow:wait()))
    assert.equal('done', (first:wait()))
    assert.same({ 5, 'end' }, { stream:wait() })
    over.net:wait(function() return (b:over()) end)
    assert.same({ true, 0 }, { b:over() })
    assert.matches('the node stops', over.net:log() .. 'the node stops')
  end)

  it('is at once over when nothing runs', function()
    local started = over.net:now()
    b:stop()
    over.net:wait(function() return (b:over()) end)
    assert.is_true(over.net:now() - started < over.net:within(0.1))
    over.net:wait(function() return over.net:metrics().links_now == 0 end)
    assert.equal('NOT_FOUND', a:fails(function() mesh.call 'helper' end).code)
  end)

  it('cancels what still runs after the drain', function()
    local slow = a:start(function() return mesh.call('slow', 1000) end)
    b:wait_reports(1)
    local started = over.net:now()
    b:stop(0.2)
    local err = slow:failure()
    local took = over.net:now() - started
    assert.is_true(took > 0.15 and took < over.net:within(0.25), took)
    assert.equal('CANCELLED', err.code)
    assert.equal('unknown', err.outcome)
    assert.same({ 'began', 'closed' }, b:reported())
    over.net:wait(function() return (b:over()) end)
    assert.is_true(over.net:now() - started < over.net:within(0.5))
  end)

  it('ends soon although a handler does not give in', function()
    b:eval(function()
      mesh.action('stubborn', function()
        report 'began'
        while true do pcall(mesh.sleep, 1000) end
      end)
    end)
    local call = a:start(function()
      mesh.wait 'stubborn'
      return mesh.call 'stubborn'
    end)
    b:wait_reports(1)
    b:stop(0.1)
    assert.is_true(({ PEER_LOST = true, CANCELLED = true })[call:failure().code])
    over.net:wait(function() return (b:over()) end)
  end)

  it('hastens when it is told again', function()
    local slow = a:start(function() return mesh.call('slow', 1000) end)
    b:wait_reports(1)
    b:stop()
    over.net:settle()
    b:stop()
    slow:failure()
    over.net:wait(function() return (b:over()) end)
    assert.equal('closed', b:reported()[2])
  end)

  it('may finish handlers that call it themselves', function()
    local nested = a:start(function() return mesh.call 'nested' end)
    over.net:wait(function() return over.net:metrics().requests_started == 1 end)
    b:stop()
    local ok, result = pcall(nested.wait, nested)
    assert.is_false(ok) -- the inner call is new
    assert.equal('DRAINING', result.code)
    assert.equal('executed', result.outcome)
  end)

  it('breaks off the calls it made itself', function()
    local call = b:start(function() return mesh.call('elsewhere', 1) end)
    call:failure()
    a:eval(function()
      mesh.action('hold', function()
        local guard <close> = setmetatable({}, { __close = function() report 'closed' end })
        mesh.sleep(1000)
      end)
    end)
    local held = b:start(function()
      mesh.wait 'hold'
      return mesh.call 'hold'
    end)
    over.net:wait(function() return over.net:metrics().requests_started == 1 end)
    assert.equal('running', held:state())
    b:stop(0)
    over.net:wait(function() return #a:reports() == 1 end)
    over.net:wait(function() return (b:over()) end)
    assert.is_true(held:ended())
  end)
end)
