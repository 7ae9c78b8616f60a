--- Traces: what nodes remember of the calls that one call led to.

local cluster = require 'spec.support.cluster'
local stranger = require 'spec.support.stranger'
local testing = require 'perilune.testing'

-- luacheck: globals mesh report, ignore 431

local ID, SPAN = ('4b'):rep(16), ('0f'):rep(8)

local function asked(flags) return ('00-%s-%s-%s'):format(ID, SPAN, flags) end

--- What a node remembers of a trace.
local function remembered(node, id)
  return node:eval(function(of) return mesh.with { node = mesh.self().id }.call('_perilune.trace', of) end, id)
end

local function call(name, parent, ...)
  return mesh.with { meta = { traceparent = parent } }.call(name, ...)
end

cluster.describe('a trace', { 'mem', 'unix' }, function(over)
  local net

  before_each(function() net = over.net end)

  --- a - b - c - d, where `first` of d calls `second` of c.
  local function line(options)
    local d = net:node('d', {}, function()
      mesh.action('first', function()
        mesh.sleep(0.02)
        return mesh.call 'second', mesh.context().trace_id, mesh.context().meta.traceparent
      end)
    end)
    local c = net:node('c', { peers = { d } }, function()
      mesh.action('second', function() return mesh.context().trace_id end)
      mesh.action('fail', function() error { code = 'NO_PAPER', message = 'none' } end)
      mesh.action('count', function(n) for i = 1, n do coroutine.yield(i) end end)
    end)
    local b = net:node('b', { peers = { c } })
    local given = { peers = { b } }
    for key, value in pairs(options or {}) do given[key] = value end
    local a = net:node('a', given)
    a:eval(function() mesh.wait 'first' mesh.wait 'second' end)
    return a, b, c, d
  end

  it('goes on with the traceparent that a call is given, in all that it leads to', function()
    local a = line()
    local second, first, parent = a:eval(call, 'first', asked '00')
    assert.same({ ID, ID, asked '00' }, { second, first, parent })
    assert.equal(0, remembered(a, ID).count) -- nobody asked for that
  end)

  it('takes no notice of a traceparent that is none', function()
    local a = line()
    local second, first = a:eval(call, 'first', '00-4b4b-01')
    assert.equal(first, second)
    assert.not_equal(ID, first)
  end)

  it('is remembered by all nodes of its calls when that is asked for', function()
    local a, b, c, d = line()
    a:eval(call, 'first', asked '01')
    net:settle()
    local seen = {}
    for _, node in ipairs { a, b, c, d } do
      local of = remembered(node, ID)
      seen[node.name] = of.calls
      assert.equal(#of.calls, of.count)
    end
    local outer, inner = seen.a[1].call, seen.d[1].call
    assert.same({ 1, 1, 2, 2 }, { #seen.a, #seen.b, #seen.c, #seen.d })
    local function row(node, i)
      local s = seen[node][i]
      return table.concat({ s.side, s.action, s.call == outer and 'outer' or s.call == inner and 'inner' or '?',
        s.parent == SPAN and 'given' or s.parent == outer and 'outer' or '?' }, ' ')
    end
    assert.equal('outgoing first outer given', row('a', 1))
    assert.equal('forwarded first outer given', row('b', 1))
    -- what ended first comes first
    assert.equal('incoming second inner outer', row('c', 1))
    assert.equal('forwarded first outer given', row('c', 2))
    assert.equal('outgoing second inner outer', row('d', 1))
    assert.equal('incoming first outer given', row('d', 2))
    assert.is_true(seen.a[1].duration >= seen.b[1].duration)
    assert.is_true(seen.b[1].duration >= seen.c[2].duration)
    assert.is_true(seen.c[2].duration >= seen.d[2].duration)
    assert.is_true(seen.d[2].duration >= 0.02)
    assert.same({ b:id(), c:id() }, { seen.a[1].peer, seen.b[1].next })
    -- found by the id of any of its calls
    assert.equal(2, remembered(d, outer).count)
    assert.equal(2, remembered(d, inner).count)
    assert.equal(0, remembered(d, ('0'):rep(16)).count)
  end)

  it('tells the error of a call at every node', function()
    local a, b, c = line()
    a:fails(call, 'fail', asked '01')
    net:settle()
    for _, node in ipairs { a, b, c } do assert.equal('NO_PAPER', remembered(node, ID).calls[1].code) end
  end)

  it('shows calls that are under way', function()
    local a = line()
    local running = a:start(call, 'first', asked '01')
    net:wait(function() return remembered(a, ID).count == 1 end, 'the call')
    local one = remembered(a, ID).calls[1]
    assert.is_nil(one.duration)
    assert.is_true(one.ago >= 0)
    running:wait()
    assert.is_true(remembered(a, ID).calls[1].duration >= 0.02)
  end)

  it('is kept of one call in so many, if the node is told to', function()
    local a, _, c = line { trace_sample = 4 }
    local ids = a:eval(function()
      local ids = {}
      for i = 1, 400 do ids[i] = mesh.call 'second' end
      return ids
    end)
    local kept, different = 0, {}
    for _, id in ipairs(ids) do
      assert.is_nil(different[id])
      different[id] = true
      local of = remembered(a, id)
      kept = kept + of.count
      assert.equal(of.count, remembered(c, id).count)
      if of.count == 1 then assert.is_nil(of.calls[1].parent) end
    end
    assert.is_true(kept > 50 and kept < 200, kept .. ' of 400')
  end)

  it('refuses ids that are none', function()
    local a = net:node('a')
    for _, id in ipairs { '', 'x', ID .. '0', 5, true } do
      assert.equal('INVALID', a:fails(function(of)
        mesh.with { node = mesh.self().id }.call('_perilune.trace', of)
      end, id).code)
    end
  end)
end)

cluster.describe('the memory of traces', { 'mem' }, function(over)
  it('is of the newest calls, and bounded', function()
    local a = over.net:node('a', {}, function() mesh.action('one', function() end) end)
    a:eval(function(parent)
      local traced = mesh.with { meta = { traceparent = parent } }
      for _ = 1, 700 do traced.call 'one' end
    end, asked '01')
    local of = remembered(a, ID) -- both ends of each are here
    assert.same({ 1024, 512 }, { of.count, #of.calls })
  end)

  it('keeps no more than so many calls that are under way, and counts the others', function()
    local a = over.net:node('a', {}, function() mesh.action('nap', function() mesh.sleep(1) end) end)
    local running = a:start(function(parent)
      local traced, tasks = mesh.with { meta = { traceparent = parent } }, {}
      for i = 1, 2100 do tasks[i] = mesh.spawn(traced.call, 'nap') end
      mesh.all(tasks)
    end, asked '01')
    over.net:advance(0.5)
    assert.equal(4096, remembered(a, ID).count)
    assert.equal(2 * 2100 - 4096, over.net:metrics().traces_refused)
    running:wait()
    assert.equal(1024, remembered(a, ID).count)
  end)
end)

describe('the flags of a trace', function()
  local put = testing.wire.msgpack.put
  local net, a, s

  before_each(function()
    net = cluster.new 'mem'
    a = net:node('a', {}, function()
      mesh.action('ask', function(id) return mesh.with { node = id }.call 'tell' end)
      mesh.monitor(function(event) if event.action then report(event) end end)
    end)
    s = stranger.greet(net, a, { id = ('n'):rep(16) })
    s:offer { 'tell' }
    net:settle()
  end)
  after_each(function() net:finish() end)

  --- The trace in the CALL that the node makes for a call of ours with that trace.
  local function passed_on(label, trace)
    s:call(label, 'ask', { call_id = label, trace = trace }, put('array', 1) .. put('str', ('6e'):rep(16)))
    local f = s:receive(stranger.CALL)
    return testing.wire.message.decode('call', f.body).trace
  end

  it('are passed on as they came, whatever they mean, with the call that carries them on', function()
    for i, flags in ipairs { 0, 1, 2, 0x7e, 0x80, 0xff } do
      local got = passed_on(2 * i - 1, ('\x4b'):rep(16) .. ('\x0f'):rep(8) .. string.char(flags))
      assert.equal(('\x4b'):rep(16), got:sub(1, 16))
      assert.not_equal(('\x0f'):rep(8), got:sub(17, 24))
      assert.equal(flags, got:byte(25))
    end
  end)

  it('ask for the calls to be remembered, and not to be told', function()
    local function known(id) return #a:reported(), remembered(a, id).count end
    passed_on(1, ('\1'):rep(16) .. ('\0'):rep(8) .. '\0')
    assert.same({ 2, 0 }, { known(('01'):rep(16)) }) -- it comes in, and another goes out
    passed_on(3, ('\3'):rep(16) .. ('\0'):rep(8) .. '\1')
    assert.same({ 4, 2 }, { known(('03'):rep(16)) })
    passed_on(5, ('\5'):rep(16) .. ('\0'):rep(8) .. '\x80')
    assert.same({ 4, 0 }, { known(('05'):rep(16)) })
    passed_on(7, ('\7'):rep(16) .. ('\0'):rep(8) .. '\x81')
    assert.same({ 4, 2 }, { known(('07'):rep(16)) })
  end)
end)
