-- What is said of a stream before its first chunk, and how it ends.

local cluster = require 'spec.support.cluster'
local stranger = require 'spec.support.stranger'
local testing = require 'perilune.testing'
local message = testing.wire.message

-- luacheck: globals mesh report, ignore 211/guard 431

local S = stranger
local CALLEE = S.CALLEE

local function server()
  mesh.action('download', function(name, how)
    if how ~= 'silent' then mesh.info { name = name, size = 3 } end
    if how == 'fails' then error { code = 'GONE', message = 'no such file' } end
    if how == 'waits' then mesh.sleep(0.2) end
    for i = 1, 3 do coroutine.yield(i) end
    return 'sum of ' .. name
  end)
  mesh.action('late', function(twice)
    if twice then mesh.info(1) else coroutine.yield(1) end
    mesh.info(2)
  end)
  mesh.action('large', function() mesh.info(('x'):rep(9000)) end)
  mesh.action('endless', function()
    local ok, err = pcall(function()
      for chunk in mesh.input() do coroutine.yield(chunk) end
      report 'ended'
    end)
    if not ok then report(err.code, err.message) end
    error(err, 0)
  end)
  mesh.action('live', function(pause, n)
    for i = 1, n do
      mesh.sleep(pause)
      coroutine.yield(i)
    end
    return n
  end)
end

cluster.describe('the info of a stream', { 'mem', 'tcp' }, function(over)
  local net, a, b

  before_each(function()
    net = over.net
    b = net:node('b', {}, server)
    local r = net:node('r', { peers = { b } }, function() mesh.action('r', print) end)
    a = net:node('a', { peers = { over.kind == 'mem' and r or b } }) -- in one of them over a relay
    a:eval(function() mesh.wait 'live' end)
  end)

  it('is there before the first chunk, and the result after the last', function()
    local info, took, again, chunks, result, after = a:eval(function()
      local started = mesh.now()
      local s <close> = mesh.stream('download', 'x', 'waits')
      local info = s:info()
      local took = mesh.now() - started
      local again = s:info()
      local chunks = {}
      for i in s do chunks[#chunks + 1] = i end
      return info, took, again, chunks, s:result(), s:info()
    end)
    assert.same({ name = 'x', size = 3 }, info)
    assert.same(info, again)
    assert.same({ { 1, 2, 3 }, 'sum of x' }, { chunks, result })
    assert.same(info, after)
    assert.is_true(took < 0.19 or over.kind ~= 'mem', took)
  end)

  it('is nil where the handler says nothing, which shows with the first chunk or the end', function()
    assert.same({ 'nil', true, 1, 'nil', 'nil' }, { a:eval(function()
      local s <close> = mesh.stream('download', 'x', 'silent')
      local before = type(s:info())
      local more, first = s:next()
      local empty <close> = mesh.stream('live', 0, 0)
      return before, more, first, type(empty:info()), type(s:info())
    end) })
  end)

  it('does not disturb who does not ask, nor a call', function()
    assert.same({ 6, 'sum of y' }, { a:eval(function()
      local sum = 0
      local s <close> = mesh.stream('download', 'y')
      for i in s do sum = sum + i end
      return sum, s:result()
    end) })
    assert.equal('STREAM_EXPECTED', a:fails(function() mesh.call('download', 'z') end).code)
  end)

  it('comes before an error, too, which follows', function()
    local info, err, no_info = a:eval(function()
      local s <close> = mesh.stream('download', 'x', 'fails')
      local info = s:info()
      local _, e = pcall(s.next, s)
      local t <close> = mesh.stream 'nobody has it'
      local _, e2 = pcall(t.info, t)
      return info, e, e2
    end)
    assert.same({ 3, 'GONE', 'NOT_FOUND' }, { info.size, err.code, no_info.code })
  end)

  it('is said once, before the first chunk, in 8 KiB, and by a handler', function()
    for _, twice in ipairs { true, false } do
      local err = a:fails(function(t)
        local s <close> = mesh.stream('late', t)
        s:result()
      end, twice)
      assert.matches('mesh.info: once, before the first chunk', err.message)
    end
    local err = a:fails(function()
      local s <close> = mesh.stream 'large'
      s:result()
    end)
    assert.equal('TOO_LARGE', err.code)
    assert.matches('only possible in the task of a handler', a:fails(function() mesh.info(1) end))
  end)
end)

cluster.describe('the end of a stream', { 'mem', 'tcp' }, function(over)
  local net, a, b
  local unit = over.kind == 'mem' and 0.05 or 0.2 -- what a busy machine may take is no gap

  before_each(function()
    net = over.net
    b = net:node('b', {}, server)
    a = net:node('a', { peers = { b } })
  end)

  it('tells the handler apart: finished, closed, aborted with a reason, failed, lost', function()
    local ways = {
      { 'finish', 'ended' },
      { 'close', 'CANCELLED', 'cancelled' },
      { 'abort', 'CANCELLED', 'the disk is full' },
      { 'fail', 'CANCELLED', 'what the caller sends has failed' },
      { 'lost', 'PEER_LOST' },
    }
    for i, way in ipairs(ways) do
      local task = a:start(function(how)
        local s <close> = mesh.stream 'endless'
        s:send 'x'
        s:next()
        if how == 'lost' then
          mesh.sleep(100)
        elseif how == 'finish' then
          s:finish()
          s:next()
        else
          s[how](s, 'the disk is full')
        end
        return pcall(s.result, s)
      end, way[1])
      if way[1] == 'lost' then
        net:settle()
        a:finish(0)
      end
      b:wait_reports(i)
      local said = b:reports()[i]
      assert.equal(way[2], said[1])
      if way[3] then assert.matches(way[3], said[2]:lower()) end
      if way[1] == 'fail' then assert.equal('the disk is full', select(2, task:wait())) end
    end
  end)

  it('comes with a long silence, unless it is live', function()
    local n, err = a:eval(function(u)
      local n = 0
      local _, e = pcall(function()
        for _ in mesh.with { idle = 2 * u }.stream('live', u, 3) do n = n + 1 end
        for _ in mesh.with { idle = 2 * u }.stream('live', 4 * u, 3) do n = n + 1 end
      end)
      return n, e
    end, unit)
    assert.same({ 4, 'TIMEOUT' }, { n, err.code }) -- the first one may take longer
    assert.same({ 2, 2 }, { a:eval(function(u)
      local n = 0
      local s <close> = mesh.with { idle = 0 }.stream('live', 3 * u, 2)
      for _ in s do n = n + 1 end
      return n, s:result()
    end, unit) })
  end)

  it('is put off by what goes either way', function()
    assert.same({ 4, 'TIMEOUT' }, { a:eval(function(u)
      local s <close> = mesh.with { idle = 2 * u }.stream 'endless'
      local n = 0
      local ok, e = pcall(function()
        for _ = 1, 4 do
          mesh.sleep(u)
          s:send 'x'
          s:next()
          n = n + 1
        end
        s:next()
      end)
      return n, not ok and e.code
    end, unit) })
  end)

  it('is a broken protocol for an info that must not be there', function()
    for what, act in pairs {
      ['after a chunk'] = function(s, with)
        s:send(S.DATA, '\x01\x90', { label = with.label, flags = CALLEE, aux = 1 })
        s:send(S.INFO, '\x91\x01', with)
      end,
      ['twice'] = function(s, with)
        s:send(S.INFO, '\x91\x01', with)
        s:send(S.INFO, '\x91\x01', with)
      end,
      ['empty'] = function(s, with) s:send(S.INFO, '', with) end,
      ['too long'] = function(s, with) s:send(S.INFO, '\x91' .. ('x'):rep(8192), with) end,
      ['in pieces'] = function(s, with)
        s:send(S.INFO, '\x91', { label = with.label, flags = CALLEE | S.MORE })
      end,
      ['from the caller'] = function(s) s:send(S.INFO, '\x91\x01', { label = 1 }) end,
      ['of a call'] = function(s, with)
        local f = s:receive(S.CALL)
        s:send(S.INFO, '\x91\x01', { label = f.label, flags = with.flags })
      end,
    } do
      local s = S.greet(net, b)
      s:offer { 'evil' }
      local task = b:start(function(plain)
        mesh.wait 'evil'
        if plain then return mesh.call 'evil' end
        local stream <close> = mesh.stream 'evil'
        stream:next()
        stream:next()
      end, what == 'of a call')
      if what == 'from the caller' then s:call(1, 'live', {}, '\x92\x64\x01') end
      local f = what ~= 'of a call' and s:receive(S.CALL)
      act(s, { label = f and f.label, flags = CALLEE })
      assert.equal('PROTOCOL', s:goodbye().code, what)
      assert.equal('PROTOCOL', task:failure().code, what)
    end
  end)

  it('is told the handler with 255 bytes of a reason', function()
    local s = S.greet(net, b)
    s:call(1, 'endless', { stream = true, input = true, window_items = 1, window_bytes = 100 })
    s:receive(S.CREDIT)
    s:send(S.CANCEL, message.encode('cancel', { call_id = 1, reason = 'because' }), { label = 1 })
    assert.equal('CANCELLED', s:error(1).code)
    assert.same({ 'CANCELLED', 'because' }, { table.unpack(b:reports()[1]) })
    a:eval(function()
      local stream = mesh.stream 'endless'
      stream:send 'x'
      stream:next()
      stream:abort(('r'):rep(1000))
    end)
    b:wait_reports(2)
    assert.equal(('r'):rep(255), b:reports()[2][2])
  end)
end)
