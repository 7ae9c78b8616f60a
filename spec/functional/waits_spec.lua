local cluster = require 'spec.support.cluster'

-- luacheck: globals mesh report, ignore 211/guard 431

describe('a wait of the mesh', function()
  local net, a, b

  before_each(function()
    net = cluster.new 'mem'
    b = net:node('b', {}, function()
      mesh.action('twice', function(x)
        mesh.sleep(0.001)
        return x * 2
      end)
      mesh.action('count', function(n)
        for i = 1, n do
          coroutine.yield(i)
          mesh.sleep(0.001)
        end
      end)
      mesh.action('generated', function(n)
        local function inner()
          for i = 1, n do
            mesh.sleep(0.001)
            coroutine.yield(mesh.call('twice', i)) -- to whoever resumed it
          end
        end
        for v in coroutine.wrap(inner) do coroutine.yield(v) end -- a chunk
      end)
    end)
    a = net:node('a', { peers = { b } })
  end)

  after_each(function() net:finish() end)

  it('works inside generators of the script', function()
    assert.same({ 2, 4, 6, 'done' }, a:eval(function()
      local gen = coroutine.wrap(function()
        for i = 1, 3 do coroutine.yield(mesh.call('twice', i)) end
        coroutine.yield 'done'
      end)
      return { gen(), gen(), gen(), gen() }
    end))
    assert.same({ 2, 4, 6, 8 }, a:eval(function()
      local list = {}
      for v in mesh.stream('generated', 4) do list[#list + 1] = v end
      return list
    end))
  end)

  it('works inside generators in generators, and coroutine.resume', function()
    assert.same({ true, 12, true, 'end', 'dead' }, { a:eval(function()
      local outer = coroutine.create(function()
        local inner = coroutine.wrap(function()
          mesh.sleep(0.01)
          coroutine.yield(mesh.call('twice', 3))
        end)
        coroutine.yield(inner() * 2)
        return 'end'
      end)
      local ok, v = coroutine.resume(outer)
      local ok2, v2 = coroutine.resume(outer)
      return ok, v, ok2, v2, coroutine.status(outer)
    end) })
  end)

  it('works inside pcall, xpcall and error handlers of the caller', function()
    assert.same({ true, 4, false, 'NOT_FOUND', 'handled' }, { a:eval(function()
      local ok, v = pcall(mesh.call, 'twice', 2)
      local ok2, err = pcall(function()
        mesh.sleep(0.001)
        mesh.call 'missing'
      end)
      local _, handled = xpcall(function()
        mesh.sleep(0.001)
        error 'x'
      end, function() return 'handled' end)
      return ok, v, ok2, err.code, handled
    end) })
  end)

  it('works inside metamethods and iterators', function()
    assert.same({ 10, 6, 14, true, { 2, 4, 6 }, 'closed' }, { a:eval(function()
      local t = setmetatable({}, {
        __index = function(_, k) return mesh.call('twice', k) end,
        __add = function(_, y) return mesh.call('twice', y) end,
        __call = function(_, y) return mesh.call('twice', y) end,
        __eq = function() return mesh.call('twice', 1) == 2 end,
      })
      local list = {}
      local function iterate(_, i)
        i = (i or 0) + 1
        if i <= 3 then return i, mesh.call('twice', i) end
      end
      for _, v in iterate do list[#list + 1] = v end
      local note
      do
        local guard <close> = setmetatable({}, { __close = function()
          mesh.sleep(0.001)
          note = 'closed'
        end })
      end
      return t[5], t + 3, t(7), t == setmetatable({}, getmetatable(t)), list, note
    end) })
  end)

  it('works while a stream is read in a generator', function()
    assert.equal(15, a:eval(function()
      local function values()
        for v in mesh.stream('count', 5) do coroutine.yield(v) end
      end
      local sum = 0
      for v in coroutine.wrap(values) do sum = sum + v end
      return sum
    end))
    net:settle()
    assert.equal(0, net:metrics().calls_now)
  end)

  for boundary, code in pairs {
    ['table.sort'] = "table.sort({ 3, 1, 2 }, function(x, y) mesh.sleep(0) return x < y end)",
    ['string.gsub'] = "('abc'):gsub('.', function(c) return mesh.call('twice', 1) end)",
    ['load'] = "assert(load(function() mesh.sleep(0.1) end))",
  } do
    it('cannot cross ' .. boundary .. ', which the error names', function()
      local err = a:fails('local x = 1\n' .. code)
      local text = type(err) == 'table' and err.text or err
      assert.matches(boundary:gsub('%.', '%%.'), text)
      assert.matches(':2', text)
      assert.equal(4, a:eval(function() return mesh.call('twice', 2) end))
      assert.equal(0, net:metrics().calls_now)
    end)
  end

  it('in a plain coroutine yield outside an action says so', function()
    local err = a:fails(function() coroutine.yield(1) end)
    assert.matches('outside an action', type(err) == 'table' and err.text or err)
  end)
end)
