local script = require 'spec.support.script'
local eval, run = script.eval, script.run

describe('a wait', function()
  after_each(script.close_all)

  for where, source in pairs {
    ['inside pcall'] = "local ok, v = pcall(function() mesh.sleep(1) return 'v' end) return v",
    ['inside xpcall'] = "local ok, v = xpcall(function() mesh.sleep(1) return 'v' end, print) return v",
    ['inside a message of its own error'] = [[
      local ok, v = pcall(function() pcall(mesh.sleep, 1) error('v', 0) end) return v]],
    ['inside a coroutine of the script'] = [[
      local co = coroutine.create(function() mesh.sleep(1) return 'v' end)
      return select(2, coroutine.resume(co))]],
    ['inside a wrapped generator'] = [[
      local gen = coroutine.wrap(function() mesh.sleep(1) coroutine.yield 'v' end) return gen()]],
    ['ten coroutines deep'] = [[
      local function nest(n)
        if n == 0 then mesh.sleep(1) return 'v' end
        return coroutine.wrap(nest)(n - 1)
      end
      return nest(10)]],
    ['inside metamethods'] = [[
      local t = setmetatable({}, { __index = function(_, k) mesh.sleep(1) return k end,
        __add = function() mesh.sleep(1) return '' end, __lt = function() mesh.sleep(1) return true end })
      return t < t and (t + 1) .. t.v]],
    ['inside an iterator'] = [[
      for v in function(_, last) mesh.sleep(1) return not last and 'v' or nil end do return v end]],
    ['inside a <close> variable'] = [[
      do local _ <close> = setmetatable({}, { __close = function() mesh.sleep(1) log 'v' end }) end return logged()]],
    ['inside dofile'] = [[
      local name = os.tmpname()
      local f = io.open(name, 'w') f:write "require 'perilune.task'.sleep(1) return 'v'" f:close()
      local v = dofile(name) os.remove(name) return v]],
    ['inside table.unpack of results'] = "return (function(...) mesh.sleep(1) return ... end)('v')",
  } do
    it('suspends the whole task ' .. where, function()
      local vm = script.vm()
      local r = script.start(vm, source)
      vm:advance(500000)
      assert.equal('waiting', (r:state()))
      vm:advance(10000000)
      assert.equal('done v', table.concat({ r:state() }, ' ', 1, 2))
    end)
  end

  for where, case in pairs {
    ['a comparator'] = { 'table.sort({ 2, 1 }, function(a, b) mesh.sleep(1) end)', 'table.sort' },
    ['a replacement of gsub'] = { "string.gsub('a', 'a', function() mesh.sleep(1) end)", 'string.gsub' },
    ['a metamethod called from C'] = {
      'tostring(setmetatable({}, { __tostring = function() mesh.sleep(1) return "" end }))', 'tostring' },
    ['a reader of load'] = { 'assert(load(function() mesh.sleep(1) end))', 'load' },
    ['a message handler'] = { 'local _, e = xpcall(error, function() mesh.sleep(1) end) error(e, 0)', nil },
    ['a scope in a comparator'] = {
      'table.sort({ 2, 1 }, function() pcall(error) mesh.timeout(1, mesh.sleep, 2) end)', 'table.sort' },
    ['a coroutine in a comparator'] = {
      'table.sort({ 2, 1 }, coroutine.wrap(function() mesh.sleep(1) end))', 'table.sort' },
  } do
    it('is refused in ' .. where .. ', by name and line', function()
      local state, result = run('\n\n' .. case[1])
      assert.equal('failed', state)
      if not case[2] then return end
      assert.truthy(result:find('mesh.sleep cannot wait across a C boundary', 1, true), result)
      assert.truthy(result:find(('(%s) at spec:3'):format(case[2]), 1, true), result)
    end)
  end

  it('is refused where a C module resumed the coroutine', function()
    assert.equal('2 true', eval [[
      local co = coroutine.create(function() mesh.sleep(1) end)
      local status, err = spec.foreign_resume(co)
      return status, err:find('cannot wait across a C boundary', 1, true) ~= nil
    ]])
  end)

  it('is refused outside a task, in a finalizer', function()
    assert.equal('false true', eval [[
      local ok, err
      setmetatable({}, { __gc = function() ok, err = pcall(mesh.sleep, 1) end })
      collectgarbage()
      return ok, err:find('__gc', 1, true) ~= nil
    ]])
  end)

  it('can be tried again where it is allowed', function()
    assert.equal('false true', eval [[
      local ok
      table.sort({ 2, 1 }, function() ok = pcall(mesh.sleep, 1) end)
      return ok, pcall(mesh.sleep, 1)
    ]])
  end)
end)

describe('a coroutine of the script', function()
  after_each(script.close_all)

  it('yields to whoever resumed it, through waits', function()
    assert.equal('1 2 3 end', eval [[
      local gen = coroutine.wrap(function()
        for i = 1, 3 do mesh.sleep(1) coroutine.yield(i) mesh.sleep(1) end
        return 'end'
      end)
      return gen(), gen(), gen(), gen()
    ]])
  end)

  it('takes and gives values as in plain Lua', function()
    assert.equal('true 1 nil 3 true 4 true dead false cannot resume dead coroutine', eval [[
      local co = coroutine.create(function(...)
        local a = coroutine.yield(...)
        return a
      end)
      local out = table.pack(coroutine.resume(co, 1, nil, 3))
      local o2 = table.pack(coroutine.resume(co, 4))
      local ok, n = coroutine.resume(coroutine.create(function() return end))
      return out[1], out[2], out[3], out[4], o2[1], o2[2], ok, coroutine.status(co), coroutine.resume(co)
    ]])
  end)

  it('cannot be resumed, closed or taken for suspended by another task while it waits', function()
    local want = 'normal false cannot resume non-suspended coroutine false cannot close a normal coroutine done'
    assert.equal(want, eval [[
      local co = coroutine.create(function() mesh.sleep(5) return 'done' end)
      local t = mesh.spawn(function() return select(2, coroutine.resume(co)) end)
      mesh.sleep(1)
      local status = coroutine.status(co)
      local a, b = coroutine.resume(co)
      local c, d = pcall(coroutine.close, co)
      return status, a, b, c, d, t:await()
    ]])
  end)

  it('in wrap gives the error of plain Lua', function()
    assert.equal('false spec:1: boom', eval "return pcall(coroutine.wrap(function() error 'boom' end))")
    assert.equal('false cannot resume dead coroutine', (eval [[
      local f = coroutine.wrap(function() end) f()
      return pcall(f)]]))
    assert.equal('false table', eval [[
      local ok, e = pcall(coroutine.wrap(function() error {} end))
      return ok, type(e)]])
  end)

  it('keeps the stack of its error for debug.traceback', function()
    assert.equal('false true', eval [[
      local function inner() error 'x' end
      local co = coroutine.create(function() inner() end)
      local ok = coroutine.resume(co)
      return ok, debug.traceback(co):find('inner', 1, true) ~= nil
    ]])
  end)

  it('shows in the traceback of the task that it failed', function()
    local state, _, trace = run [[
      local function deep() error 'x' end
      local function outer() coroutine.wrap(function() coroutine.wrap(deep)() end)() end
      outer()
    ]]
    assert.equal('failed', state)
    assert.truthy(trace:find("in upvalue 'deep'", 1, true) or trace:find("'deep'", 1, true)
      or trace:find('spec:1', 1, true))
    assert.truthy(trace:find('outer', 1, true), trace)
    assert.equal(3, select(2, trace:gsub('stack traceback', '')))
  end)

  it('runs its <close> variables where they may wait when its error leaves wrap', function()
    assert.equal('false slept', eval [[
      local ok = pcall(coroutine.wrap(function()
        local _ <close> = setmetatable({}, { __close = function() mesh.sleep(1) log 'slept' end })
        error 'x'
      end))
      return ok, logged()
    ]])
  end)

  it('may be closed, with errors of its <close> variables', function()
    assert.equal('true false bad dead', eval [[
      local a = coroutine.create(function() coroutine.yield() end)
      coroutine.resume(a)
      local b = coroutine.create(function()
        local _ <close> = setmetatable({}, { __close = function() error('bad', 0) end })
        coroutine.yield()
      end)
      coroutine.resume(b)
      local ok, err = coroutine.close(b)
      return coroutine.close(a), ok, err, coroutine.status(b)
    ]])
  end)

  it('knows whether it may yield, and who runs', function()
    assert.equal('true false false true', eval [[
      local blocked
      table.sort({ 2, 1 }, function() blocked = coroutine.isyieldable() end)
      local main = select(2, coroutine.running())
      local co = coroutine.create(function() return coroutine.isyieldable() end)
      return coroutine.isyieldable(), blocked, main, select(2, coroutine.resume(co))
    ]])
  end)

  it('of two tasks waits for each of them in turn', function()
    assert.equal('a1,b1,a2,b2', eval [[
      local function worker(name)
          local gen = coroutine.wrap(function()
          for i = 1, 2 do mesh.sleep(1) coroutine.yield(name .. i) end
        end)
        for v in gen do log(v) end
      end
      mesh.all { mesh.spawn(worker, 'a'), mesh.spawn(worker, 'b') }
      return logged()
    ]])
  end)

  it('nests until the C stack is full, with a clean error', function()
    assert.equal('false true', eval [[
      local function nest(n) return coroutine.wrap(nest)(n + 1) end
      local ok, err = pcall(nest, 1)
      return ok, tostring(err):find('C stack overflow', 1, true) ~= nil
    ]])
  end)

  it('waits forty levels deep', function()
    assert.equal('40', eval [[
      local function nest(n) if n == 40 then mesh.sleep(1) return n end return coroutine.wrap(nest)(n + 1) end
      return nest(1)
    ]])
  end)

  it('that closes itself over and over ends with an error, not the process', function()
    assert.equal('true', eval [[
      local function deep(n)
        local co = coroutine.create(function()
          local _ <close> = setmetatable({}, { __close = function() deep(n + 1) end })
          coroutine.yield()
        end)
        coroutine.resume(co)
        local ok, err = coroutine.close(co)
        if not ok then error(err, 0) end
      end
      local ok, err = pcall(deep, 1)
      return ok or tostring(err):find('overflow', 1, true) ~= nil or err
    ]])
  end)
end)

describe('a yield of a handler', function()
  after_each(script.close_all)

  it('emits one chunk and returns at once while there is credit', function()
    local vm = script.vm()
    local r = script.start(vm, "for i = 1, 3 do coroutine.yield(i, 'x') end return 'end'", { streams = true })
    vm:turn()
    assert.equal('1 x\n2 x\n3 x\n', r:chunks())
    assert.equal('done end', table.concat({ r:state() }, ' ', 1, 2))
  end)

  it('waits without credit', function()
    local vm = script.vm()
    local r = script.start(vm, "return coroutine.yield(1)", { streams = true, waits = 1 })
    vm:turn()
    assert.equal('waiting', (r:state()))
    assert.is_true(r:credit())
    vm:turn()
    assert.equal('done credit', table.concat({ r:state() }, ' ', 1, 2))
  end)

  it('lets other tasks run now and then, however much credit there is', function()
    local vm = script.vm()
    local r = script.start(vm, [[
      local other
      mesh.spawn(function() other = true end)
      local n = 0
      while not other do coroutine.yield(n) n = n + 1 end
      return n < 2000
    ]], { streams = true })
    vm:turn()
    assert.equal('done true', table.concat({ r:state() }, ' ', 1, 2))
  end)

  it('is checked for a C boundary whatever the credit', function()
    local vm = script.vm()
    local r = script.start(vm, [[return pcall(table.sort, { 2, 1 }, function() coroutine.yield(1) end)]],
      { streams = true })
    vm:turn()
    local _, result = r:state()
    assert.truthy(result:find('coroutine.yield cannot wait across a C boundary (table.sort)', 1, true), result)
    assert.equal('', r:chunks())
  end)

  it('goes through pcall, and not through the coroutines of the script', function()
    local vm = script.vm()
    local r = script.start(vm, [[
      pcall(coroutine.yield, 'chunk')
      for v in coroutine.wrap(function() coroutine.yield 'mine' end) do log(v) end
      return logged()
    ]], { streams = true })
    vm:turn()
    assert.equal('chunk\n', r:chunks())
    assert.equal('done mine', table.concat({ r:state() }, ' ', 1, 2))
  end)

  it('by a C module at the level of the task ends it with an error', function()
    local state, result = run 'spec.foreign_yield(1) return "never"'
    assert.equal('failed', state)
    assert.equal('HANDLER_ERROR: a C function yielded outside a coroutine of the script', result)
  end)

  it('by a C module in a coroutine of the script is a yield', function()
    assert.equal('7 8', eval [[
      local gen = coroutine.wrap(function() spec.foreign_yield(7, 8) end)
      return gen()
    ]])
  end)
end)
