local cluster = require 'spec.support.cluster'
local stranger = require 'spec.support.stranger'
local put = require 'perilune.testing'.wire.msgpack.put

-- luacheck: globals mesh report kept, ignore 211/guard 431



local function server()
  mesh.action('flood', function()
    local guard <close> = setmetatable({}, { __close = function() report 'closed' end })
    local block = ('x'):rep(1000)
    local ok, err = pcall(function()
      for _ = 1, 100000 do coroutine.yield(block) end
    end)
    report(ok, type(err) == 'table' and err.code or tostring(err))
    error(err, 0)
  end)
  mesh.action('drip', function()
    while true do
      coroutine.yield 'drop'
      mesh.sleep(0.01)
    end
  end)
  mesh.action('silent', function()
    coroutine.yield 'one'
    mesh.sleep(1000)
  end)
  mesh.action('blob', function(size) return ('x'):rep(size) end)
end

cluster.describe('a consumer that takes nothing', { 'mem' }, function(over)
  local net, a, b

  before_each(function()
    net = over.net
    b = net:node('b', { stall_timeout = 0.5 }, server)
    a = net:node('a', { peers = { b } })
  end)

  it('loses its stream when the producer has waited for too long, with an error at both ends', function()
    local n, err = a:eval(function()
      local s = mesh.with { idle = 0.2 }.stream 'flood'
      s:next()
      mesh.sleep(1.5)
      local n = 1
      local ok, e = pcall(function()
        while s:next() do n = n + 1 end
      end)
      assert(not ok)
      return n, e
    end)
    assert.same({ 'TIMEOUT', 'unknown' }, { err.code, err.outcome })
    assert.matches('took nothing', err.text)
    assert.equal(b:id(), err.node)
    assert.is_true(n > 100 and n < 1100, n .. ' chunks had come before')
    b:wait_reports(2)
    assert.same({ false, 'TIMEOUT', n = 2 }, b:reports()[1])
    assert.equal('closed', b:reports()[2][1])
    assert.equal(1, net:metrics().streams_stalled)
    assert.equal(0, net:metrics().requests_now)
  end)

  it('keeps it as long as the gaps that it bears with itself', function()
    a:eval(function()
      local s <close> = mesh.with { idle = 3 }.stream 'flood'
      s:next()
      mesh.sleep(1)
      for _ = 1, 2000 do assert(s:next()) end
    end)
    assert.equal(0, net:metrics().streams_stalled)
  end)

  it('keeps it for ever if it is live', function()
    a:eval(function()
      local s <close> = mesh.with { idle = 0 }.stream 'flood'
      s:next()
      mesh.sleep(1.2)
      for _ = 1, 2000 do assert(s:next()) end
    end)
    assert.equal(0, net:metrics().streams_stalled)
  end)

  it('keeps it while it takes something now and then', function()
    local c = net:node('c', { stall_timeout = 2 }, server)
    local d = net:node('d', { peers = { c } })
    d:eval(function(node)
      local s <close> = mesh.with { idle = 0.2, node = node }.stream 'flood'
      for _ = 1, 6 do
        assert(s:next())
        mesh.sleep(1.1)
      end
    end, c:id())
    assert.equal(0, net:metrics().streams_stalled)
  end)

  it('is not the one to blame when the producer is silent', function()
    a:eval(function()
      local s <close> = mesh.with { idle = 5 }.stream 'silent'
      s:next()
      mesh.sleep(1)
    end)
    assert.equal(0, net:metrics().streams_stalled)
  end)

  it('as a handler ends the stream of its caller when the gap is longer than that bears with', function()
    b:eval(function()
      mesh.action('sink', function()
        local guard <close> = setmetatable({}, { __close = function() report 'sink closed' end })
        local input = mesh.input()
        input()
        mesh.sleep(1000)
      end)
    end)
    local n, err, waiting = a:eval(function()
      mesh.wait 'sink'
      local s, n, waiting = mesh.with { idle = 0.3 }.stream 'sink', 0, nil
      mesh.spawn(function()
        mesh.sleep(0.2)
        for _, one in ipairs(mesh.streams()) do
          if one.direction == 'out' then waiting = one.waits_for end
        end
      end)
      local _, e = pcall(function()
        while s:send(('x'):rep(1000)) do n = n + 1 end
        return s:result()
      end)
      return n, e, waiting
    end)
    assert.equal('TIMEOUT', err.code)
    assert.equal('consumer', waiting)
    assert.is_true(n > 100 and n < 1000, n)
    b:wait_reports(1)
    assert.same({ 'sink closed' }, b:reported())
    assert.equal(0, net:metrics().requests_now)
  end)

  it('as a handler that never asks for input is bounded by the timeout of the call', function()
    b:eval(function()
      mesh.action('deaf', function() mesh.sleep(1000) end)
    end)
    local err, took = a:eval(function()
      mesh.wait 'deaf'
      local began = mesh.now()
      local s = mesh.with { timeout = 0.5, idle = 0.1 }.stream 'deaf'
      local _, e = pcall(function()
        while s:send(('x'):rep(1000)) do end -- luacheck: ignore 542
        return s:result()
      end)
      return e, mesh.now() - began
    end)
    assert.equal('TIMEOUT', err.code)
    assert.is_true(took < net:within(0.7), took)
    assert.equal(0, net:metrics().requests_now)
  end)

  it('as a handler is not excused by a chunk of its own that its caller has yet to read', function()
    b:eval(function()
      mesh.action('sink', function()
        coroutine.yield 'one'
        mesh.input()()
        mesh.sleep(1000)
      end)
    end)
    for _, idle in ipairs { 0.3, 0.6 } do
      local err, took = a:eval(function(gap)
        mesh.wait 'sink'
        local s = mesh.with { idle = gap }.stream 'sink'
        mesh.sleep(gap == 0.3 and 0.5 or 0) -- its gap is over before, or while it sends
        local began = mesh.now()
        local _, e = pcall(function()
          while s:send(('x'):rep(1000)) do end -- luacheck: ignore 542
          return s:result()
        end)
        return e, mesh.now() - began
      end, idle)
      assert.equal('TIMEOUT', err.code)
      assert.is_true(took < net:within(1), took)
    end
    assert.equal(0, net:metrics().requests_now)
  end)

  it('is not the caller who has nothing to send, unless the gap is longer than it bears with itself', function()
    b:eval(function()
      mesh.action('listen', function()
        for _ in mesh.input() do report 'item' end
      end)
    end)
    local err, took = a:eval(function()
      mesh.wait 'listen'
      local live <close> = mesh.with { idle = 0 }.stream 'listen'
      local began = mesh.now()
      local s <close> = mesh.with { idle = 0.7 }.stream 'listen'
      for _ = 1, 3 do
        mesh.sleep(0.5)
        s:send(1)
      end
      local _, e = pcall(s.result, s)
      local took = mesh.now() - began
      live:send(2)
      live:finish()
      live:result()
      return e, took
    end)
    assert.equal('TIMEOUT', err.code)
    assert.is_true(took > 2.1 and took < net:within(2.4), took)
    assert.equal(4, #b:reports())
  end)

  it('is forgotten with an answer that it never takes', function()
    local s = stranger.greet(net, b)
    s:call(1, 'blob', nil, put('array', 1) .. put('int', 1000000))
    assert.equal('TIMEOUT', s:error(1).code)
    assert.equal(0, net:metrics().requests_now)
    s:close()
  end)
end)

cluster.describe('mesh.streams', { 'mem', 'tcp' }, function(over)
  local net, a, b

  before_each(function()
    net = over.net
    b = net:node('b', {}, server)
    a = net:node('a', { peers = { b } })
  end)

  local function of(node)
    return node:eval(function()
      local list = mesh.streams()
      table.sort(list, function(x, y) return x.action < y.action end)
      return list
    end)
  end

  it('tells of each open stream who waits for whom', function()
    a:eval(function()
      kept = { mesh.stream 'flood', mesh.stream 'silent' }
      kept[1]:next()
      kept[2]:next()
      mesh.spawn(function() kept[2]:next() end)
    end)
    net:advance(0.2)
    local here, there = of(a), of(b)
    assert.same({ 2, 2 }, { #here, #there })
    local flood, silent = here[1], here[2]
    assert.same({ 'flood', 'in', 'consumer', b:id(), 'b' },
      { flood.action, flood.direction, flood.waits_for, flood.node, flood.name })
    assert.is_true(flood.waited > 0.1, flood.waited)
    assert.is_true(flood.bytes > 200000 and flood.chunks > 200)
    assert.same({ 'silent', 'producer', 1 }, { silent.action, silent.waits_for, silent.chunks })
    flood, silent = there[1], there[2]
    assert.same({ 'flood', 'out', 'consumer', a:id(), 'a' },
      { flood.action, flood.direction, flood.waits_for, flood.node, flood.name })
    assert.equal(here[1].bytes, flood.bytes)
    assert.equal(here[1].chunks, flood.chunks)
    assert.equal(0, flood.credit.bytes)
    assert.is_true(flood.waited > 0.1, flood.waited)
    assert.same({ 'silent', 'out', 'producer' }, { silent.action, silent.direction, silent.waits_for })
    assert.equal(1023, silent.credit.chunks)
    a:eval(function()
      for _, s in ipairs(kept) do s:close() end
    end)
    net:settle()
    assert.same({ 0, 0 }, { #of(a), #of(b) })
  end)

  it('is empty where there are only calls', function()
    a:eval(function() mesh.call('blob', 5) end)
    assert.same({}, of(a))
  end)

  it('tells on a relay of those that pass through it, each way', function()
    local c = net:node('c', { peers = { b } })
    a:eval(function()
      mesh.action('far', function()
        for _ = 1, 100000 do coroutine.yield(('x'):rep(1000)) end
      end)
      mesh.action('sink', function()
        local input = mesh.input()
        input()
        mesh.sleep(1000)
      end)
    end)
    c:eval(function()
      mesh.wait 'sink'
      kept = { mesh.stream 'far', mesh.stream 'sink' }
      kept[1]:next()
      mesh.spawn(function()
        while kept[2]:send(('y'):rep(1000)) do end -- luacheck: ignore 542
      end)
    end)
    net:advance(0.3)
    local through = of(b)
    table.sort(through, function(x, y) return x.action .. x.name < y.action .. y.name end)
    local far, sink = through[1], through[#through]
    assert.same({ 'far', 'through', 'consumer', a:id(), 'a', c:id(), 'c' },
      { far.action, far.direction, far.waits_for, far.node, far.name, far.to, far.to_name })
    assert.same({ 'sink', 'through', 'consumer', c:id(), 'c', a:id(), 'a' },
      { sink.action, sink.direction, sink.waits_for, sink.node, sink.name, sink.to, sink.to_name })
    local here = of(c)
    assert.equal(here[1].bytes, far.bytes)
    assert.equal(here[1].chunks, far.chunks)
    assert.is_true(far.chunks > 100 and sink.chunks > 100 and sink.waited > 0)
    c:eval(function()
      for _, s in ipairs(kept) do s:close() end
    end)
    net:settle()
    assert.same({}, of(b))
  end)
end)
