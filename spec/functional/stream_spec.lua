local cluster = require 'spec.support.cluster'

-- luacheck: globals mesh report all_open, ignore 211/guard 431

local function producer()
  mesh.action('count', function(n)
    for i = 1, n do coroutine.yield(i) end
    return 'done', n
  end)
  mesh.action('slow', function(n)
    for i = 1, n do
      coroutine.yield(i)
      mesh.sleep(0.1)
    end
    report 'produced all'
    return n
  end)
  mesh.action('break after', function(n)
    for i = 1, n do coroutine.yield(i) end
    error { code = 'BROKEN', message = 'after ' .. n, details = { n = n } }
  end)
  mesh.action('endless', function()
    local guard <close> = setmetatable({}, { __close = function() report 'closed' end })
    local i = 0
    while true do
      i = i + 1
      coroutine.yield(i)
    end
  end)
  mesh.action('drip', function()
    local guard <close> = setmetatable({}, { __close = function() report 'closed' end })
    while true do
      coroutine.yield 'drop'
      mesh.sleep(0.01)
    end
  end)
  mesh.action('blocks', function(count, size)
    local block = string.rep('\xff', size)
    for _ = 1, count do coroutine.yield(block) end
    return count * size
  end)
  mesh.action('plain', function(...) return ... end)
  mesh.action('odd chunks', function()
    coroutine.yield()
    coroutine.yield(nil)
    coroutine.yield(nil, 2)
    coroutine.yield(1, 2, 3)
    coroutine.yield(false)
  end)
end

cluster.describe('a stream', cluster.kinds, function(over)
  local a, b

  before_each(function()
    b = over.net:node('b', {}, producer)
    a = over.net:node('a', { peers = { b } })
  end)

  it('brings the chunks in order, then the end and the result', function()
    local ok, n, result, count = a:eval(function()
      local expected = 0
      local s <close> = mesh.stream('count', 3000)
      for i in s do
        expected = expected + 1
        if i ~= expected then return false, i end
      end
      return true, expected, s:result()
    end)
    assert.is_true(ok)
    assert.equal(3000, n)
    assert.equal('done', result)
    assert.equal(3000, count)
  end)

  it('brings the first chunk before the producer is finished', function()
    local first = a:eval(function()
      local s <close> = mesh.stream('slow', 3)
      local _, i = s:next()
      return i
    end)
    assert.equal(1, first)
    assert.same({}, b:reported())
  end)

  it('brings exactly k chunks before the error of the producer', function()
    for _, k in ipairs { 0, 1, 7, 1500 } do
      local n, err = a:eval(function(chunks)
        local n = 0
        local _, err = pcall(function()
          for _ in mesh.stream('break after', chunks) do n = n + 1 end
        end)
        return n, err
      end, k)
      assert.equal(k, n)
      assert.equal('BROKEN', err.code)
      assert.equal('after ' .. k, err.message)
      assert.same({ n = k }, err.details)
      assert.equal('executed', err.outcome)
      assert.equal('break after', err.action)
    end
    assert.equal(5, a:eval(function() return mesh.call('plain', 5) end))
  end)

  it('stops its producer when the loop is left', function()
    a:eval(function()
      for i in mesh.stream 'endless' do
        if i == 5 then break end
      end
      local ok = pcall(function()
        for i in mesh.stream 'endless' do
          if i == 5 then error 'enough' end
        end
      end)
      assert(not ok)
    end)
    over.net:advance(0.05)
    assert.same({ 'closed', 'closed' }, b:reported())
    local m = over.net:metrics()
    assert.same({ 0, 0 }, { m.calls_now, m.requests_now })
    assert.is_true(m.chunks_sent < 2 * 1100, m.chunks_sent) -- no more than the window
  end)

  it('stops its producer when the handle is closed or collected', function()
    a:eval(function()
      local s = mesh.stream 'endless'
      s:next()
      s:close()
      s:close()
      assert(s:next() == false)
      do
        local closing <close> = mesh.stream 'endless'
        closing:next()
      end
      do
        local dropped = mesh.stream 'endless'
        dropped:next()
      end
      collectgarbage()
      collectgarbage()
    end)
    over.net:advance(0.05)
    assert.same({ 'closed', 'closed', 'closed' }, b:reported())
    assert.equal(0, over.net:metrics().calls_now)
  end)

  it('stops its producer when the consuming task is cancelled', function()
    local task = a:start(function()
      for i in mesh.stream 'endless' do
        if i == 10 then
          report 'reading'
          mesh.sleep(1000)
        end
      end
    end)
    a:wait_reports(1)
    task:cancel()
    over.net:wait(function() return task:ended() end)
    over.net:advance(0.05)
    assert.equal('cancelled', task:state())
    assert.same({ 'closed' }, b:reported())
  end)

  it('holds a fast producer back, and nothing else', function()
    local worst, before, after = a:eval(function()
      local s <close> = mesh.stream('blocks', 16384, 65536) -- a gigabyte
      s:next()
      collectgarbage()
      local memory, slowest = collectgarbage 'count', 0
      for _ = 1, 50 do
        local started = mesh.now()
        assert(mesh.call('plain', 1) == 1)
        slowest = math.max(slowest, mesh.now() - started)
        mesh.sleep(0.01)
      end
      collectgarbage()
      return slowest, memory, collectgarbage 'count'
    end)
    assert.is_true(worst < over.net:within(0.02), worst)
    assert.is_true(after - before < 1024, after - before)
    assert.is_true(over.net:metrics().chunks_sent < 16, over.net:metrics().chunks_sent)
  end)

  it('costs little beyond the bytes of its chunks', function()
    a:eval(function() mesh.wait 'blocks' end)
    over.net:settle()
    local before = over.net:metrics().bytes_written
    a:eval(function()
      for _ in mesh.stream('blocks', 500, 65536) do end
    end)
    local spent = over.net:metrics().bytes_written - before - 500 * 65536
    if over.kind ~= 'mem' then assert.is_true(spent > 0) end
    assert.is_true(spent < 0.002 * 500 * 65536, spent / (500 * 65536))
  end)

  it('is not bound by the timeout of a call once it flows', function()
    local n, result = a:eval(function()
      local s <close> = mesh.with { timeout = 0.3 }.stream('slow', 10)
      local n = 0
      for _ in s do n = n + 1 end
      return n, s:result()
    end)
    assert.same({ 10, 10 }, { n, result })
  end)

  it('gives every value of a chunk, and mesh.null for a first nil in a loop', function()
    local chunks = a:eval(function()
      local list = {}
      for x, y, z in mesh.stream 'odd chunks' do
        list[#list + 1] = { x == mesh.null and 'null' or x, y, z }
      end
      return list
    end)
    assert.same({ { 'null' }, { 'null' }, { 'null', 2 }, { 1, 2, 3 }, { false } }, chunks)
    local next_gives = a:eval(function()
      local s <close> = mesh.stream 'odd chunks'
      local list = {}
      for i = 1, 6 do list[i] = table.pack(s:next()) end
      return list
    end)
    assert.same({ n = 1, true }, next_gives[1])
    assert.same({ n = 2, true }, next_gives[2])
    assert.same({ n = 3, true, nil, 2 }, next_gives[3])
    assert.same({ n = 4, true, 1, 2, 3 }, next_gives[4])
    assert.same({ n = 2, true, false }, next_gives[5])
    assert.same({ n = 1, false }, next_gives[6])
  end)

  it('of an action that does not yield has no chunks, only the result', function()
    assert.same({ 0, 'x', 2 }, { a:eval(function()
      local n = 0
      local s <close> = mesh.stream('plain', 'x', 2)
      for _ in s do n = n + 1 end
      return n, s:result()
    end) })
  end)

  it('gives its result without its chunks when that is asked', function()
    assert.same({ 'done', 5000 }, { a:eval(function()
      local s <close> = mesh.stream('count', 5000)
      return s:result()
    end) })
    assert.same({ 'done', 3, 'done', false }, { a:eval(function()
      local s <close> = mesh.stream('count', 3)
      s:next()
      local r, n = s:result()
      return r, n, s:result(), (s:next())
    end) })
  end)

  it('never raises before it is read', function()
    local first, err, again = a:eval(function()
      local s <close> = mesh.stream 'nobody has this'
      local _, e = pcall(s.next, s)
      local _, e2 = pcall(s.result, s)
      return type(s), e, e2
    end)
    assert.equal('userdata', first)
    assert.equal('NOT_FOUND', err.code)
    assert.equal('nobody has this', err.action)
    assert.equal('NOT_FOUND', again.code)
  end)

  it('ends with STREAM_EXPECTED for a plain call of an action that yields', function()
    local err = a:fails(function() mesh.call 'endless' end)
    assert.equal('STREAM_EXPECTED', err.code)
    assert.equal('executed', err.outcome)
    assert.equal('endless', err.action)
    over.net:settle()
    assert.same({ 'closed' }, b:reported())
    assert.equal(0, over.net:metrics().requests_now)
  end)

  it('opened in a handler ends with that handler', function()
    a:eval(function()
      mesh.action('uses a stream', function()
        local s = mesh.stream 'endless'
        s:next()
        leaked = s -- luacheck: ignore 111 112
        return 'ok'
      end)
    end)
    assert.equal('ok', a:eval(function() return mesh.call 'uses a stream' end))
    over.net:advance(0.05)
    assert.same({ 'closed' }, b:reported())
    assert.equal('CANCELLED', a:fails(function()
      leaked:result() -- luacheck: ignore 113
    end).code)
  end)

  it('breaks for both ends when the link goes', function()
    local consumer = a:start(function()
      for _ in mesh.stream 'drip' do end
    end)
    over.net:wait(function() return over.net:metrics().chunks_received > 5 end)
    b:eval(function(id) mesh.disconnect(id, { abort = true }) end, a:id())
    local err = consumer:failure()
    assert.equal('PEER_LOST', err.code)
    over.net:wait(function() return #b:reported() == 1 end)
    assert.same({ 'closed' }, b:reported())
    assert.not_matches('task failed', over.net:log())
  end)

  it('is bounded by its longest gap', function()
    local err, n, took = a:eval(function()
      local n, started = 0, mesh.now()
      local _, e = pcall(function()
        for _ in mesh.with { idle = 0.05 }.stream('slow', 3) do n = n + 1 end
      end)
      return e, n, mesh.now() - started
    end)
    assert.equal('TIMEOUT', err.code)
    assert.equal(1, n)
    assert.is_true(took > 0.045 and took < over.net:within(0.09), took)
    assert.same({ 3, 3 }, { a:eval(function()
      local n = 0
      local s <close> = mesh.with { idle = 0 }.stream('slow', 3)
      for _ in s do n = n + 1 end
      return n, s:result()
    end) })
  end)

  it('waits for a consumer that is slow', function()
    assert.same({ 5000, 'done', 5000 }, { a:eval(function()
      local n = 0
      local s <close> = mesh.with { idle = 0.1 }.stream('count', 5000)
      for i in s do
        n = n + 1
        if i == 1 or i == 1500 then mesh.sleep(0.5) end
      end
      return n, s:result()
    end) })
  end)

  it('that ends with its handler does not look complete to who uses it elsewhere', function()
    a:eval(function()
      mesh.action('hands over', function()
        local s = mesh.stream('slow', 100)
        local n = 0
        mesh.spawn(function()
          local ok, err = pcall(function()
            for _ in s do n = n + 1 end
          end)
          report(not ok and err.code == 'CANCELLED' and n >= 2 and n < 100)
          for _, method in ipairs { 'next', 'info', 'result', 'send' } do
            ok, err = pcall(s[method], s)
            report(not ok and err.code == 'CANCELLED' and err.message:find 'ended with the handler' ~= nil)
          end
        end)
        while n < 2 do mesh.sleep(0.01) end
      end)
    end)
    a:eval(function() mesh.call 'hands over' end)
    a:wait_reports(5)
    assert.same({ true, true, true, true, true }, a:reported())
  end)

  it('of which the end has been read stays at its end when its handler has ended', function()
    a:eval(function()
      mesh.action('reads all', function()
        local s = mesh.stream('count', 3)
        while s:next() do end
        read = s -- luacheck: ignore 111
      end)
      mesh.call 'reads all'
    end)
    assert.is_false(a:eval(function() return (read:next()) end)) -- luacheck: ignore 113
  end)

  it('must begin within the timeout', function()
    b:eval(function()
      mesh.action('late', function()
        local guard <close> = setmetatable({}, { __close = function() report 'late closed' end })
        mesh.sleep(10)
        coroutine.yield(1)
      end)
    end)
    local err = a:fails(function()
      mesh.wait 'late'
      for _ in mesh.with { timeout = 0.1 }.stream 'late' do end
    end)
    assert.equal('TIMEOUT', err.code)
    over.net:advance(0.05)
    assert.same({ 'late closed' }, b:reported())
  end)
end)

cluster.describe('large streams', cluster.kinds, function(over)
  -- What only takes long is left out where a sanitizer makes it take much longer.
  for _, megabytes in ipairs { 1, 5, 10, (cluster.factor == 1 or over.kind == 'tcp') and 100 or nil } do
    it(('arrive byte for byte: %d MB'):format(megabytes), function()
      local b = over.net:node('b', {}, function()
        mesh.action('file', function(bytes)
          local crypto = require 'perilune.crypto'
          local sum, left, i = 0, bytes, 0
          local random = crypto.random(65536)
          while left > 0 do
            i = i + 1
            local block = (tostring(i) .. random):sub(1, math.min(left, 65536))
            left = left - #block
            sum = (sum * 31 + #block + block:byte(1 + i % #block) + block:byte(#block)) % 2 ^ 31 // 1 | 0
            if bytes <= 10e6 then report(block) end
            coroutine.yield(block)
          end
          return sum
        end)
      end)
      local a = over.net:node('a', { peers = { b } })
      local size = megabytes * 1000000
      local keep = size <= 10e6
      local received, ours, theirs = a:eval(function(bytes, all)
        local s <close> = mesh.stream('file', bytes)
        local total, sum, i = 0, 0, 0
        for block in s do
          i = i + 1
          total = total + #block
          sum = (sum * 31 + #block + block:byte(1 + i % #block) + block:byte(#block)) % 2 ^ 31 // 1 | 0
          if all then report(block) end
        end
        return total, sum, (s:result())
      end, size, keep)
      assert.equal(size, received)
      assert.equal(theirs, ours)
      if keep then assert.equal(table.concat(b:reported()), table.concat(a:reported())) end
    end)
  end

  it('carry values longer than the window', function()
    local b = over.net:node('b', {}, function()
      mesh.action('long', function()
        coroutine.yield(('x'):rep(3000000))
        coroutine.yield 'short'
        coroutine.yield(('y'):rep(1000000), ('z'):rep(500000))
        return ('r'):rep(2000000)
      end)
    end)
    local a = over.net:node('a', { peers = { b } })
    assert.same({ 3000000, 5, 1500000, 2000000 }, a:eval(function()
      local sizes = {}
      local s <close> = mesh.stream 'long'
      for one, two in s do sizes[#sizes + 1] = #one + #(two or '') end
      sizes[#sizes + 1] = #s:result()
      return sizes
    end))
  end)
end)

cluster.describe('many streams', { 'mem', 'tcp' }, function(over)
  it('run side by side up to a bound, and the next is refused', function()
    local b = over.net:node('b', {}, function()
      local all = mesh.spawn(function()
        while not all_open do mesh.sleep(0.05) end
      end)
      mesh.action('tick', function(n)
        for i = 1, n do
          coroutine.yield(i)
          all:await()
        end
        return n
      end)
      mesh.action('all are open', function() all_open = true end)
      mesh.action('streams back', function() return (select(2, mesh.stream('the other way'):next())) end)
    end)
    local a = over.net:node('a', { peers = { b } }, function()
      mesh.action('the other way', function() coroutine.yield 'flows' end)
    end)
    b:eval(function() mesh.wait 'the other way' end)
    local opened, err, sum, after, back = a:eval(function()
      local streams, opened = {}, 0
      for i = 1, 1000 do
        local s = mesh.stream('tick', 5)
        streams[i] = s
        local _, n = s:next()
        opened = opened + n
      end
      local _, refused = pcall(function() (mesh.stream('tick', 1)):next() end)
      local back = mesh.call 'streams back'
      mesh.call 'all are open'
      local sum = 0
      for _, s in ipairs(streams) do
        for n in s do sum = sum + n end
        sum = sum + s:result()
      end
      return opened, refused, sum, (mesh.stream('tick', 1)):result(), back
    end)
    assert.equal(1000, opened)
    assert.equal('flows', back) -- each direction has its own
    assert.equal('BUSY', err.code)
    assert.equal('not_executed', err.outcome)
    assert.equal(1000 * (2 + 3 + 4 + 5 + 5), sum)
    assert.equal(1, after)
  end)
end)
