-- Uploads: streams to a handler that an iterator feeds, wait for their handler, or go over relays.

local cluster = require 'spec.support.cluster'
local readers = require 'spec.support.readers'

-- luacheck: globals mesh report, ignore 211/guard 431

local PATIENT, WINDOW_BYTES = readers.PATIENT, readers.WINDOW_BYTES

cluster.describe('an upload', cluster.kinds, function(over)
  local net, a, b

  before_each(function()
    net, a, b = readers.pair(over)
  end)

  describe('from an iterator', function()
    it('is a call with one result', function()
      assert.same({ { { 1, 'a' }, { 2, 'b' } }, 'arg' }, { a:eval(function()
        return mesh.with { input = table.pack(ipairs { 'a', 'b' }) }.call('collect', 'arg')
      end) })
      assert.same({ { { 3 }, { 2 }, { 1 } } }, { a:eval(function()
        local n = 4
        return mesh.with { input = function()
          n = n - 1
          mesh.sleep(0.001)
          return n > 0 and n or nil
        end }.call 'collect'
      end) })
      assert.same({ { { 'once' } } }, { a:eval(function()
        local left = { 'once' }
        local callable = setmetatable({}, { __call = function() return table.remove(left) end })
        return mesh.with { input = callable }.call 'collect'
      end) })
    end)

    it('may be a stream', function()
      assert.same({ 'a', 'b' }, a:eval(function()
        local list = {}
        for _, v in mesh.with { input = table.pack(ipairs { 'a', 'b' }) }.stream 'echo' do list[#list + 1] = v end
        return list
      end))
    end)

    it('that fails cancels the call, and is raised', function()
      for _, how in ipairs { 'call', 'stream' } do
        local err = a:fails(function(kind)
          local n = 0
          local via = mesh.with { input = function()
            n = n + 1
            mesh.sleep(0.01)
            if n == 3 then error { code = 'BAD_FILE', message = 'gone' } end
            return n
          end }
          if kind == 'call' then return via.call 'waits' end
          local s <close> = via.stream 'waits'
          return s:result()
        end, how)
        assert.equal('BAD_FILE', err.code)
      end
      b:wait_reports(10)
      assert.same({ 'began', 'chunk', 'chunk', 'broken', 'closed' }, { table.unpack(b:reported(), 1, 5) })
    end)

    it('ends with the call, also while it waits', function()
      assert.same({ 2, 'closed' }, { a:eval(function()
        local closed
        local guard = setmetatable({}, { __close = function() closed = 'closed' end })
        local function each(_, n)
          n = n + 1
          if n > 2 then mesh.sleep(1000) end
          return n
        end
        local s <close> = mesh.with { input = { each, nil, 0, guard } }.stream('first', 2)
        local result = s:result()
        mesh.with { input = { each, nil, 0, guard } }.call('plain')
        return result, closed
      end) })
    end)

    it('is bounded by its gaps, or by a timeout that is given', function()
      local err, took = a:eval(function()
        local started = mesh.now()
        local function slow() mesh.sleep(1000) end
        local _, e = pcall(mesh.with { input = slow, timeout = 0.1 }.call, 'collect')
        return e, mesh.now() - started
      end)
      assert.equal('TIMEOUT', err.code)
      assert.is_true(took > 0.09 and took < net:within(0.2), took)
      local n, late = a:eval(function()
        local function each(_, n)
          mesh.sleep(0.04)
          n = (n or 0) + 1
          if n < 5 then return n end
          mesh.sleep(1000)
        end
        local s <close> = mesh.with { idle = 0.1, input = each }.stream 'echo'
        local n = 0
        local _, e = pcall(function() for _ in s do n = n + 1 end end)
        return n, e
      end)
      assert.same({ 4, 'TIMEOUT' }, { n, late.code })
    end)

    it('is not bound by the timeout of a call once it flows', function()
      local c = net:node('c', { peers = { b }, request_timeout = 0.1 })
      assert.same({ 6 }, { c:eval(function()
        local n = 0
        local all = mesh.with { input = function()
          mesh.sleep(0.03)
          n = n + 1
          return n <= 6 and n or nil
        end }.call 'collect'
        return #all
      end) })
    end)
  end)

  it('feeds whatever an iterator gives, one that waits and one in C too', function()
    local waited, of_c, held = a:eval(function()
      local n = 0
      local function slow()
        n = n + 1
        mesh.sleep(0.001)
        if n <= 3 then return n, nil, 'third' end
      end
      local held = {}
      local function every(list, i)
        i = i + 1
        held[#held + 1] = i
        if list[i] then return i, list[i] end
      end
      local collect = function(input) return mesh.with { input = input }.call 'collect' end
      return collect(slow), collect { string.gmatch('a b c', '%a') }, collect { every, { 'x', 'y' }, 0 } and held
    end)
    assert.equal(3, #waited)
    assert.equal(3, #of_c)
    assert.same({ 1, 2, 3 }, held)
  end)

  it('waits with its handler for a free slot, and goes elsewhere when there is none', function()
    a:eval(function()
      mesh.action('one', function()
        local n = 0
        for _ in mesh.input() do n = n + 1 end
        return n, mesh.self().name
      end, { concurrency = 1, queue = 1 })
    end)
    local tasks = {}
    for i = 1, 2 do
      tasks[i] = b:start(function()
        mesh.wait 'one'
        local s <close> = mesh.stream 'one'
        s:send(1)
        mesh.sleep(0.1)
        s:send(2)
        s:finish()
        return s:result()
      end)
    end
    for _, task in ipairs(tasks) do assert.same({ 2, 'a' }, { task:wait() }) end

    local c = net:node('c', { peers = { a, b } }, function()
      mesh.action('one', function()
        local n = 0
        for _ in mesh.input() do n = n + 1 end
        return n, 'c'
      end)
    end)
    a:eval(function()
      mesh.action('one', function() mesh.sleep(1000) end, { concurrency = 1, queue = 0 })
    end)
    local holder = b:start(function(id) mesh.with { node = id, timeout = 0 }.call 'one' end, a:id())
    net:settle()
    for _ = 1, 4 do
      assert.same({ 3, 'c' }, { b:eval(function()
        mesh.wait 'one'
        local s <close> = mesh.with { strategy = 'round_robin' }.stream 'one'
        for i = 1, 3 do s:send(i) end
        s:finish()
        return s:result()
      end) })
    end
    holder:cancel()
    assert(c)
  end)
end)

cluster.describe('an upload in trouble', { 'mem', 'tcp' }, function(over)
  local net, a, b

  before_each(function()
    net = over.net
    b = net:node('b', {}, readers.script)
  end)

  it('goes on over another link, with nothing lost or twice', function()
    local proxy = net:proxy(b)
    a = net:node('a', { peers = { proxy:url() } })
    a:eval(function() mesh.wait 'echo' end)
    proxy:cut_every(over.kind == 'mem' and 200000 or 500000)
    local n, sum = a:eval(function(count)
      local n, sum = 0, 0
      local each = function(_, i) return i < count and i + 1 or nil, ('x'):rep(10000) end
      for i, block in mesh.with { input = { each, nil, 0 } }.stream 'echo' do
        n, sum = n + 1, sum + i
        assert(i == n and #block == 10000)
      end
      return n, sum
    end, 300)
    proxy:cut_every(0)
    assert.same({ 300, 300 * 301 // 2 }, { n, sum })
    assert.is_true(proxy:cuts() > 1)
  end)

  it('that is cancelled with its task is no complete one', function()
    a = net:node('a', { peers = { b } })
    local task = a:start(function()
      local guard <close> = setmetatable({}, { __close = function() report 'left' end })
      local function each()
        mesh.sleep(0.01)
        return 'x'
      end
      local function closed() report 'closed' end
      local input = { each, nil, nil, setmetatable({}, { __close = closed }) }
      mesh.with { input = input }.call 'waits'
    end)
    b:wait_reports(3)
    task:cancel()
    net:wait(function() return task:ended() end)
    net:settle()
    assert.same({ 'closed', 'left' }, a:reported())
    local said = b:reports()
    assert.same({ 'broken', 'CANCELLED' }, { said[#said - 1][1], said[#said - 1][2] })
    assert.equal(0, net:metrics().calls_now)
  end)

  it('may end while its node stops', function()
    a = net:node('a', { peers = { b } })
    local task = a:start(function()
      local n = 0
      return mesh.with { input = function()
        n = n + 1
        if n == 2 then report 'on the way' end
        mesh.sleep(0.01)
        return n <= 10 and ('x'):rep(100) or nil
      end }.call 'sum'
    end)
    a:wait_reports(1)
    b:stop(5)
    local n, bytes = task:wait()
    assert.same({ 10, 1000 }, { n, bytes })
    net:wait(function() return (b:over()) end)
  end)

  it('may be in JSON', function()
    b:eval(function()
      mesh.action('json', function()
        local all = {}
        mesh.info { codec = 'json' }
        for a, b in mesh.input() do
          all[#all + 1] = { a == mesh.null and 'null' or a, b }
          coroutine.yield(a)
        end
        return all
      end, { serializer = 'json' })
    end)
    a = net:node('a', { peers = { b } })
    assert.same({ { codec = 'json' }, { { 1, 'x' }, { 'null', 2.5 }, { '\xff' } } }, { a:eval(function()
      mesh.wait 'json'
      local s <close> = mesh.stream 'json'
      s:send(1, 'x')
      s:send(nil, 2.5)
      s:send '\xff'
      s:finish()
      return s:info(), s:result()
    end) })
  end)
end)

cluster.describe('a stream to a handler over relays', { 'mem', 'tcp' }, function(over)
  local net, first, last

  before_each(function()
    net = over.net
    last = net:node('s', {}, readers.script)
    local via = last
    for i = 1, 3 do
      via = net:node('r' .. i, { peers = { via } }, function() mesh.action(mesh.self().name, print) end)
    end
    first = net:node('c', { peers = { via } })
    first:eval(function() mesh.wait 'sum' end)
  end)

  it('arrives whole, and relays hold no more than its window', function()
    local blocks = PATIENT and 64 or 160
    local upload = first:start(function(count)
      local s <close> = mesh.stream 'sum'
      for i = 1, count do assert(s:send(string.char(i % 256):rep(65536), i % 8 == 0 and 0.001 or nil)) end
      s:finish()
      return s:result()
    end, blocks)
    local most = 0
    net:wait(function()
      most = math.max(most, net:metrics().relay_bytes_now)
      return upload:ended()
    end, 'the upload')
    local n, bytes = upload:wait()
    assert.same({ blocks, blocks * 65536 }, { n, bytes })
    assert.is_true(most <= 3 * 2 * WINDOW_BYTES, most)
  end)

  it('goes both ways, and stops when the handler reads no more', function()
    assert.same({ 500, 'bye' }, { first:eval(function()
      local s <close> = mesh.stream 'echo'
      local n = 0
      for i = 1, 500 do
        s:send(i)
        n = n + select(2, s:next()) // i
      end
      s:finish()
      return n, s:result()
    end) })
    assert.same({ 3 }, { first:eval(function()
      local s <close> = mesh.stream('first', 3)
      while s:send(('x'):rep(20000)) do end
      return (s:result())
    end) })
    net:settle()
    local m = net:metrics()
    assert.same({ 0, 0, 0 }, { m.relays_now, m.relay_bytes_now, m.relays_broken })
  end)

  it('breaks for both ends when a relay goes', function()
    local sender = first:start(function()
      local s <close> = mesh.stream 'waits'
      s:send 'x'
      s:result()
    end)
    last:wait_reports(2)
    net.nodes[3]:stop(0)
    local err = sender:failure()
    assert.is_true(err.code == 'PEER_LOST' or err.code == 'NO_ROUTE', err.code)
    last:wait_reports(4)
    assert.same({ 'broken', 'PEER_LOST' }, { last:reports()[3][1], last:reports()[3][2] })
  end)
end)
