-- Streams from the caller to the handler, and in both directions.

local cluster = require 'spec.support.cluster'
local readers = require 'spec.support.readers'

-- luacheck: globals mesh report leaked read, ignore 211/guard 431

local PATIENT, WINDOW_BYTES, WINDOW_ITEMS = readers.PATIENT, readers.WINDOW_BYTES, 1024
local AHEAD = 64 * 1024 -- that waits at the sender
local ITEM_COST = 128

cluster.describe('a stream to the handler', cluster.kinds, function(over)
  local net, a, b

  before_each(function()
    net, a, b = readers.pair(over)
  end)

  it('brings the chunks in order, with all their values, and ends', function()
    local all, x = a:eval(function()
      local s <close> = mesh.stream('collect', 'x')
      assert(s:send(1, 'one'))
      assert(s:send(2.5))
      assert(s:send(nil, 'second'))
      assert(s:send())
      assert(s:send({ a = { 1 } }, false))
      s:finish()
      return s:result()
    end)
    assert.equal('x', x)
    assert.same({ { 1, 'one' }, { 2.5 }, { 'null', 'second' }, { 'null' }, { { a = { 1 } }, false } }, all)
  end)

  it('and back: ten thousand messages in turn, then both ends', function()
    local n, more, result = a:eval(function(count)
      local s <close> = mesh.stream 'echo'
      for i = 1, count do
        assert(s:send(i, 'x'))
        local ok, value = s:next()
        if not ok or value ~= i then return i end
      end
      s:finish()
      return count, s:next(), s:result()
    end, PATIENT and 2000 or 10000)
    assert.same({ PATIENT and 2000 or 10000, false, 'bye' }, { n, more, result })
  end)

  it('and back, read and written by different tasks', function()
    local n, sum = a:eval(function(count)
      local s <close> = mesh.stream 'echo'
      mesh.spawn(function()
        for i = 1, count do s:send(i) end
        s:finish()
      end)
      local n, sum = 0, 0
      for i in s do n, sum = n + 1, sum + i end
      return n, sum
    end, 5000)
    assert.same({ 5000, 5000 * 5001 // 2 }, { n, sum })
  end)

  it('waits for a slow reader, in bounded memory, and nothing else does', function()
    local blocks = PATIENT and 160 or 1600 -- of 64 KiB: 100 MiB
    a:eval(function() mesh.wait 'sum' end)
    local before = b:memory() + a:memory()
    local upload = a:start(function(count)
      local s <close> = mesh.stream 'sum'
      local sum = 0
      for i = 1, count do
        local block = string.char(i % 251):rep(65536)
        sum = (sum * 31 + 2 * (i % 251)) % 1000000007
        assert(s:send(block, i % 32 == 0 and 0.001 or nil))
      end
      s:finish()
      local n, bytes, got = s:result()
      return n, bytes, got == sum
    end, blocks)
    local most, slowest = 0, 0
    while not upload:ended() do
      local started = net:now()
      assert.equal(1, (a:eval(function() return mesh.call('plain', 1) end)))
      slowest = math.max(slowest, net:now() - started)
      most = math.max(most, b:memory() + a:memory() - before)
    end
    assert.same({ blocks, blocks * 65536, true }, { upload:wait() })
    assert.is_true(most < 4 * 1024 * 1024, most)
    assert.is_true(slowest < net:within(0.02), slowest)
  end)

  it('to a handler that never reads takes a window at most, and costs no error', function()
    for _, size in ipairs { 1, 1000, 65536 } do
      local n, result = a:eval(function(bytes)
        local s <close> = mesh.stream 'deaf'
        local n, block = 0, ('x'):rep(bytes)
        while s:send(block) do n = n + 1 end
        return n, s:result()
      end, size)
      assert.equal('never read', result)
      assert.is_true(n * (size + ITEM_COST) <= AHEAD + size + ITEM_COST, n)
    end
    assert.equal(0, net:metrics().protocol_errors)
  end)

  it('says that the handler reads no more when that leaves its loop, and goes on', function()
    for _, k in ipairs { 1, 5, 2000 } do
      local n, before, chunk, ended, result = a:eval(function(count)
        local s <close> = mesh.stream('first', count)
        local n = 0
        while s:send(n) do n = n + 1 end
        local _, chunk = s:next()
        return n, s:send 'x', chunk, s:next(), s:result()
      end, k)
      assert.same({ false, 'more', false, k }, { before, chunk, ended, result })
      assert.is_true(n >= k - 1 and n <= k + 2 * WINDOW_ITEMS + AHEAD // ITEM_COST, n)
    end
    assert.equal(0, net:metrics().protocol_errors)
  end)

  it('with long chunks stops in the midst of one', function()
    local n, result = a:eval(function()
      local s <close> = mesh.stream('first', 1)
      local n, block = 0, ('x'):rep(1000000)
      while s:send(block) do n = n + 1 end
      return n, s:result()
    end)
    assert.is_true(n <= 3, n)
    assert.equal(1, result)
    assert.equal(5, a:eval(function() return mesh.call('plain', 5) end))
  end)

  it('is over when the handler has ended: send says false, and there is the result', function()
    local sent, again, result, last = a:eval(function()
      local s <close> = mesh.stream('plain', 7)
      local result = s:result()
      return s:send(1), s:send(2), result, s:drain()
    end)
    assert.same({ false, false, 7, false }, { sent, again, result, last })
  end)

  it('raises to the sender what the handler failed with, and what kept it from running', function()
    local err = a:fails(function()
      local s <close> = mesh.stream 'fails'
      while true do s:send(1) end
    end)
    assert.same({ 'FULL', 'no room', 'executed' }, { err.code, err.message, err.outcome })
    err = a:fails(function()
      local s <close> = mesh.stream 'nobody has it'
      s:send(1)
    end)
    assert.same({ 'NOT_FOUND', 'nobody has it' }, { err.code, err.action })
  end)

  it('is read through coroutines of the script, and step by step', function()
    assert.same({ { 1, -1, 2, -2 } }, { a:eval(function()
      return (mesh.with { input = table.pack(ipairs { 'a', 'b' }) }.call 'nested')
    end) })
    assert.same({ 'head', 3, true, true }, { a:eval(function()
      local s <close> = mesh.stream 'header'
      for _, chunk in ipairs { 'head', 1, 2, 3 } do s:send(chunk) end
      s:finish()
      return s:result()
    end) })
  end)

  it('of a plain call has no chunks, and no end but that', function()
    assert.same({ {}, 'y' }, { a:eval(function() return mesh.call('collect', 'y') end) })
  end)

  it('ends at once when nothing is sent', function()
    assert.same({ {} }, { a:eval(function()
      local s <close> = mesh.stream 'collect'
      s:finish()
      s:finish()
      return s:result()
    end) })
  end)

  it('that is closed, dropped or left by its task is no complete one', function()
    local ways = a:start(function()
      local function until_read(n)
        while (read or 0) < n do mesh.sleep(0.005) end
      end
      do
        local s = mesh.stream 'waits'
        s:send 'a'
        until_read(1)
        s:close()
        assert(s:send 'b' == false)
        s:finish()
      end
      do
        local s <close> = mesh.stream 'waits'
        s:send 'b'
        until_read(2)
      end
      do
        local s = mesh.stream 'waits'
        s:send 'c'
        until_read(3)
      end
      collectgarbage()
      collectgarbage()
    end)
    for i = 1, 3 do
      b:wait_reports(4 * i - 2)
      a:eval(function(n) read = n end, i)
      b:wait_reports(4 * i)
    end
    ways:wait()
    local all = b:reports()
    for i = 0, 2 do
      assert.same({ 'began', 'chunk', 'broken', 'closed' },
        { all[4 * i + 1][1], all[4 * i + 2][1], all[4 * i + 3][1], all[4 * i + 4][1] })
      assert.equal('CANCELLED', all[4 * i + 3][2])
    end
    net:settle()
    assert.equal(0, net:metrics().requests_now)
  end)

  it('breaks for both ends when the link goes', function()
    local sender = a:start(function()
      local s <close> = mesh.stream 'sum'
      while true do s:send(('x'):rep(10000), 0.001) end
    end)
    local reader = a:start(function()
      local s <close> = mesh.stream 'waits'
      s:send 'x'
      s:result()
    end)
    b:wait_reports(2)
    b:eval(function(id) mesh.disconnect(id, { abort = true }) end, a:id())
    for _, task in ipairs { sender, reader } do
      local err = task:failure()
      assert.same({ 'PEER_LOST', 'unknown' }, { err.code, err.outcome })
    end
    b:wait_reports(4)
    assert.same({ 'broken', 'PEER_LOST' }, { b:reports()[3][1], b:reports()[3][2] })
    assert.not_matches('task failed', net:log())
  end)

  it('ends with a node that stops without waiting, at its end', function()
    local reader = a:start(function()
      local s <close> = mesh.stream 'waits'
      s:send 'x'
      s:result()
    end)
    b:wait_reports(2)
    b:finish(0)
    assert.is_truthy(reader:failure().code)
  end)

  it('cannot be sent into when it was finished, nor by two tasks at once', function()
    local err = a:fails(function()
      local s <close> = mesh.stream 'collect'
      s:finish()
      s:send 'x'
    end)
    assert.matches('has been finished', err)
    assert.matches('input_spec.lua:%d+:', err)
    err = a:fails(function()
      local s <close> = mesh.stream 'deaf'
      mesh.spawn(function()
        while s:send(('x'):rep(60000)) do end
      end)
      mesh.sleep(0.02)
      s:send 'y'
    end)
    assert.equal('INVALID', err.code)
    assert.matches('another task is sending', err.message)
  end)

  it('is nothing for who is no handler', function()
    assert.matches('only possible in the task of a handler', a:fails(function() mesh.input() end))
    assert.matches('the handler of this input has ended', a:fails(function()
      mesh.action('leaks', function() leaked = mesh.input() end)
      local s <close> = mesh.stream 'leaks'
      s:result()
      leaked()
    end).message)
  end)

  it('outlives a handle that a script has finalized by hand', function()
    assert.matches('has ended', a:eval(function()
      mesh.action('finalizes', function()
        local input = mesh.input()
        getmetatable(input).__gc(input)
        input:close()
        return select(2, pcall(input)).message
      end)
      local s <close> = mesh.stream 'finalizes'
      return s:result()
    end))
  end)

  it('posts without waiting, says when much waits, and when that is gone', function()
    local first, count, drained, result = a:eval(function(cost)
      local s <close> = mesh.stream 'sum'
      local block, count = ('x'):rep(4096 - cost), 1
      local first = s:post(block, 0.0001)
      while s:post(block, 0.0001) do count = count + 1 end
      local drained = s:drain()
      s:finish()
      return first, count, drained, s:result()
    end, ITEM_COST)
    assert.is_true(first)
    assert.is_true(drained)
    assert.equal(count + 1, result)
    assert.is_true(count <= (WINDOW_BYTES + AHEAD) // 3900 + 3, count)
  end)

  it('that is posted into without end is refused where it would grow too much', function()
    local n, err, drained = a:eval(function()
      local s <close> = mesh.stream 'deaf'
      local n, block = 0, ('x'):rep(10000)
      local ok, err
      repeat
        ok, err = pcall(s.post, s, block)
        n = n + 1
      until not ok
      return n, err, s:drain()
    end)
    assert.is_true(n <= 1024 * 1024 // 10000 + 3, n)
    assert.same({ 'BUSY', 'not_sent' }, { err.code, err.outcome })
    assert.is_false(drained)
  end)

  it('is no less to an action of the node itself', function()
    local all, n = b:eval(function()
      local s <close> = mesh.stream 'deaf'
      local n = 0
      while s:send(('x'):rep(1000)) do n = n + 1 end
      return mesh.with { input = table.pack(ipairs { 'a' }) }.call 'collect', n
    end)
    assert.same({ { 1, 'a' } }, all)
    assert.is_true(n <= AHEAD // (1000 + ITEM_COST) + 1, n)
  end)
end)
