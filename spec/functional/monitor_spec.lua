--- mesh.monitor: what a script is told of the calls, links and scripts of its node.

local cluster = require 'spec.support.cluster'

-- luacheck: globals mesh report, ignore 431

--- The events that a node reported, without those of links unless asked for.
local function events(node, name)
  local list = {}
  for _, event in ipairs(node:reported()) do
    if not name and not event.event:find '^link' or event.event == name then list[#list + 1] = event end
  end
  return list
end

local function names(list)
  local found = {}
  for i, event in ipairs(list) do found[i] = event.event end
  return found
end

local function watch() mesh.monitor(report) end

cluster.describe('mesh.monitor', { 'mem', 'unix' }, function(over)
  local net

  before_each(function() net = over.net end)

  it('tells of a call and its end at every node of its path, under one call and trace id', function()
    local d = net:node('d', {}, function()
      mesh.action('nap', function(seconds) mesh.sleep(seconds) return mesh.context().trace_id, mesh.context().call end)
      mesh.monitor(report)
    end)
    local c = net:node('c', { peers = { d } }, watch)
    local b = net:node('b', { peers = { c } }, watch)
    local a = net:node('a', { peers = { b } }, watch)
    a:eval(function() mesh.wait 'nap' end)
    local trace, call = a:eval(function() return mesh.call('nap', 0.05) end)
    net:settle()
    local want = { a = 'outgoing', b = 'forwarded', c = 'forwarded', d = 'incoming' }
    for _, node in ipairs { a, b, c, d } do
      local list = events(node)
      assert.same({ want[node.name], 'end' }, names(list))
      for _, event in ipairs(list) do
        assert.same({ 'nap', call, trace, a:id(), want[node.name], false },
          { event.action, event.call, event.trace_id, event.caller, event.side, event.stream })
      end
      assert.is_true(list[2].duration >= 0.05)
      assert.is_nil(list[2].code)
    end
    assert.equal(b:id(), events(a)[1].peer)
    assert.same({ a:id(), c:id() }, { events(b)[1].peer, events(b)[1].next })
    assert.same({ b:id(), d:id() }, { events(c)[1].peer, events(c)[1].next })
    assert.equal(c:id(), events(d)[1].peer)
    assert.is_true(events(a)[2].duration >= events(b)[2].duration)
    assert.is_true(events(c)[2].duration >= events(d)[2].duration)
  end)

  it('tells the code with which a call failed, also of one that found nobody', function()
    local b = net:node('b', {}, function()
      mesh.action('break', function() error { code = 'OUT_OF_STOCK', message = 'none' } end)
      mesh.monitor(report)
    end)
    local a = net:node('a', { peers = { b } }, watch)
    a:fails(function() mesh.call 'break' end)
    a:fails(function() mesh.call 'nowhere' end)
    net:settle()
    assert.same({ 'incoming', 'end' }, names(events(b)))
    assert.equal('OUT_OF_STOCK', events(b)[2].code)
    local list = events(a)
    assert.same({ 'outgoing', 'end', 'outgoing', 'end' }, names(list))
    assert.same({ 'OUT_OF_STOCK', 'nowhere', 'NOT_FOUND' }, { list[2].code, list[4].action, list[4].code })
  end)

  it('tells of calls that are broken off, at every node', function()
    local c = net:node('c', {}, function()
      mesh.action('nap', function() mesh.sleep(1000) end)
      mesh.monitor(report)
    end)
    local b = net:node('b', { peers = { c } }, watch)
    local a = net:node('a', { peers = { b } }, watch)
    a:eval(function() mesh.wait 'nap' end)
    local call = a:start(function() mesh.call 'nap' end)
    net:wait(function() return #events(c) > 0 end, 'the call')
    call:cancel()
    net:wait(function() return #events(b, 'end') > 0 and #events(c, 'end') > 0 end, 'its end')
    for _, node in ipairs { a, b, c } do assert.equal('CANCELLED', events(node, 'end')[1].code) end
    local late = a:fails(function() mesh.with { timeout = 0.05 }.call 'nap' end)
    assert.equal('TIMEOUT', late.code)
    net:wait(function() return #events(b, 'end') > 1 and #events(c, 'end') > 1 end, 'its end')
    for _, node in ipairs { a, c } do assert.equal('TIMEOUT', events(node, 'end')[2].code) end
  end)

  it('tells of calls whose path is lost', function()
    local b = net:node('b', { resume_window = 0 }, function()
      mesh.action('nap', function() mesh.sleep(1000) end)
      mesh.monitor(report)
    end)
    local a = net:node('a', { peers = { b }, resume_window = 0 }, watch)
    local call = a:start(function() mesh.call 'nap' end)
    net:wait(function() return #events(b) > 0 end, 'the call')
    a:eval(function() mesh.disconnect('b', { abort = true }) end)
    assert.equal('PEER_LOST', call:failure().code)
    net:wait(function() return #events(a, 'end') > 0 and #events(b, 'end') > 0 end, 'its end')
    for _, node in ipairs { a, b } do assert.equal('PEER_LOST', events(node, 'end')[1].code) end
  end)

  it('tells of each attempt of a call, in one trace', function()
    local b = net:node('b', {}, function()
      mesh.action('nap', function() mesh.sleep(1000) end, { concurrency = 1, queue = 0 })
      mesh.monitor(report)
    end)
    local a = net:node('a', { peers = { b } }, watch)
    local busy = a:start(function() mesh.call 'nap' end)
    net:wait(function() return #events(b, 'incoming') > 0 end, 'the call')
    local err = a:fails(function() mesh.with { retries = 2 }.call 'nap' end)
    assert.equal('BUSY', err.code)
    busy:cancel()
    net:wait(function() return #events(a, 'end') == 2 end, 'its end')
    local traces, attempts = {}, {}
    for _, event in ipairs(events(a, 'outgoing')) do
      traces[event.trace_id] = (traces[event.trace_id] or 0) + 1
      attempts[event.call] = true
    end
    assert.is_true((traces[err.trace_id] or 0) >= 1)
    for _, event in ipairs(events(a, 'end')) do assert.is_true(attempts[event.call]) end
  end)

  it('tells of a call to the node itself once, as local', function()
    local a = net:node('a', {}, function()
      mesh.action('one', function() return 1 end)
      mesh.monitor(report)
    end)
    a:eval(function() mesh.call 'one' end)
    net:settle()
    local list = events(a)
    assert.same({ 'local', 'end' }, names(list))
    assert.same({ 'local', 'one' }, { list[2].side, list[2].action })
  end)

  it('tells of calls that wait for a slot, and for how long they did', function()
    local b = net:node('b', {}, function()
      mesh.action('nap', function() mesh.sleep(0.1) end, { concurrency = 1 })
      mesh.monitor(report)
    end)
    local a = net:node('a', { peers = { b } })
    a:eval(function()
      mesh.all { mesh.spawn(mesh.call, 'nap'), mesh.spawn(mesh.call, 'nap') }
    end)
    net:settle()
    local list = events(b)
    assert.same({ 'incoming', 'incoming', 'queued', 'end', 'end' }, names(list))
    assert.equal(list[2].call, list[3].call)
    assert.is_true(list[4].queued < 0.09)
    assert.is_true(list[5].queued >= 0.09)
    assert.is_true(list[5].duration >= list[5].queued + 0.09)
  end)

  it('tells of chunks at both ends and at the relay, and how many there were', function()
    local c = net:node('c', {}, function()
      mesh.action('count', function(n) for i = 1, n do coroutine.yield(i) end end)
      mesh.monitor(report)
    end)
    local b = net:node('b', { peers = { c } }, watch)
    local a = net:node('a', { peers = { b } }, watch)
    a:eval(function() mesh.wait 'count' for _ in mesh.stream('count', 5) do mesh.sleep(0) end end)
    net:settle()
    for _, node in ipairs { a, b, c } do
      local list, chunks = events(node), 0
      for _, event in ipairs(list) do
        if event.event == 'chunk' then chunks = chunks + event.count end
      end
      assert.same({ 5, 'end', 5, true }, { chunks, list[#list].event, list[#list].chunks, list[#list].stream })
    end
  end)

  it('tells of links that come and go', function()
    local a = net:node('a', { reconnect_max = 0.05 }, watch)
    local b = net:node('b', { peers = { a } })
    local id = b:id()
    net:wait(function() return #events(a, 'link_up') > 0 end, 'the link')
    b:finish()
    net:wait(function() return #events(a, 'link_down') > 0 end, 'its end')
    assert.same({ id, 'b' }, { events(a, 'link_up')[1].node, events(a, 'link_up')[1].name })
    assert.same({ id, 'b' }, { events(a, 'link_down')[1].node, events(a, 'link_down')[1].name })
  end)

  it('tells of dials that fail', function()
    local b = net:node 'b'
    local url = b:url()
    local a = net:node('a', { peers = { url }, reconnect_max = 0.05 }, watch)
    b:finish()
    net:wait(function() return #events(a, 'dial_failed') > 1 end, 'dials')
    local event = events(a, 'dial_failed')[1]
    assert.same({ url, 'CONNECT_FAILED' }, { event.address, event.code })
    assert.is_true(event.at > 0 and event.node == nil)
  end)

  it('goes on after an error of the function, which is logged, and the call is none the worse', function()
    local a = net:node('a', {}, function()
      mesh.action('one', function() return 1 end)
      local n = 0
      mesh.monitor(function(event)
        n = n + 1
        report(event)
        if n == 1 then error 'the monitor broke' end
      end)
    end)
    assert.equal(1, (a:eval(function() return mesh.call 'one' end)))
    net:settle()
    assert.same({ 'local', 'end' }, names(events(a)))
    assert.matches('the monitor broke', net:log())
  end)

  it('may wait and call, and is not told of what it does itself, nor are others', function()
    local b = net:node('b', {}, function()
      mesh.action('note', function() return mesh.call 'deeper' end)
      mesh.action('deeper', function() return true end)
      mesh.action('plain', function() end)
      mesh.monitor(report)
    end)
    local a = net:node('a', { peers = { b } }, function()
      mesh.monitor(function(event)
        if event.event:find '^link' then return end
        mesh.sleep(0.01)
        mesh.call('note', event.action)
        mesh.spawn(function() mesh.call 'note' end)
        report(event)
      end)
    end)
    a:eval(function() mesh.call 'plain' end)
    a:wait_reports(2)
    net:advance(0.1)
    assert.same({ 'outgoing', 'end' }, names(events(a)))
    assert.same({ 'incoming', 'end' }, names(events(b)))
    assert.equal('plain', events(b)[1].action)
  end)

  it('ends when it is closed, in the function too, and with a <close> variable', function()
    local a = net:node('a', {}, function()
      mesh.action('one', function() end)
      local m
      m = mesh.monitor(function(event)
        report(event)
        m:close()
        m:close()
      end)
    end)
    a:eval(function() mesh.call 'one' end)
    a:eval(function()
      local _ <close> = mesh.monitor(report) -- luacheck: ignore
    end)
    a:eval(function() mesh.call 'one' end)
    net:settle()
    assert.same({ 'local' }, names(events(a)))
  end)

  it('ends with its generation, while the next tells of its own birth', function()
    local function version()
      mesh.action('one', function() end)
      mesh.monitor(function(event) report { event = event.event, of = mesh.self().generation,
        generation = event.generation, code = event.code } end)
    end
    local a = net:node('a', {}, version)
    assert.is_nil(a:reloaded(version).failure)
    a:eval(function() mesh.call 'one' end)
    net:settle()
    local list = events(a)
    assert.same({ 'generation', 'local', 'end' }, names(list))
    for _, event in ipairs(list) do assert.equal(2, event.of) end
    assert.equal(2, list[1].generation)
    assert.is_truthy(a:reloaded(function() error 'no' end).failure)
    net:settle()
    list = events(a)
    assert.same({ 'generation', 2, 'HANDLER_ERROR' }, { list[4].event, list[4].generation, list[4].code })
  end)

  it('refuses what is no function', function()
    local a = net:node('a')
    assert.matches('mesh.monitor', a:fails(function() mesh.monitor(5) end))
  end)
end)

cluster.describe('a monitor that is too slow', { 'mem' }, function(over)
  it('drops what comes while its queue is full, and tells how much, where it is missing', function()
    local a = over.net:node('a', {}, function()
      mesh.action('one', function() end)
      mesh.monitor(function(event)
        if event.event == 'dropped' or event.action == 'last' then report(event) end
        if not _G.slept then
          _G.slept = true
          mesh.sleep(1)
        end
      end)
      mesh.action('last', function() end)
    end)
    a:eval(function() for _ = 1, 3000 do mesh.call 'one' end end)
    over.net:wait(function() return #events(a, 'dropped') > 0 end, 'the loss')
    -- one was taken, 4096 waited
    assert.equal(6000 - 1 - 4096, events(a, 'dropped')[1].count)
    assert.equal(6000 - 1 - 4096, over.net:metrics().notices_dropped)
    a:eval(function() mesh.call 'last' end)
    a:wait_reports(3)
    assert.same({ 'dropped', 'local', 'end' }, names(events(a)))
  end)
end)
