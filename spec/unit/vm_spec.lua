local script = require 'spec.support.script'
local eval, run = script.eval, script.run

local MIB = 1024 * 1024

describe('a VM', function()
  after_each(script.close_all)

  for name, source in pairs {
    ['a string bomb'] = "local s = 'x' while true do s = s .. s end",
    ['string.rep'] = "string.rep('x', 1 << 30)",
    ['a table bomb'] = 'local t = {} while true do t[#t + 1] = {} end',
    ['a concat bomb'] = "local t = {} for i = 1, 1e6 do t[i] = ('x'):rep(1000) end table.concat(t)",
    ['coroutines'] = 'local t = {} while true do t[#t + 1] = coroutine.create(print) end',
    ['closures'] = 'local f while true do local g = f f = function() return g end end',
    ['tasks'] = 'local t = {} while true do t[#t + 1] = mesh.spawn(mesh.sleep, 9) end',
    ['a format bomb'] = "local s = ('x'):rep(1000) for _ = 1, 40 do s = ('%s%s'):format(s, s) end",
  } do
    it('bounds ' .. name .. ' by its memory limit', function()
      local vm = script.vm { memory_limit = 4 * MIB }
      local r = script.start(vm, source)
      vm:advance(0)
      local state, result = r:state()
      assert.equal('failed', state)
      assert.truthy(result:find('not enough memory', 1, true) or result:find('too many tasks', 1, true), result)
      assert.is_true(select(4, vm:counts()) < 5 * MIB)
      vm:advance(10000000)
      local again = script.start(vm, "collectgarbage() return ('x'):rep(3)")
      vm:advance(0)
      assert.equal('done xxx', table.concat({ again:state() }, ' ', 1, 2))
    end)
  end

  it('lets a script catch the lack of memory and go on', function()
    assert.equal('false not enough memory 1000', eval([[
      local ok, err = pcall(string.rep, 'x', 1 << 30)
      return ok, err, #('y'):rep(1000)
    ]], { memory_limit = 8 * MIB }))
  end)

  it('fails with MEMORY_LIMIT when nobody catches it, and says where', function()
    for source, line in pairs {
      ["\nlocal s = string.rep('x', 1 << 30)"] = 2,
      ["local function big()\n  return (string.rep('x', 1 << 30))\nend\ncoroutine.wrap(big)()"] = 2,
      ['local t, i = {}, 0\nwhile true do\n\n i = i + 1 t[i] = {} end'] = 4,
    } do
      local _, result = run(source, { memory_limit = 8 * MIB })
      assert.equal(('MEMORY_LIMIT: spec:%d: not enough memory: memory_limit is 8 MiB'):format(line), result)
    end
  end)

  it('finds room for a buffer where the rest is garbage', function()
    assert.equal('done', eval([[
      local kept = {}
      for i = 1, 10 do kept[i] = ('x'):rep(1 << 20) .. i end
      local function text(n) return kept[1]:sub(1, n) end
      for i = 1, 100 do
        text(100000 + i):upper()
        text(100000 + i):reverse()
        text(100000 + i):gsub('x', 'yy')
        local _ = ('%s%s'):format(text(100000 + i), i)
        table.concat({ text(100000 + i), i })
      end
      return 'done'
    ]], { memory_limit = 16 * MIB }))
  end)

  it('survives that there is no memory for a stack to grow', function()
    for _, limit in ipairs { 1, 2, 4 } do
      local _, result = run('local function f(n) return 1 + f(n) end f(1)', { memory_limit = limit * MIB })
      assert.matches('MEMORY_LIMIT: .*not enough memory', result)
      _, result = run('coroutine.wrap(function() local function f(n) return 1 + f(n) end f(1) end)()',
        { memory_limit = limit * MIB })
      assert.matches('MEMORY_LIMIT: .*not enough memory', result)
    end
  end)

  for name, catch in pairs {
    pcall = 'pcall(fill)',
    xpcall = 'xpcall(fill, print)',
    ['coroutine.resume'] = 'coroutine.resume(coroutine.create(fill))',
  } do
    it('has what a lack of memory that ' .. name .. ' has caught leaves behind for a stack that grows next', function()
      assert.equal('100', eval([[
        local names = {}
        for i = 1, 150 do names[i] = 'a' .. i end
        -- Each level takes much of the stack, and nothing that Lua would collect for once there was another as deep.
        local deep = assert(load('local function deep(n) local ' .. table.concat(names, ',')
          .. ' if n == 0 then return 0 end return 1 + deep(n - 1) end return deep'))()
        local function shallow(n) return n == 0 and 0 or 1 + shallow(n - 1) end
        local spare = ('x'):rep(60000) -- what is free in the end: too little for the stack
        local half = ('x'):rep(1000000)
        local function fill()
          local list
          pcall(function() while true do list = { list, ('x'):rep(1000) } end end)
          spare = nil
          shallow(110)
          return list, half .. half
        end
        collectgarbage 'stop' -- or it would take back some of what the shallow calls leave for the deep ones
        shallow(110)
        assert(not ]] .. catch .. [[)
        return deep(100)
      ]], { memory_limit = 16 * MIB }))
    end)
  end

  it('survives every failing allocation', function()
    local source = [[
      local t = {}
      for i = 1, 20 do t[i] = { tostring(i), function() return i end } end
      local gen = coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i) end end)
      local task = mesh.spawn(function(...) mesh.sleep(0) return ... end, 1, 2)
      local sum = 0
      for v in gen do sum = sum + v end
      pcall(mesh.timeout, 1, function() error { code = 'X' } end)
      mesh.all { task }
      spec.decode('msgpack', spec.encode('msgpack', 1000, t[1][1], { 1, 2, { a = 1 } }))
      spec.decode('json', spec.encode('json', 1000, t[1][1], { 1, 2, { a = 1 } }))
      return sum
    ]]
    local vm = script.vm { memory_limit = 64 * MIB }
    local first = script.start(vm, source)
    vm:turn()
    assert.equal('done 6', table.concat({ first:state() }, ' ', 1, 2))
    local failed, done = 0, 0
    for limit = 16 * 1024, 80 * 1024, 128 do
      local made, small = pcall(script.vm, { memory_limit = limit })
      if made then
        local r = script.start(small, source)
        small:advance(1000000)
        local state = r:state()
        if state == 'done' then done = done + 1 else failed = failed + 1 end
        assert.is_true(state == 'done' or state == 'failed', state)
      end
      script.close_all()
    end
    assert.is_true(failed > 0 and done > 0, failed .. ' failed, ' .. done .. ' done')
  end)

  for name, source in pairs {
    ['deep recursion'] = 'local function f() return 1 + f() end f()',
    ['deep recursion through pcall'] = [[
      local function f() local ok, e = pcall(f) if not ok then error(e, 0) end end f()]],
    ['recursion in __index'] = [[
      local t = setmetatable({}, { __index = function(t, k) return t[k .. 'x'] end }) return t.a]],
    ['an error in a message handler'] = "assert(xpcall(error, function() error 'again' end))",
    ['recursion in a message handler'] = [[
      local function h(e) return xpcall(error, h, e) and h(e) end assert(xpcall(error, h))]],
    ['an error object that is nil'] = 'error()',
    ['sorting with a broken comparator'] = [[
      local t = {} for i = 1, 300 do t[i] = i % 7 end
      table.sort(t, function() return true end) error 'sorted']],
    ['deep patterns'] = "string.find(('a'):rep(300000), ('(a'):rep(40))",
    ['a deep C stack in patterns'] = "string.find(('('):rep(220000), ('.-'):rep(220000) .. 'b')",
    ['a syntax error'] = "assert(load('x ='))",
    ['deep nesting of the source'] = "assert(load(('('):rep(100000)))",
    ['a deep concatenation'] = "assert(load('return ' .. ('1 .. '):rep(100000) .. '1'))",
  } do
    it('survives ' .. name, function()
      local vm = script.vm { memory_limit = 64 * MIB }
      local r = script.start(vm, source)
      vm:advance(0)
      assert.equal('failed', (r:state()))
      local again = script.start(vm, 'return 7')
      vm:advance(0)
      assert.equal('done 7', table.concat({ again:state() }, ' ', 1, 2))
    end)
  end

  it('writes an error of a finalizer to the log', function()
    local vm = script.vm()
    script.start(vm, [[warn '@on' setmetatable({}, { __gc = function() error 'in gc' end }) collectgarbage()]])
    vm:turn()
    assert.truthy(vm:log():find('in gc', 1, true), vm:log())
  end)

  it('runs finalizers as plain Lua does, once and with their object', function()
    assert.equal('1 7', eval [[
      local n, seen = 0
      local class = { __gc = function(o) n = n + 1 seen = o.value end }
      setmetatable({ value = 7 }, class)
      collectgarbage() collectgarbage()
      return n, seen
    ]])
  end)

  it('refuses bytecode', function()
    assert.equal('nil true nil false', eval [[
      local code = string.dump(function() return 7 end)
      local f, err = load(code)
      local name = os.tmpname()
      local file = io.open(name, 'wb') file:write(code) file:close()
      local g = loadfile(name)
      local ok = pcall(dofile, name)
      os.remove(name)
      return f, err:find('attempt to load a binary chunk', 1, true) ~= nil, g, ok
    ]])
    assert.equal('nil', (eval "return (load(string.dump(print and function() end), 'x', 'b'))"))
  end)

  it('loads text as plain Lua does', function()
    assert.equal('7 8 nil', eval [[
      local parts = { 'return ', '8' }
      local read = load(function() return table.remove(parts, 1) end)
      return load 'return 7'(), read(), load('return x', 'n', 't', {})()
    ]])
  end)

  it('repeats nothing any number of times', function()
    assert.equal('0 3 3', eval "return #(''):rep(1e15), #('a'):rep(3), #(''):rep(4, ',')")
  end)

  it('repeats a string as plain Lua does', function()
    local want = {}
    for _, text in ipairs { '', 'a', 'ab', 'abc' } do
      for _, separator in ipairs { '', '-', '::' } do
        for _, n in ipairs { math.mininteger, -1, 0, 1, 2, 3, 4, 5, 8, 31 } do
          want[#want + 1] = text:rep(n, separator)
        end
      end
    end
    assert.equal(table.concat(want, '|'), eval [[
      local got = {}
      for _, text in ipairs { '', 'a', 'ab', 'abc' } do
        for _, separator in ipairs { '', '-', '::' } do
          for _, n in ipairs { math.mininteger, -1, 0, 1, 2, 3, 4, 5, 8, 31 } do
            got[#got + 1] = text:rep(n, separator)
          end
        end
      end
      return table.concat(got, '|')
    ]])
    assert.equal('resulting string too large', eval [[
      return select(2, pcall(string.rep, 'ab', math.maxinteger))
    ]])
  end)

  it('has the functions of plain Lua', function()
    assert.equal('', eval [[
      local missing = {}
      for _, name in ipairs { 'create', 'resume', 'running', 'status', 'wrap', 'yield', 'close', 'isyieldable' } do
        if not coroutine[name] then table.insert(missing, name) end
      end
      return table.concat(missing, ' ')
    ]])
  end)

  it('gives pcall and xpcall the results of plain Lua', function()
    assert.equal('true 1 nil 3 false x true 5 6 false X:x false true', eval [[
      local a, b, c, d = pcall(function(...) return ... end, 1, nil, 3)
      local e, f = pcall(error, 'x')
      local g, h, i = xpcall(function(...) return ... end, print, 5, 6)
      local j, k = xpcall(error, function(m) return 'X:' .. m end, 'x')
      return a, b, c, d, e, f, g, h, i, j, k, (pcall(pcall)), (pcall(pcall, error))
    ]])
  end)
end)
