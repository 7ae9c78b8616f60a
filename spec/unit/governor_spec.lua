local patience = require('spec.support.process').patience
local script = require 'spec.support.script'

-- The thread sanitizer delivers signals at system calls only, so every loop makes one now and then.
local SPIN = 'for _ = 1, 1000 do end spec.cpu()'

local function spinning(source)
  return (source:gsub('SPIN', SPIN))
end

--- Runs turns of the loop until the task has ended, and says how much CPU time that took.
local function finish(vm, run)
  local start = os.clock()
  while os.clock() - start < 20 do
    vm:turn()
    local state = run:state()
    if state == 'done' or state == 'failed' or state == 'cancelled' then return os.clock() - start end
  end
  error('the task went on for 20 seconds')
end

local function killed(source, options)
  local vm = script.vm(options or { cpu_limit_us = 100000 })
  local run = script.start(vm, spinning(source))
  local seconds = finish(vm, run)
  return vm, run, seconds
end

describe('the governor', function()
  after_each(script.close_all)

  it('makes a task that computes give way to the loop, and lets it go on first', function()
    local vm = script.vm()
    local first = script.start(vm, spinning [[
      local n, t0 = 0, spec.cpu()
      while spec.cpu() - t0 < 0.1 do SPIN n = n + 1 end
      log 'first'
      return n > 0
    ]])
    script.start(vm, "log 'second'")
    local turns = 0
    while first:state() ~= 'done' do
      vm:turn()
      turns = turns + 1
    end
    assert.is_true(turns >= 3, turns .. ' turns')
    local check = script.start(vm, 'return logged()')
    vm:turn()
    assert.equal('first,second', select(2, check:state()))
  end)

  -- Ticks alone, which come every 5 ms of CPU time at most, would be 40 turns.
  it('makes one that loads beside what serves give way every 3 ms', function()
    local vm = script.vm()
    vm:hold(true)
    local run = script.start(vm, spinning 'local t0 = spec.cpu() while spec.cpu() - t0 < 0.2 do SPIN end')
    local turns = 0
    while run:state() ~= 'done' do
      vm:turn()
      turns = turns + 1
    end
    assert.is_true(turns > 50, turns .. ' turns')
  end)

  for name, source in pairs {
    ['a loop'] = 'while true do SPIN end',
    ['a loop of pcalls'] = 'while true do pcall(function() while true do SPIN end end) end',
    ['recursive pcalls'] = 'local function f() pcall(f) SPIN return f() end f()',
    ['a message handler'] = "xpcall(error, function() while true do SPIN end end)",
    ['a <close> variable'] = [[
      local _ <close> = setmetatable({}, { __close = function() while true do SPIN end end }) error 'x']],
    ['a nested coroutine'] = 'while true do coroutine.wrap(function() while true do SPIN end end)() end',
    ['a resumed coroutine'] = [[
      while true do coroutine.resume(coroutine.create(function() while true do SPIN end end)) end]],
    ['a comparator'] = 'while true do pcall(table.sort, { 3, 2, 1 }, function() while true do SPIN end end) end',
    ['a metamethod called from C'] = [[
      local t = setmetatable({}, { __tostring = function() while true do SPIN end end })
      while true do pcall(tostring, t) end]],
    ['a replacement of gsub with pcalls'] = [[
      string.gsub('a', 'a', function() while true do pcall(function() while true do SPIN end end) end end)]],
    ['an insertion into a table of any length'] =
      'while true do pcall(table.insert, setmetatable({}, { __len = function() return 1 << 50 end }), 1, 2) end',
    ['a removal from a table of any length'] = [[
      local t = setmetatable({}, { __len = function() return 1 << 50 end })
      while true do pcall(table.remove, t, 1) end]],
    ['a move of any length'] = 'while true do pcall(table.move, {}, 1, 1 << 60, 1, {}) end',
    ['a move through a metamethod in C'] = [[
      local t = setmetatable({}, { __index = type }) while true do pcall(table.move, t, 1, 1 << 60, 1, t) end]],
    ['a concatenation of nothing'] = [[
      while true do pcall(table.concat, setmetatable({}, { __index = table.concat }), '', 1, 1 << 60) end]],
    ['concatenations within concatenations'] = [[
      local function deeper(inner)
        return setmetatable({}, { __index = function() return inner and table.concat(inner, '', 1, 1000) or '' end })
      end
      local t
      for _ = 1, 20 do t = deeper(t) end
      while true do pcall(table.concat, t, '', 1, 1000) end]],
    ['hooks of its own'] = "while true do debug.sethook(function() end, 'l', 1) SPIN end",
    ['a reader of load'] = 'while true do pcall(load, function() SPIN return " " end) end',
    ['a body that is closed'] = [[
      local co = coroutine.create(function()
        local _ <close> = setmetatable({}, { __close = function() while true do SPIN end end })
        coroutine.yield()
      end)
      coroutine.resume(co)
      coroutine.close(co)
      while true do SPIN end]],
  } do
    it('ends hard at the CPU limit ' .. name, function()
      local vm, run, seconds = killed(source)
      local state, result, trace = run:state()
      assert.equal('failed', state)
      assert.equal('CPU_LIMIT: used more CPU time than allowed between two waits', result)
      assert.truthy(trace:find('stack traceback', 1, true))
      assert.is_true(seconds < 2, seconds .. ' s')
      assert.equal(1, select(3, vm:counts()))
      assert.equal(0, (vm:counts()))
    end)
  end

  it('counts between two waits only', function()
    local vm = script.vm { cpu_limit_us = 100000 }
    local run = script.start(vm, spinning [[
      for _ = 1, 4 do
        local t0 = spec.cpu()
        while spec.cpu() - t0 < 0.05 do SPIN end
        mesh.sleep(0)
      end
      return 'done'
    ]])
    finish(vm, run)
    assert.equal('done', (run:state()))
  end)

  it('takes the limit of one task for another', function()
    local vm = script.vm { cpu_limit_us = 60 * 1000000 }
    local run = script.start(vm, spinning 'while true do SPIN end')
    run:cpu_limit(50000)
    finish(vm, run)
    assert.equal('failed', (run:state()))
  end)

  it('ends hard a cancelled task that computes and does not wait, whatever it catches', function()
    local vm = script.vm { cpu_limit_us = 60 * 1000000 }
    local run = script.start(vm, spinning 'while true do pcall(function() SPIN end) end')
    vm:turn()
    run:cancel()
    local seconds = finish(vm, run)
    assert.equal('cancelled', (run:state()))
    assert.is_true(seconds < 1.5, seconds .. ' s')
  end)

  it('leaves the VM usable after a hard end', function()
    local vm = killed 'while true do SPIN end'
    local run = script.start(vm, 'mesh.sleep(1) return 7')
    vm:advance(2000000)
    assert.equal('done 7', table.concat({ run:state() }, ' ', 1, 2))
  end)

  it('bounds the text of an error value', function()
    local _, run = killed "error(setmetatable({}, { __tostring = function() while true do SPIN end end }))"
    assert.equal('failed (an error value that has no text)', table.concat({ run:state() }, ' ', 1, 2))
  end)

  it('ends a finalizer that does not, and the task goes on', function()
    local _, run, seconds = killed([[
      for _ = 1, 3 do setmetatable({}, { __gc = function() while true do SPIN end end }) end
      collectgarbage()
      return 'on'
    ]], { cpu_limit_us = 5000000 })
    assert.equal('done on', table.concat({ run:state() }, ' ', 1, 2))
    assert.is_true(seconds < 2, seconds .. ' s')
  end)

  for name, gc in pairs {
    ['that is an object'] = 'setmetatable({}, { __call = function() while true do SPIN end end })',
    ['that is a function of C'] = 'pcall',
  } do
    it('ends a finalizer ' .. name, function()
      local _, run = killed(([[
        local mt = { __gc = %s, __call = function() while true do SPIN end end }
        setmetatable({}, mt)
        debug.setmetatable({}, mt)
        collectgarbage()
        return 'on'
      ]]):format(gc), { cpu_limit_us = 5000000 })
      assert.equal('done on', table.concat({ run:state() }, ' ', 1, 2))
    end)
  end

  for name, source in pairs {
    ['a replacement'] = "string.gsub(('x'):rep(100000000), '.', {})",
    ['a search'] = "string.find(('x'):rep(100000000), '.-y')",
  } do
    it('ends in the midst of ' .. name .. ' that takes long', function()
      local _, run, seconds = killed('SPIN ' .. source)
      assert.equal('failed CPU_LIMIT: used more CPU time than allowed between two waits',
        table.concat({ run:state() }, ' ', 1, 2))
      assert.is_true(seconds < 1.5 * patience, seconds .. ' s')
    end)
  end

  it('ends what cannot give way after two seconds, whatever its limit', function()
    local vm, run, seconds = killed("string.gsub('a', 'a', function() while true do SPIN end end)",
      { cpu_limit_us = 60 * 1000000 })
    assert.equal('failed CPU_LIMIT: used more CPU time than allowed between two waits',
      table.concat({ run:state() }, ' ', 1, 2))
    assert.is_true(seconds < 10, seconds .. ' s')
    assert.equal(1, select(3, vm:counts()))
  end)

  it('ends finalizers that do not end when the VM is closed', function()
    local vm = script.vm()
    script.start(vm, spinning [[
      for i = 1, 100 do keep = { keep, setmetatable({}, { __gc = function() while true do SPIN end end }) } end
    ]])
    vm:turn()
    local start = os.clock()
    script.close_all()
    assert.is_true(os.clock() - start < 4)
  end)

  it('looks at no state that has been given back', function()
    local vm = script.vm()
    finish(vm, script.start(vm, 'local list = {} for i = 1, 20000 do list[i] = { i } end held = list'))
    vm:tick()
    script.close_all()
  end)

  it('writes to the log who held up the node, and where', function()
    local vm = script.vm()
    finish(vm, script.start(vm, spinning [[
      local t0 = spec.cpu()
      while spec.cpu() - t0 < 0.3 do SPIN end
    ]]))
    assert.is_nil(vm:log():find('held up', 1, true)) -- it gave way all the time

    finish(vm, script.start(vm, spinning [[
      coroutine.wrap(function()
        table.sort({ 2, 1 }, function(a, b) -- which cannot yield
          local t0 = spec.cpu()
          while spec.cpu() - t0 < 0.15 do SPIN end
          return a < b
        end)
      end)()
    ]]))
    assert.matches('warn +a script held up the node script=%S+ kind=%S+ id=%d+ at=%S+:[1-7] cpu_ms=%d+', vm:log())
    assert.is_truthy(vm:log():match 'held up the node.-cpu_ms=(%d+)' + 0 >= 100)
  end)

  it('writes to the log who computes without a wait, and where, but not again and again', function()
    local vm = script.vm()
    local function count(what) return select(2, vm:log():gsub(what, '')) end
    --- Again where the system has made one slice so long that the log has that instead.
    local function busy(seconds)
      local tries = 0
      repeat
        local held_up = count 'held up the node'
        tries = tries + 1
        assert.is_true(tries <= 5, 'it holds up the node each time')
        finish(vm, script.start(vm, spinning(([[
          local function busy()
            local t0 = spec.cpu()
            while spec.cpu() - t0 < %s do SPIN end
          end
          coroutine.wrap(busy)()
        ]]):format(seconds))))
      until count 'held up the node' == held_up
    end
    local function told() return count 'a task computes without a wait' end
    busy(0.02)
    assert.equal(0, told())
    busy(0.3)
    assert.equal(1, told())
    assert.matches('warn +a task computes without a wait script=spec kind=%S+ id=%d+ cpu_ms=%d+ traceback=', vm:log())
    assert.matches("in function <spec:%d+>", vm:log())
    assert.is_truthy(vm:log():match 'cpu_ms=(%d+)' + 0 >= 50)
    busy(0.3)
    assert.equal(1, told())
    vm:advance(11 * 1000000)
    busy(0.3)
    assert.equal(2, told())
    assert.matches('untold=1', vm:log())
  end)

  it('writes to the log what it ended hard, and where', function()
    local vm = killed('local function endless() while true do SPIN end end endless()')
    assert.truthy(vm:log():find('task ended hard', 1, true))
    assert.truthy(vm:log():find('CPU_LIMIT', 1, true))
    assert.truthy(vm:log():find('endless', 1, true))
  end)
end)
