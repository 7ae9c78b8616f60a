-- Calls and streams between nodes that are no neighbours of each other.

local cluster = require 'spec.support.cluster'

-- luacheck: globals mesh report, ignore 211/guard 211/stream 431

local WINDOW_BYTES = 256 * 1024

--- What every node provides: each action under its name, and those of `server` at one of them.
local function relay() mesh.action('at ' .. mesh.self().name, function() return mesh.self().name end) end

local function server()
  mesh.action('at ' .. mesh.self().name, function() return mesh.self().name end)
  mesh.action('echo', function(...)
    report 'echo'
    return ...
  end)
  mesh.action('fail', function()
    error { code = 'OUT_OF_STOCK', message = 'no more', details = { left = 0 } }
  end)
  mesh.action('work', function(...)
    local guard <close> = setmetatable({}, { __close = function() report('closed', mesh.now()) end })
    report('began', ...)
    mesh.sleep(1000)
  end, { concurrency = 1 })
  mesh.action('blocks', function(count, size)
    local guard <close> = setmetatable({}, { __close = function() report 'closed' end })
    for i = 1, count do
      coroutine.yield((('%08d'):format(i)):rep(size // 8))
      report('sent', i)
    end
    return count
  end)
  mesh.action('whoami', function()
    local caller = mesh.context().caller
    return caller.id, caller.name
  end)
end

cluster.describe('over relays', { 'mem', 'tcp' }, function(over)
  local net

  before_each(function() net = over.net end)

  --- Nodes linked to those whose names follow. The last one is the server.
  local function build(links)
    local nodes = {}
    for i, link in ipairs(links) do
      local peers = {}
      for at = 2, #link do peers[#peers + 1] = nodes[link[at]] end
      nodes[link[1]] = net:node(link[1], { peers = peers, drain = 5 }, i == 1 and server or relay)
    end
    local first = nodes[links[1][1]]
    for _, node in pairs(nodes) do
      node:eval(function() mesh.wait 'whoami' end)
    end
    return nodes, first
  end

  --- Two ways from `c` to `s`; all have heard of both.
  local function diamond()
    local nodes = build { { 's' }, { 'left', 's' }, { 'right', 's' }, { 'c', 'left', 'right' } }
    net:advance(0.1 * cluster.factor)
    return nodes
  end

  --- A chain with so many nodes between the two ends: returns the server, the caller and all nodes.
  local function chain(between)
    local links = { { 's' } }
    for i = 1, between + 1 do links[#links + 1] = { i == between + 1 and 'c' or 'r' .. i, links[#links][1] } end
    local nodes = build(links)
    return nodes.s, nodes.c, nodes
  end

  local function count(node, what)
    local n = 0
    for _, said in ipairs(node:reported()) do n = n + (said == what and 1 or 0) end
    return n
  end

  describe('a call', function()
    for _, hops in ipairs { 0, 1, 3 } do
      it(('over %d of them returns its values, and errors as they are'):format(hops), function()
        local s, c = chain(hops)
        assert.same({ 1, 'two', 3.5 }, { c:eval(function() return mesh.call('echo', 1, 'two', 3.5) end) })
        local err = c:fails(function() mesh.call 'fail' end)
        assert.same({ 'OUT_OF_STOCK', 'executed', { left = 0 } }, { err.code, err.outcome, err.details })
        assert.matches('no more', err.message)
        assert.equal(s:id(), err.node)
        assert.same({ c:id(), 'c' }, { c:eval(function() return mesh.call 'whoami' end) })
        assert.equal(0, net:metrics().relays_now)
        assert.equal(0, net:metrics().protocol_errors)
      end)
    end

    it('may be one of ten thousand, each of which ends once', function()
      local s, c = chain(1)
      local sum = c:eval(function()
        local tasks, got = {}, 0
        for i = 1, 10000 do
          tasks[i] = mesh.spawn(function()
            assert(mesh.call('echo', i) == i)
            got = got + 1
          end)
        end
        mesh.all(tasks)
        return got
      end)
      assert.equal(10000, sum)
      assert.equal(10000, count(s, 'echo'))
      assert.equal(10000, net:metrics().relays_opened)
    end)

    it('carries arguments and results of megabytes, byte for byte', function()
      local _, c = chain(3)
      for _, megabytes in ipairs { 1, 5, 10 } do
        assert.is_true(c:eval(function(size)
          local sent = require 'perilune.crypto'.random(4096):rep(size * 256)
          return mesh.with { timeout = 240 }.call('echo', sent) == sent
        end, megabytes))
      end
      assert.equal(0, net:metrics().relay_bytes_now)
    end)

    it('of an action that nobody has fails at once', function()
      local s, c = chain(3)
      local before = net:now()
      assert.equal('NOT_FOUND', c:fails(function() mesh.call 'nothing' end).code)
      local err = c:fails(function(id) mesh.with { node = id }.call 'nothing' end, s:id())
      assert.equal('NOT_FOUND', err.code)
      assert.equal('not_sent', err.outcome)
      err = c:fails(function() mesh.with { node = ('0'):rep(32) }.call 'echo' end)
      assert.same({ 'NO_ROUTE', 'not_sent' }, { err.code, err.outcome })
      if net.virtual then assert.is_true(net:now() - before < 0.05) end
    end)

    it('that is cancelled stops the handler and frees its slot', function()
      local s, c = chain(2)
      local call = c:start(function() mesh.call('work', 1) end)
      s:wait_reports(1)
      local cancelled = net:now()
      call:cancel()
      s:wait_reports(2)
      local closed = s:reports()[2]
      assert.equal('closed', closed[1])
      if net.virtual then assert.is_true(net:now() - cancelled <= 0.05) end
      net:settle()
      local m = net:metrics()
      assert.same({ 0, 0, 0 }, { m.requests_now, m.calls_now, m.relays_now })
      c:start(function() mesh.call('work', 2) end)
      s:wait_reports(3) -- the slot is free
    end)

    it('that is too late ends there too', function()
      local s, c = chain(2)
      local err = c:fails(function() mesh.with { timeout = 0.1 }.call('work', 1) end)
      assert.same({ 'TIMEOUT', 'unknown' }, { err.code, err.outcome })
      s:wait_reports(2)
      net:settle()
      assert.same({ 0, 0 }, { net:metrics().relays_now, net:metrics().requests_now })
    end)

    it('brings what caused its error, and what caused that, over three links and in one trace', function()
      local nodes = build { { 's' }, { 'r1', 's' }, { 'r2', 'r1' }, { 'c', 'r2' } }
      nodes.s:eval(function()
        mesh.action('first', function()
          report('first', mesh.context().trace_id)
          error { code = 'DEEPEST', message = 'it began here', details = { left = 0 } }
        end)
        mesh.action('third', function()
          report('third', mesh.context().trace_id)
          mesh.call 'second'
        end)
      end)
      nodes.c:eval(function()
        mesh.wait 'third'
        mesh.action('second', function()
          local _, err = pcall(mesh.call, 'first')
          error { code = 'MIDDLE', message = 'it went on', cause = err }
        end)
      end)
      nodes.s:eval(function() mesh.wait 'second' end)
      local chain, trace = nodes.c:eval(function()
        local _, err = pcall(mesh.call, 'third')
        local list, trace = {}, err.trace_id
        while err do
          list[#list + 1] = { err.code, err.message, err.outcome, err.node, err.action, err.trace_id == trace }
          if not err.cause then list[#list].details = err.details end
          err = err.cause
        end
        return list, trace
      end)
      local s, c = nodes.s:id(), nodes.c:id()
      assert.same({
        { 'MIDDLE', 'it went on', 'executed', s, 'third', true },
        { 'MIDDLE', 'it went on', 'executed', c, 'second', true },
        { 'DEEPEST', 'it began here', 'executed', s, 'first', true, details = { left = 0 } },
      }, chain)
      assert.matches('^' .. ('%x'):rep(32) .. '$', trace)
      local reports = nodes.s:reports()
      assert.same({ { 'third', trace }, { 'first', trace } },
        { { reports[1][1], reports[1][2] }, { reports[2][1], reports[2][2] } })
    end)

    it('whose handler calls back over the same relay is answered', function()
      local nodes = build { { 's' }, { 'r', 's' }, { 'a', 'r' }, { 'c', 'r' } }
      nodes.a:eval(function()
        mesh.action('double', function(x) return 2 * x end, { concurrency = 2 })
        mesh.action('start', function(x) return mesh.call('ask', x) * 10 end, { concurrency = 200 })
      end)
      nodes.c:eval(function()
        mesh.wait 'double'
        mesh.action('ask', function(x) return mesh.call('double', x) + 1 end)
      end)
      nodes.a:eval(function() mesh.wait 'ask' end)
      assert.equal(100, nodes.s:eval(function()
        mesh.wait 'start'
        local tasks, right = {}, 0
        for i = 1, 100 do
          tasks[i] = mesh.spawn(function()
            if mesh.call('start', i) == (2 * i + 1) * 10 then right = right + 1 end
          end)
        end
        mesh.all(tasks)
        return right
      end))
    end)
  end)

  describe('a stream', function()
    it('arrives byte for byte, and relays hold no more than its window', function()
      local _, c = chain(3)
      local most = 0
      local reader = c:start(function()
        local n = 0
        for block in mesh.stream('blocks', 160, 65536) do
          n = n + 1
          if block ~= (('%08d'):format(n)):rep(8192) then error('block ' .. n) end
          if n % 16 == 0 then mesh.sleep(0.01) end
        end
        return n * 65536
      end)
      while not reader:ended() do
        net.native:run(0.0005)
        most = math.max(most, net:metrics().relay_bytes_now)
      end
      assert.equal(10 * 1024 * 1024, reader:wait())
      assert.is_true(most <= WINDOW_BYTES * cluster.factor, most) -- which grows on a machine that is slow
      assert.equal(0, net:metrics().relays_now)
    end)

    it('waits for a consumer that is slow, and nothing else does', function()
      local s, c, nodes = chain(2)
      local reader = c:start(function()
        local n = 0
        for _ in mesh.stream('blocks', 100, 65536) do
          n = n + 1
          if n == 1 then mesh.sleep(1) end
        end
        return n
      end)
      net:wait(function() return count(s, 'sent') > 0 end)
      net:advance(0.2)
      assert.is_true(count(s, 'sent') <= 2 * WINDOW_BYTES // 65536 + 1, count(s, 'sent'))
      assert.equal('s', nodes.r2:eval(function() return mesh.call 'at s' end))
      assert.equal('s', c:eval(function() return mesh.call 'at s' end))
      assert.equal(100, reader:wait())
    end)

    it('that its consumer leaves ends at its producer', function()
      local s, c = chain(2)
      c:eval(function()
        local stream <close> = mesh.stream('blocks', 100000, 1000)
        stream()
      end)
      local left = net:now()
      net:wait(function() return count(s, 'closed') == 1 end, 'the end of the producer')
      if net.virtual then assert.is_true(net:now() - left <= 0.05) end
      net:settle()
      local m = net:metrics()
      assert.same({ 0, 0, 0 }, { m.requests_now, m.calls_now, m.relays_now })
    end)

    it('a hundred of them at once, and calls between them', function()
      local _, c = chain(1)
      assert.equal(100 * 50, c:eval(function()
        local tasks, n = {}, 0
        for i = 1, 100 do
          tasks[i] = mesh.spawn(function()
            for _ in mesh.stream('blocks', 50, 2000) do n = n + 1 end
            assert(mesh.call('echo', i) == i)
          end)
        end
        mesh.all(tasks)
        return n
      end))
    end)
  end)

  describe('when the path breaks', function()
    local STREAM = function()
      local n = 0
      for _ in mesh.stream('blocks', 100000, 1000) do
        n = n + 1
        if n == 10 then report 'flows' end
        mesh.sleep(0.001)
      end
    end

    for _, lost in ipairs { 'r1', 'r2' } do
      it('at ' .. lost .. ', calls and streams fail at both ends, at once', function()
        local s, c, nodes = chain(2)
        local call = c:start(function() mesh.call('work', 1) end)
        local stream = c:start(STREAM)
        c:wait_reports(1)
        net:wait(function() return count(s, 'began') == 1 end)
        local broken = net:now()
        nodes[lost]:stop(0)
        local err = call:failure()
        assert.same({ 'PEER_LOST', 'unknown' }, { err.code, err.outcome })
        net:wait(function() return count(s, 'closed') == 2 end, 'the end of the handlers')
        if net.virtual then assert.is_true(net:now() - broken <= 0.1) end
        err = stream:failure() -- after the items that had come
        assert.same({ 'PEER_LOST', 'unknown' }, { err.code, err.outcome })
        net:settle()
        assert.equal(0, net:metrics().relays_now)
        assert.not_matches('handler failed', net:log())
      end)
    end

    it('the error names the node that noticed', function()
      local s, c, nodes = chain(2)
      local call = c:start(function() mesh.call('work', 1) end)
      s:wait_reports(1)
      local r1 = nodes.r1:id()
      nodes.r1:stop(0)
      local err = call:failure()
      assert.equal('PEER_LOST', err.code)
      assert.equal(r1, err.node)
    end)

    it('new calls take another', function()
      local nodes = diamond()
      local first = nodes.c:eval(function() return mesh.call('echo', 1) end)
      assert.equal(1, first)
      nodes.left:finish(0)
      for i = 1, 10 do
        assert.equal(i, nodes.c:eval(function(x) return mesh.call('echo', x) end, i))
      end
      assert.equal(11, count(nodes.s, 'echo'))
    end)

    it('idempotent calls that were under way succeed over another', function()
      local nodes = diamond()
      nodes.s:eval(function()
        mesh.action('slow', function(x)
          mesh.sleep(0.2)
          return x
        end, { idempotent = true })
      end)
      local calls = nodes.c:start(function()
        mesh.wait 'slow'
        local tasks, n = {}, 0
        for i = 1, 20 do
          tasks[i] = mesh.spawn(function()
            if mesh.call('slow', i) == i then n = n + 1 end
          end)
        end
        mesh.all(tasks)
        return n
      end)
      net:wait(function() return net:metrics().requests_now == 20 end)
      local passing = net:metrics().relays_now
      assert.equal(20, passing)
      local via = nodes.c:eval(function(id)
        for _, n in ipairs(mesh.nodes()) do
          if n.id == id then return n.via end
        end
      end, nodes.s:id())
      nodes[via == nodes.left:id() and 'left' or 'right']:finish(0)
      assert.equal(20, calls:wait())
    end)
  end)

  describe('whatever the graph is like,', function()
    local function each_once(nodes)
      local callers, calls = 0, 0
      for name, node in pairs(nodes) do
        if name ~= 's' then
          callers = callers + 1
          node:eval(function()
            for i = 1, 20 do assert(mesh.call('echo', i) == i) end
          end)
          calls = calls + 20
        end
      end
      assert.equal(calls, count(nodes.s, 'echo'))
      assert.equal(0, net:metrics().calls_failed)
      assert.equal(0, net:metrics().relays_now)
    end

    it('a call is executed once: a diamond', function()
      each_once(diamond())
    end)

    it('a call is executed once: a ring', function()
      each_once(build { { 's' }, { 'a', 's' }, { 'b', 'a', 's' } })
    end)

    it('a call is executed once: everybody linked to everybody', function()
      local links, names = {}, { 's', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j' }
      for i, name in ipairs(names) do links[i] = { name, table.unpack(names, 1, i - 1) } end
      each_once(build(links))
      if net.virtual then assert.equal(0, net:metrics().relays_opened) end
    end)

    it('a long ring is gone round the short way', function()
      local links, names = {}, { 's', 'b', 'c', 'd', 'e', 'f', 'g', 'h' }
      for i, name in ipairs(names) do links[i] = { name, names[i - 1] } end
      links[#links][3] = 's'
      local nodes = build(links)
      each_once(nodes)
      local before = net:metrics().relays_opened
      nodes.e:eval(function() mesh.call('echo', 1) end)
      assert.equal(3, net:metrics().relays_opened - before)
    end)
  end)

  it('a relay that stops is left by new calls, and ends old ones first', function()
    local nodes = build { { 's' }, { 'r', 's' }, { 'c', 'r' } }
    nodes.s:eval(function()
      mesh.action('slow', function(x)
        mesh.sleep(0.5)
        return x
      end)
    end)
    local call = nodes.c:start(function()
      mesh.wait 'slow'
      return mesh.call('slow', 7)
    end)
    net:wait(function() return net:metrics().relays_now == 1 end)
    nodes.r:stop()
    net:advance(0.1)
    assert.is_false(nodes.r:over())
    local err = nodes.c:fails(function() mesh.call 'echo' end)
    assert.equal('not_sent', err.outcome)
    assert.equal(7, call:wait())
    net:wait(function() return (nodes.r:over()) end, 'the end of the relay')
  end)

  it('a relay that stops is gone round at once', function()
    local nodes = diamond()
    nodes.s:eval(function()
      mesh.action('slow', function(x)
        mesh.sleep(0.5)
        return x
      end)
    end)
    nodes.c:eval(function() mesh.wait 'slow' end)
    local calls = {}
    for i = 1, 4 do calls[i] = nodes.c:start(function(x) return mesh.call('slow', x) end, i) end
    net:wait(function() return net:metrics().requests_now == 4 end)
    local via = nodes.c:eval(function(id)
      for _, n in ipairs(mesh.nodes()) do
        if n.id == id then return n.via end
      end
    end, nodes.s:id())
    local leaving = via == nodes.left:id() and nodes.left or nodes.right
    leaving:stop()
    net:advance(0.1)
    for i = 1, 20 do assert.equal(i, nodes.c:eval(function(x) return mesh.call('echo', x) end, i)) end
    for i = 1, 4 do assert.equal(i, calls[i]:wait()) end
    net:wait(function() return (leaving:over()) end, 'the end of the relay')
    assert.equal(0, net:metrics().calls_failed)
  end)
end)
