--- Streams that change hands: as arguments, chunks and results, over relays, and whatever breaks on the way.

local cluster = require 'spec.support.cluster'
local passing = require 'spec.support.passing'
local stranger = require 'spec.support.stranger'
local testing = require 'perilune.testing'

-- luacheck: globals mesh report

local S = stranger
local put = testing.wire.msgpack.put
local producer, consumer = passing.producer, passing.consumer

cluster.describe('a stream that is passed on', { 'mem', 'tcp' }, function(over)
  local net, p, g, c

  --- A producer, who gives, and who gets: neighbours.
  before_each(function()
    net = over.net
    p = net:node('p', {}, producer)
    c = net:node('c', { peers = { p } }, consumer)
    g = net:node('g', { peers = { p, c } })
    g:eval(function()
      mesh.wait 'bulk'
      mesh.wait 'measure'
    end)
  end)

  local function metric(name) return net:metrics()[name] end

  local function at_rest()
    net:wait(function()
      return metric 'calls_now' == 0 and metric 'requests_now' == 0 and metric 'streams_kept_now' == 0
    end, 'everything to end')
  end

  it('is consumed by who received it', function()
    assert.same({ 'mine', 5050, 'done' }, { g:eval(function()
      local name, total, done = mesh.call('sum', 'mine', (mesh.stream('count', 100)))
      return name, total, done
    end) })
    at_rest()
    assert.equal(1, metric 'streams_passed')
  end)

  it('moves with what is left of it', function()
    assert.equal(5050 - 1 - 2, g:eval(function()
      local s = mesh.stream('count', 100)
      s:next()
      s:next()
      return (select(2, mesh.call('sum', 'mine', s)))
    end))
    at_rest()
  end)

  it('may have ended already, with chunks that wait', function()
    assert.equal(10, g:eval(function()
      local s = mesh.stream('count', 4)
      s:send()
      mesh.sleep(0.05)
      return (select(2, mesh.call('sum', 'mine', s)))
    end))
  end)

  it('goes both ways, in the midst of tables', function()
    assert.same({ 'hi ', 'hi word 1', 'hi word 2', 'hi word 3', 'heard all' }, g:eval(function()
      return mesh.call('talk', { deep = { { stream = (mesh.stream('echo', 'hi ')) }, 2 } })
    end))
    at_rest()
  end)

  it('may be a result, a chunk, and what is sent into another stream', function()
    g:eval(function()
      mesh.action('open', function(n) return 'here', (mesh.stream('count', n)) end)
      mesh.action('several', function()
        for n = 1, 3 do coroutine.yield(n, (mesh.stream('count', n))) end
      end)
      mesh.action('add up', function()
        local total = 0
        for s in mesh.input() do
          for i in s do total = total + i end
        end
        return total
      end)
    end)
    assert.same({ 55, 'done' }, { c:eval(function()
      mesh.wait 'open'
      local _, s = mesh.call('open', 10)
      local total = 0
      for i in s do total = total + i end
      return total, (s:result())
    end) })
    assert.equal(1 + 3 + 6, c:eval(function()
      local total = 0
      for _, s in mesh.stream 'several' do
        for i in s do total = total + i end
      end
      return total
    end))
    assert.equal(1 + 3, c:eval(function()
      local up = mesh.stream 'add up'
      up:send((mesh.stream('count', 1)))
      up:send((mesh.stream('count', 2)))
      up:finish()
      return up:result()
    end))
    at_rest()
  end)

  it('brings its error along', function()
    local e = c:fails(function() return mesh.with { node = 'c' }.call('sum', 'x', (mesh.stream 'fail')) end)
    assert.same({ 'OUT_OF_STOCK', 0 }, { e.code, e.details.left })
    local far = g:fails(function() return mesh.call('sum', 'x', (mesh.stream 'fail')) end)
    assert.same({ 'OUT_OF_STOCK', 'no more', 0, 'executed' }, { far.code, far.message, far.details.left, far.outcome })
    assert.equal('NOT_FOUND', g:fails(function() mesh.call('sum', 'x', (mesh.stream 'nowhere')) end).code)
    at_rest()
  end)

  it('is the script\'s no more', function()
    local errors = g:eval(function()
      local s = mesh.stream('count', 3)
      mesh.call('sum', 'x', s)
      local said = {}
      for i, fn in ipairs { s.next, s.result, s.send, s.finish, s.info, s.drain } do
        local _, e = pcall(fn, s)
        said[i] = e.code .. ' ' .. e.message
      end
      local _, e = pcall(mesh.call, 'sum', 'x', s)
      said[#said + 1] = e.message
      s:close()
      said[#said + 1] = tostring(s)
      return said
    end)
    for i = 1, 6 do assert.matches('INVALID this stream was passed on', errors[i]) end
    assert.equal('args[2] is a stream that was passed on already', errors[7])
    assert.matches('passed on', errors[8])
  end)

  it('stays where it is when the call cannot be made', function()
    assert.same({ 6, 'NOT_FOUND', 'args[2].x is a function', 'args[3] is a stream that is there twice' },
      { g:eval(function()
        local s = mesh.stream('count', 3)
        local _, e1 = pcall(mesh.call, 'nowhere', s)
        local _, e2 = pcall(mesh.call, 'sum', s, { x = print })
        local _, e3 = pcall(mesh.call, 'sum', 'x', s, s)
        local total = 0
        for i in s do total = total + i end
        return total, e1.code, e2.message, e3.message
      end) })
  end)

  it('cannot be written where nobody takes it, nor as JSON', function()
    g:eval(function() mesh.action('json', function() end, { serializer = 'json' }) end)
    local said = c:eval(function()
      mesh.wait 'json'
      local s <close> = mesh.stream('count', 1)
      local closed = mesh.stream('count', 1)
      closed:close()
      local said = {}
      for i, fn in ipairs {
        function() mesh.call('json', 1, { a = s }) end,
        function() mesh.with { meta = { s = s } } end,
        function() require('perilune.json').encode { s } end,
        function() require('perilune.msgpack').encode { s } end,
        function() mesh.call('sum', 'x', closed) end,
      } do
        said[i] = select(2, pcall(fn)).message
      end
      return said
    end)
    assert.same('args[2].a is a stream, which JSON does not have', said[1])
    assert.matches('s is a stream, which only calls, chunks and results can pass on$', said[2])
    assert.matches('is a stream, which JSON does not have$', said[3])
    assert.matches('is a stream, which only calls', said[4])
    assert.same('args[2] is a stream that is closed', said[5])
  end)

  it('is passed on once more, as it came', function()
    assert.equal(5050, g:eval(function()
      local s = mesh.call('through', (mesh.stream('count', 100)))
      local total = 0
      for i in s do total = total + i end
      return total
    end))
    assert.equal(2, metric 'streams_passed')
    at_rest()
  end)

  it('is passed on once more when some of it was used', function()
    local total = p:eval(function()
      mesh.wait 'first and through'
      local s = mesh.call('first and through', (mesh.stream('count', 100)))
      local total = 0
      for i in s do total = total + i end
      return total
    end)
    assert.equal(5050 - 1, total)
    at_rest()
  end)

  it('ends when who received it does not use it', function()
    g:eval(function() return mesh.call('ignore', (mesh.stream 'endless')) end)
    p:wait_reports(1)
    at_rest()
    assert.equal('NOPE', g:fails(function() return mesh.call('refuse', (mesh.stream 'endless')) end).code)
    p:wait_reports(2)
    at_rest()
    g:eval(function() return mesh.call('first', (mesh.stream 'endless')) end)
    p:wait_reports(3)
    at_rest()
  end)

  it('ends with a call that is cancelled, or that nobody takes', function()
    local calling = g:start(function() mesh.call('keep', (mesh.stream 'silent')) end)
    net:wait(function() return metric 'streams_kept_now' == 1 end, 'the stream to be kept')
    net:settle()
    calling:cancel()
    p:wait_reports(1)
    at_rest()
    g:eval(function()
      local s = mesh.stream('sum', 'x', (mesh.stream 'silent')) -- is never opened
      mesh.sleep(0.1)
      s:close()
    end)
    p:wait_reports(2)
    at_rest()
  end)

  it('ends when nobody comes for it in time', function()
    if not net.virtual then return end
    local calling = g:start(function()
      local live = mesh.with { timeout = 0, idle = 0 }
      live.call('keep', (live.stream 'silent'))
    end)
    net:advance(59)
    assert.same({ 1, 0 }, { metric 'streams_kept_now', metric 'streams_unclaimed' })
    net:advance(2)
    assert.same({ 0, 1 }, { metric 'streams_kept_now', metric 'streams_unclaimed' })
    assert.same({ 'CANCELLED' }, p:reported())
    calling:cancel()
    at_rest()
  end)

  it('is given to who comes first, and to nobody who guesses', function()
    local s = S.greet(net, g)
    local function come(label, token, fields)
      fields = fields or { stream = true, window_items = 10, window_bytes = 65536 }
      s:call(label, '_stream', fields, put('array', 1) .. put('bin', token))
    end
    come(1, ('x'):rep(16))
    local e = s:error(1)
    assert.same({ 'CLOSED', 1 }, { e.code, e.outcome })
    for i, args in ipairs { '\x90', '\x91\xc0', put('array', 1) .. put('bin', 'short'), '\xc1',
      put('array', 2) .. put('bin', ('x'):rep(16)) .. '\xc0',
      put('array', 1) .. put('bin', ('x'):rep(16)) .. '\xc0' } do
      s:call(2 * i + 1, '_stream', { stream = true }, args)
      assert.equal('CLOSED', s:error(2 * i + 1).code)
    end
    -- One who is given a stream, and comes for it twice.
    s:offer { 'mine' }
    local giving = g:start(function()
      mesh.wait 'mine'
      return mesh.call('mine', (mesh.stream('count', 3)))
    end)
    local call = s:receive(S.CALL)
    local token = call.body:match('\x02\xc4\x10(' .. ('.'):rep(16) .. ')', -60)
    come(101, token)
    come(103, token)
    assert.equal('CLOSED', s:error(103).code)
    assert(s:receive(S.RESULT, 101))
    come(105, token)
    assert.equal('CLOSED', s:error(105).code)
    giving:cancel()
    net:settle()
    s:close()
    at_rest()
    assert.is_nil(net:log():find(token, 1, true))
  end)

  it('names a neighbour of the giver, of whom those further away may not have heard yet', function()
    local giver = net:node('giver', {}, function()
      mesh.action('own', function() mesh.sleep(1000) end)
    end)
    local neighbour = ('v'):rep(16)
    local s = S.greet(net, giver, { id = neighbour })
    s:offer { 'mine' }
    local giving = giver:start(function()
      mesh.wait 'mine'
      return mesh.call('mine', (mesh.stream 'own'))
    end)
    assert.matches('\x05\xc4\x10' .. neighbour, s:receive(S.CALL).body)
    giving:cancel()
    s:close()
    at_rest()
  end)

  it('may be refused by one word, and then is cancelled', function()
    local s = S.greet(net, g)
    s:offer { 'mine' }
    local giving = g:start(function()
      mesh.wait 'mine'
      return mesh.call('mine', (mesh.stream 'endless'))
    end)
    local token = s:receive(S.CALL).body:match('\x02\xc4\x10(' .. ('.'):rep(16) .. ')', -60)
    s:call(101, '_stream', {}, put('array', 1) .. put('bin', token))
    assert(s:receive(S.RESULT, 101))
    p:wait_reports(1)
    giving:cancel()
    s:close()
    at_rest()
  end)

  it('forged by a stranger harms nobody', function()
    local s = S.greet(net, c)
    local function ext(body) return put('array', 1) .. '\xc7' .. string.char(#body) .. '\x01' .. body end
    local map = put('map', 2) .. put('int', 1) .. put('bin', ('n'):rep(16)) .. put('int', 2)
    for i, body in ipairs {
      '', '\xc1', map, map .. put('bin', 'short'), put('map', 0), map .. put('bin', ('\0'):rep(16)),
    } do
      s:call(2 * i - 1, 'first', {}, ext(body))
      assert.equal('PROTOCOL', s:error(2 * i - 1).code)
    end
    s:call(21, 'first', {}, ext(map .. put('bin', ('t'):rep(16))))
    assert.equal('NO_ROUTE', s:error(21).code)
    s:call(23, 'ignore', {}, ext(map .. put('bin', ('t'):rep(16))))
    assert(s:receive(S.RESULT, 23))
    s:close()
    at_rest()
  end)

  it('flows through as fast as it is read, and is held nowhere', function()
    local blocks, size = 800, 64 * 1024
    local peak = 0
    local run = g:start(function(n, bytes)
      return mesh.with { timeout = 0 }.call('measure', (mesh.stream('bulk', n, bytes)))
    end, blocks, size)
    net:wait(function()
      peak = math.max(peak, metric 'held_bytes_now')
      return run:ended()
    end, 'the end')
    local bytes, said = run:wait()
    assert.same({ blocks * size, blocks }, { bytes, said })
    assert.is_true(peak < 20 * 1024 * 1024, ('%d bytes were held'):format(peak))
    at_rest()
  end)

  it('waits for a reader that takes nothing', function()
    c:eval(function()
      mesh.action('slow', function(s)
        s:next()
        mesh.sleep(0.1)
        return (select(2, s:next()))
      end)
    end)
    assert.equal(2, g:eval(function()
      mesh.wait 'slow'
      return mesh.call('slow', (mesh.stream 'endless'))
    end))
    assert.is_true(metric 'held_bytes_now' < 4 * 1024 * 1024)
    p:wait_reports(1)
    at_rest()
  end)
end)
