local script = require 'spec.support.script'
local eval, run = script.eval, script.run

describe('a task', function()
  after_each(script.close_all)

  it('returns what its function returned', function()
    assert.equal('1 nil true', eval 'return 1, nil, true')
  end)

  it('does not run before the loop does', function()
    local vm = script.vm()
    local r = script.start(vm, 'return 1')
    assert.equal('ready', (r:state()))
    vm:turn()
    assert.equal('done', (r:state()))
  end)

  it('sleeps for as long as it asked', function()
    local vm = script.vm()
    local r = script.start(vm, 'mesh.sleep(1.5) return "awake"')
    vm:advance(1490000)
    assert.equal('waiting', (r:state()))
    vm:advance(20000)
    assert.equal('done awake', table.concat({ r:state() }, ' ', 1, 2))
  end)

  it('lets the other tasks run when it sleeps for nothing', function()
    assert.equal('a1,b1,a2,b2', eval [[
      local function f(name) log(name .. 1) mesh.sleep(0) log(name .. 2) end
      mesh.all { mesh.spawn(f, 'a'), mesh.spawn(f, 'b') }
      return logged()
    ]])
  end)

  it('takes arguments and gives results of any number', function()
    assert.equal('3 nil nil 7', eval [[
      local t = mesh.spawn(function(...) return select('#', ...), ... end, nil, nil, 7)
      return t:await()
    ]])
  end)

  it('raises the error of the task it awaits', function()
    assert.equal('false spec:1: boom', eval [[local t = mesh.spawn(function() error 'boom' end)
      return pcall(t.await, t)]])
  end)

  it('may be awaited by many, again and again', function()
    assert.equal('7 7 7', eval [[
      local t = mesh.spawn(function() mesh.sleep(1) return 7 end)
      local other = mesh.spawn(function() return t:await() end)
      return t:await(), t:await(), other:await()
    ]])
  end)

  it('tells its status', function()
    assert.equal('ready waiting done failed cancelled', eval [[
      local t = mesh.spawn(mesh.sleep, 1)
      local a = t.status
      mesh.sleep(0.1)
      local b = t.status
      t:await()
      local f = mesh.spawn(error, 'x')
      local c = mesh.spawn(mesh.sleep, 9)
      mesh.sleep(0.1)
      c:cancel()
      mesh.sleep(0)
      return a, b, t.status, f.status, c.status
    ]])
  end)

  it('cannot await itself', function()
    local _, result = run [[
      local t t = mesh.spawn(function() t:await() end)
      t:await()
    ]]
    assert.truthy(result:find('a task cannot await itself', 1, true))
  end)

  it('logs an error that nobody awaits, with its traceback, and counts it', function()
    local vm = script.vm()
    script.start(vm, "mesh.spawn(function() local function inner() error 'lost' end inner() end)")
    vm:turn()
    local _, failed = vm:counts()
    assert.equal(1, failed)
    assert.truthy(vm:log():find('task failed', 1, true))
    assert.truthy(vm:log():find('spec:1: lost', 1, true))
    assert.truthy(vm:log():find('stack traceback', 1, true))
  end)

  it('tells the way of an error once, though scopes and coroutines let it through', function()
    for source, times in pairs {
      ["mesh.scope(function() error 'lost' end)"] = 1,
      ["mesh.timeout(1, function() mesh.scope(function() error { code = 'LOST' } end) end)"] = 1,
      ["mesh.spawn(function() error 'lost' end):await()"] = 2, -- of either task
      ["coroutine.wrap(function() mesh.scope(function() error 'lost' end) end)()"] = 2, -- one each
      ["local _ <close> = setmetatable({}, { __close = function() error 'also' end }) error 'lost'"] = 2,
    } do
      local vm = script.vm()
      script.start(vm, ('mesh.spawn(function() %s end)'):format(source))
      repeat until not vm:turn() -- each ends with the first tick of computing
      local _, count = vm:log():gsub('stack traceback', '')
      assert.equal(times, count, vm:log())
    end
  end)

  it('says nothing of an error that somebody awaits', function()
    local vm = script.vm()
    script.start(vm, "pcall(function() mesh.spawn(error, 'seen'):await() end)")
    vm:turn()
    assert.equal('', vm:log())
  end)

  it('fails with any value as its error', function()
    assert.equal('failed nil', table.concat({ run 'error(nil)' }, ' ', 1, 2))
    assert.equal('failed', (run 'error({})'))
    assert.equal('failed', (run 'error(setmetatable({}, {__tostring = function() error "no" end}))'))
  end)

  it('names misuse at the line of the caller', function()
    assert.equal("false spec:2: bad argument #1 to 'spawn' (function expected, got number)",
      (eval "return pcall(function()\n mesh.spawn(7) end)"))
    assert.equal("false spec:2: bad argument #1 to 'sleep' (seconds must be a number from 0 on)",
      (eval "return pcall(function()\n mesh.sleep(-1) end)"))
    assert.equal('false spec:2: mesh.every: seconds must be a number over 0',
      (eval "return pcall(function()\n mesh.every(0, print) end)"))
    assert.equal('false spec:2: mesh.after: a function is expected, got nil',
      (eval "return pcall(function()\n mesh.after(1) end)"))
    assert.equal('false spec:2: mesh.every: a function is expected, got string',
      (eval "return pcall(function()\n mesh.every(1, 'print') end)"))
    assert.equal('false spec:2: mesh.all: [1]: perilune.Task expected, got number',
      (eval "return pcall(function()\n mesh.all { 7 } end)"))
  end)

  it('refuses a chunk, which only a handler may yield', function()
    local _, result = run 'coroutine.yield(1)'
    assert.truthy(result:find('attempt to yield a chunk outside an action', 1, true))
    assert.equal('false attempt to yield a chunk outside an action',
      (eval 'return mesh.spawn(function() return pcall(coroutine.yield, 1) end):await()'))
  end)

  it('keeps its context, which those it spawns inherit', function()
    assert.equal('ctx ctx nil', eval [[
      local outside = mesh.spawn(function() mesh.sleep(1) return spec.context() end)
      spec.set_context 'ctx'
      local t = mesh.spawn(function() mesh.sleep(1) return spec.context() end)
      return spec.context(), t:await(), (outside:await())
    ]])
  end)

  it('is recycled, and its coroutine never when the script holds it', function()
    assert.equal('dead false cannot resume dead coroutine', eval [[
      local co
      mesh.spawn(function() co = coroutine.running() end):await()
      collectgarbage()
      for i = 1, 10 do mesh.spawn(mesh.sleep, 0.1) end
      mesh.sleep(1)
      return coroutine.status(co), coroutine.resume(co)
    ]])
  end)

  it('starts at the release, or when it is awaited, while spawns are held', function()
    local vm = script.vm()
    vm:hold(true)
    local r = script.start(vm, [[
      mesh.spawn(function() log 'held' end)
      local t = mesh.spawn(function() log 'awaited' end)
      mesh.sleep(1)
      log 'main'
      t:await()
      return logged()
    ]])
    local after = script.start(vm, 'mesh.sleep(5) return logged()')
    vm:advance(2000000)
    assert.equal('main,awaited', select(2, r:state()))
    vm:hold(false)
    vm:advance(5000000)
    assert.equal('main,awaited,held', select(2, after:state()))
  end)

  it('tells the host once that none is left', function()
    local vm = script.vm()
    script.start(vm, 'mesh.spawn(mesh.sleep, 2)')
    vm:watch_idle()
    vm:advance(1000000)
    assert.is_false(vm:idle())
    vm:advance(1100000)
    assert.is_true(vm:idle())
  end)

  it('tells the host so when there never was one', function()
    local vm = script.vm()
    vm:watch_idle()
    assert.is_false(vm:idle())
    vm:turn()
    assert.is_true(vm:idle())
  end)

  it('is ended by closing the VM', function()
    local vm = script.vm()
    local r = script.start(vm, [[
      local _ <close> = setmetatable({}, { __close = function() log 'closed' end })
      mesh.sleep(9)
    ]])
    vm:advance(1000)
    script.close_all()
    assert.equal('cancelled', (r:state()))
  end)
end)

describe('mesh.all', function()
  after_each(script.close_all)

  it('returns the results in order', function()
    assert.equal('1 2 3', eval [[
      local function f(s) mesh.sleep(s) return s end
      return table.unpack(mesh.all { mesh.spawn(f, 1), mesh.spawn(f, 2), mesh.spawn(f, 3) })
    ]])
  end)

  it('raises the first error and cancels the rest', function()
    assert.equal('false spec:2: boom cancelled closed', eval [[local f = mesh.spawn(function() mesh.sleep(1)
        error 'boom' end)
      local t = mesh.spawn(function()
        local _ <close> = setmetatable({}, { __close = function() log 'closed' end })
        mesh.sleep(50)
      end)
      local ok, err = pcall(mesh.all, { t, f })
      return ok, err, t.status, logged()
    ]])
  end)

  it('is content with none, and refuses what is not a task', function()
    assert.equal('0', eval 'return #mesh.all {}')
    local _, result = run 'mesh.all { mesh.spawn(print), 7 }'
    assert.truthy(result:find('spec:1: mesh.all: [2]: ', 1, true))
  end)

  it('cancels the tasks with the task that waits for them', function()
    local vm = script.vm()
    local r = script.start(vm, [[
      t = mesh.spawn(function() mesh.sleep(50) end)
      mesh.all { t }
    ]])
    vm:advance(1000)
    r:cancel()
    vm:turn()
    assert.equal('cancelled', (r:state()))
    assert.equal(0, (vm:counts()))
  end)
end)

describe('mesh.race', function()
  after_each(script.close_all)

  it('returns the results of the first and cancels the losers', function()
    assert.equal('fast 2 cancelled', eval [[
      local slow = mesh.spawn(mesh.sleep, 5)
      local a, b = mesh.race { slow, mesh.spawn(function() mesh.sleep(1) return 'fast', 2 end) }
      return a, b, slow.status
    ]])
  end)

  it('raises the error of the first', function()
    assert.equal('false first', eval [[
      return pcall(mesh.race, { mesh.spawn(mesh.sleep, 5), mesh.spawn(error, 'first') })
    ]])
  end)

  it('refuses an empty list', function()
    local _, result = run 'mesh.race {}'
    assert.equal('spec:1: mesh.race: the list has no task', result)
  end)
end)

describe('mesh.scope', function()
  after_each(script.close_all)

  it('ends after the tasks in it, and returns what its function returned', function()
    assert.equal('1 nil 3 child', eval [[
      local a, b, c = mesh.scope(function(scope)
        scope:spawn(function() mesh.sleep(2) log 'child' end)
        return 1, nil, 3
      end)
      return a, b, c, logged()
    ]])
  end)

  it('breaks off its function when one of its tasks fails, and raises that error', function()
    assert.equal('false boom cancelled closed', eval [[local other local ok, err = pcall(mesh.scope, function(scope)
        scope:spawn(function() mesh.sleep(1) error('boom', 0) end)
        other = scope:spawn(mesh.sleep, 50)
        local _ <close> = setmetatable({}, { __close = function() mesh.sleep(0.1) log 'closed' end })
        mesh.sleep(50)
      end)
      return ok, err, other.status, logged()
    ]])
  end)

  it('cancels its tasks when its function fails', function()
    assert.equal('false body cancelled', eval [[local t
      local ok, err = pcall(mesh.scope, function(scope)
        t = scope:spawn(mesh.sleep, 50)
        error('body', 0)
      end)
      return ok, err, t.status
    ]])
  end)

  it('does not make the error stick to what comes after it', function()
    assert.equal('false go on', eval [[
      local ok = pcall(mesh.scope, function(scope) scope:spawn(error, 'x') mesh.sleep(50) end)
      mesh.sleep(1)
      return ok, 'go on'
    ]])
  end)

  it('runs its function in the task of the caller, so that its yields are chunks', function()
    local vm = script.vm()
    local r = script.start(vm, 'mesh.scope(function() coroutine.yield(1) end)', { streams = true })
    vm:turn()
    assert.equal('1\n', r:chunks())
  end)
end)

describe('mesh.timeout', function()
  after_each(script.close_all)

  it('returns what its function returned in time', function()
    assert.equal('1 2', eval 'return mesh.timeout(2, function(a) mesh.sleep(1) return a, 2 end, 1)')
  end)

  it('raises TIMEOUT at the wait, and not afterwards', function()
    local vm = script.vm()
    local r = script.start(vm, [[
      local ok, err = pcall(mesh.timeout, 1, function() mesh.sleep(50) end)
      local at = require 'perilune.core.task'.now()
      mesh.sleep(5)
      return ok, err.code, at
    ]])
    vm:advance(7000000)
    local state, result = r:state()
    assert.equal('done', state)
    assert.truthy(result:find '^false TIMEOUT 2%.0')
  end)

  it('raises it again at each wait of a function that catches it', function()
    assert.equal('false TIMEOUT 3', eval [[
      local n = 0
      local ok, err = pcall(mesh.timeout, 1, function()
        for i = 1, 3 do if not pcall(mesh.sleep, 50) then n = n + 1 end end
        mesh.sleep(50)
      end)
      return ok, err.code, n
    ]])
  end)

  it('nests: the outer one breaks the inner one', function()
    assert.equal('false TIMEOUT true', eval [[
      local inner
      local ok, err = pcall(mesh.timeout, 1, function()
        mesh.timeout(5, function() inner = true mesh.sleep(50) end)
      end)
      return ok, err.code, inner
    ]])
  end)

  it('lets cleanup wait, also under a timeout of its own', function()
    assert.equal('false TIMEOUT start,limited,end', eval [[
      local ok, err = pcall(mesh.timeout, 1, function()
        local _ <close> = setmetatable({}, { __close = function()
          log 'start'
          mesh.sleep(0.5)
          if not pcall(mesh.timeout, 0.1, mesh.sleep, 9) then log 'limited' end
          mesh.sleep(0.5)
          log 'end'
        end })
        mesh.sleep(50)
      end)
      return ok, err.code, logged()
    ]])
  end)

  it('ends cleanup that waits beyond the grace', function()
    assert.equal('false CANCELLED_NOT TIMEOUT', eval [[
      local ok, err = pcall(mesh.timeout, 1, function()
        local _ <close> = setmetatable({}, { __close = function() mesh.sleep(50) log 'never' end })
        mesh.sleep(50)
      end)
      return ok, #spec == 0 and 'CANCELLED_NOT', err.code
    ]])
  end)

  it('is part of the deadline', function()
    assert.equal('3000000 2000000 nil', eval [[
      local a, b
      mesh.timeout(2, function() a = spec.deadline() b = mesh.timeout(1, spec.deadline) end)
      return a, b, (spec.deadline())
    ]])
  end)

  it('of a generator does not break its consumer', function()
    assert.equal('1 true false', eval [[
      local gen = coroutine.wrap(function()
        mesh.timeout(1, function() coroutine.yield(1) mesh.sleep(50) end)
      end)
      local first = gen()
      local outside = pcall(mesh.sleep, 3)
      return first, outside, (pcall(gen))
    ]])
  end)

  it('runs its function in the task of the caller, so that its yields are chunks', function()
    local vm = script.vm()
    local r = script.start(vm, 'mesh.timeout(1, function() coroutine.yield(1, 2) end)', { streams = true })
    vm:turn()
    assert.equal('1 2\n', r:chunks())
  end)
end)

describe('a timer', function()
  after_each(script.close_all)

  it('of mesh.after runs once, later', function()
    assert.equal('7', eval [[
      local t = mesh.after(2, function(n) return n end, 7)
      return t:await()
    ]])
  end)

  it('of mesh.every runs until it is cancelled, skips what it missed, and survives errors', function()
    local vm = script.vm()
    local r = script.start(vm, [[
      local n = 0
      local t = mesh.every(1, function()
        n = n + 1
        if n == 2 then error 'once' end
        if n == 3 then mesh.sleep(2.5) end
      end)
      mesh.sleep(8.5)
      t:cancel()
      mesh.sleep(5)
      return n, t.status
    ]])
    vm:advance(20000000)
    assert.equal('6 cancelled', select(2, r:state()))
    local _, failed = vm:counts()
    assert.equal(1, failed)
    assert.truthy(vm:log():find('once', 1, true))
  end)
end)
