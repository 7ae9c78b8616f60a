local cluster = require 'spec.support.cluster'

-- luacheck: globals mesh report, ignore 211/guard 431

cluster.describe('a call', cluster.kinds, function(over)
  it('returns what the action returned', function()
    local b = over.net:node('b', {}, function()
      mesh.action('sum', function(numbers)
        local total = 0
        for _, n in ipairs(numbers) do total = total + n end
        return total
      end)
      mesh.action('nothing', function() end)
      mesh.action('several', function(...) return select('#', ...), ... end)
    end)
    local a = over.net:node('a', { peers = { b } })
    assert.equal(60, a:eval(function() return mesh.call('sum', { 10, 20, 30 }) end))
    assert.equal(0, a:eval(function() return select('#', mesh.call 'nothing') end))
    local values = table.pack(a:eval(function() return mesh.call('several', nil, 1, nil, 'x', nil) end))
    assert.same({ n = 6, 5, nil, 1, nil, 'x', nil }, values)
  end)

  it('brings the error of the handler with its traceback', function()
    local b = over.net:node('b', {}, function()
      mesh.action('fail', function() error 'boom' end)
    end)
    local a = over.net:node('a', { peers = { b } })
    local err = a:fails(function() mesh.call 'fail' end)
    assert.equal('HANDLER_ERROR', err.code)
    assert.equal('executed', err.outcome)
    assert.equal('fail', err.action)
    assert.equal(b:id(), err.node)
    assert.matches('call_spec.lua:%d+: boom$', err.message)
    assert.matches('traceback', err.traceback)
    assert.matches('call_spec.lua', err.traceback)
    assert.matches('^HANDLER_ERROR: .*boom', err.text)
    assert.matches('handler failed action=fail', over.net:log())
  end)

  it('brings code, message and details that a handler chose', function()
    local b = over.net:node('b', {}, function()
      mesh.action('buy', function(what)
        error { code = 'OUT_OF_STOCK', message = 'none left', details = { item = what, left = 0 } }
      end)
    end)
    local a = over.net:node('a', { peers = { b } })
    local err = a:fails(function() mesh.call('buy', 'tea') end)
    assert.equal('OUT_OF_STOCK', err.code)
    assert.equal('none left', err.message)
    assert.same({ item = 'tea', left = 0 }, err.details)
    assert.equal('executed', err.outcome)
    assert.equal('OUT_OF_STOCK', a:eval(function()
      local _, e = pcall(mesh.call, 'buy', 'tea')
      return e.code
    end))
  end)

  it('survives any error value', function()
    local b = over.net:node('b', {}, function()
      mesh.action('raise', function(kind)
        if kind == 'nil' then error(nil) end
        if kind == 'number' then error(42) end
        if kind == 'table' then error { 1, 2 } end
        if kind == 'function' then error(print) end
        if kind == 'tostring' then error(setmetatable({}, { __tostring = function() error 'no text' end })) end
        if kind == 'cycle' then
          local t = { code = 'CYCLIC', message = 'round' }
          t.details = t
          error(t)
        end
      end)
    end)
    local a = over.net:node('a', { peers = { b } })
    for _, kind in ipairs { 'nil', 'number', 'table', 'function', 'tostring', 'cycle' } do
      local err = a:fails(function(k) mesh.call('raise', k) end, kind)
      assert.equal(kind == 'cycle' and 'CYCLIC' or 'HANDLER_ERROR', err.code)
      assert.equal('executed', err.outcome)
      assert.equal('string', type(err.message))
    end
    assert.matches('42', a:fails(function() mesh.call('raise', 'number') end).message)
  end)

  it('keeps the code of an inner error, with the original as its cause', function()
    local b = over.net:node('b', {}, function()
      mesh.action('outer', function() return mesh.call 'no such action' end)
    end)
    local a = over.net:node('a', { peers = { b } })
    local err = a:fails(function() mesh.call 'outer' end)
    assert.equal('NOT_FOUND', err.code)
    assert.equal('executed', err.outcome)
    assert.equal('NOT_FOUND', err.cause.code)
    assert.equal('not_sent', err.cause.outcome)
    assert.equal('no such action', err.cause.action)
  end)

  it('fails at once when nobody provides the action', function()
    local b = over.net:node('b')
    local a = over.net:node('a', { peers = { b } })
    local took = a:eval(function()
      local before = mesh.now()
      local ok, err = pcall(mesh.call, 'missing')
      assert(not ok and err.code == 'NOT_FOUND' and err.outcome == 'not_sent', tostring(err))
      assert(err.action == 'missing')
      return mesh.now() - before
    end)
    assert.is_true(took < over.net:within(0.05), took)
  end)

  it('goes either way over one link, at once', function()
    local b = over.net:node('b', {}, function()
      mesh.action('of b', function(x) return 'b' .. x end)
    end)
    local a = over.net:node('a', { peers = { b } }, function()
      mesh.action('of a', function(x) return 'a' .. x end)
    end)
    local calls = {}
    for i = 1, 50 do
      calls[#calls + 1] = { a:start(function(n) return mesh.call('of b', n) end, i), 'b' .. i }
      calls[#calls + 1] = { b:start(function(n)
        mesh.wait('of a', 5)
        return mesh.call('of a', n)
      end, i), 'a' .. i }
    end
    for _, pair in ipairs(calls) do assert.equal(pair[2], (pair[1]:wait())) end
    assert.equal(2, over.net:metrics().links_now) -- both ends of one link
  end)

  it('may call its caller back', function()
    local b = over.net:node('b', {}, function()
      mesh.action('square of', function(n) return mesh.call('factor', n) ^ 2 // 1 | 0 end)
    end)
    local a = over.net:node('a', { peers = { b } }, function()
      mesh.action('factor', function(n) return n * 3 end)
    end)
    assert.equal(36, a:eval(function() return mesh.call('square of', 2) end))
  end)

  it('settles exactly once, ten thousand in flight', function()
    local b = over.net:node('b', {}, function()
      running, most = 0, 0 -- luacheck: ignore 111
      local all = mesh.spawn(function()
        repeat mesh.sleep(0.05) until most == 10000 -- luacheck: ignore 113
      end)
      mesh.action('slow', function(i)
        running = running + 1 -- luacheck: ignore 111 113
        most = math.max(most, running) -- luacheck: ignore 111 113
        all:await()
        running = running - 1 -- luacheck: ignore 111 113
        return i * 2
      end, { queue = 10000 }) -- a slow machine is not what this is about
    end)
    local a = over.net:node('a', { peers = { b } })
    local settled, wrong = a:eval(function()
      local counts, bad, tasks = {}, 0, {}
      for i = 1, 10000 do
        tasks[i] = mesh.spawn(function()
          local r = mesh.with { timeout = 240 }.call('slow', i) -- no longer than until all are there
          counts[i] = (counts[i] or 0) + 1
          if r ~= 2 * i then bad = bad + 1 end
        end)
      end
      mesh.all(tasks)
      local once = 0
      for i = 1, 10000 do once = once + (counts[i] == 1 and 1 or 0) end
      return once, bad
    end)
    assert.equal(10000, settled)
    assert.equal(0, wrong)
    assert.equal(10000, b:eval 'return most')
    assert.equal(0, over.net:metrics().requests_now)
  end)

  it('gives the handler its context', function()
    local b = over.net:node('b', {}, function()
      mesh.action('who', function()
        mesh.sleep(0)
        local c = mesh.context()
        return c.action, c.caller, c.meta, c.stream, c.deadline and c.deadline - mesh.now()
      end)
      mesh.action('deep', function()
        return mesh.spawn(function() return mesh.context().meta.tenant end):await()
      end)
    end)
    local a = over.net:node('a', { peers = { b } })
    local action, caller, meta, stream, left = a:eval(function()
      return mesh.with { meta = { tenant = 'acme', n = 1 }, timeout = 3 }.call 'who'
    end)
    assert.equal('who', action)
    assert.same({ id = a:id(), name = 'a' }, { id = caller.id, name = caller.name })
    assert.same({ tenant = 'acme', n = 1 }, meta)
    assert.is_false(stream)
    assert.is_true(left > 2.5 and left <= 3.001, left)
    assert.equal('acme', a:eval(function() return mesh.with { meta = { tenant = 'acme' } }.call 'deep' end))
    assert.is_nil(caller.identity) -- nobody has authenticated it
    assert.is_nil((a:eval(function() return mesh.context() end)))
  end)

  it('is traced through the calls that it leads to', function()
    local b = over.net:node('b', {}, function()
      mesh.action('last', function() return mesh.context().trace_id end)
      mesh.action('chunk', function() coroutine.yield(mesh.context().trace_id) end)
      mesh.action('break', function() error 'boom' end)
    end)
    local a = over.net:node('a', { peers = { b } }, function()
      mesh.action('first', function()
        local ids = { mesh.context().trace_id, mesh.call 'last', mesh.call 'inner' }
        ids[4] = mesh.spawn(function() return mesh.call 'last' end):await()
        for id in mesh.stream 'chunk' do ids[5] = id end
        ids[6] = select(2, pcall(mesh.call, 'break')).trace_id
        return ids
      end)
      mesh.action('inner', function() return mesh.call 'last' end)
    end)
    local seen = {}
    for _ = 1, 3 do
      local ids = a:eval(function() return mesh.call 'first' end)
      assert.matches('^' .. ('%x'):rep(32) .. '$', ids[1])
      assert.same({ ids[1], ids[1], ids[1], ids[1], ids[1], ids[1] }, ids)
      assert.is_nil(seen[ids[1]])
      seen[ids[1]] = true
    end
    local id = a:eval(function() return select(2, pcall(mesh.call, 'break')).trace_id end)
    assert.matches('handler failed action=break .* trace_id=' .. id, over.net:log())
    assert.is_nil(seen[id])
  end)
end)
