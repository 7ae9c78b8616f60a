local script = require 'spec.support.script'

local CLOSER = [[
local function closer(fn) return setmetatable({}, { __close = fn }) end
]]

--- Starts a task, lets it reach its wait, and cancels it.
local function cancelled(source, options)
  local vm = script.vm(options)
  local r = script.start(vm, CLOSER:gsub('\n', ' ') .. source)
  vm:advance(1000)
  r:cancel()
  return vm, r
end

describe('cancelling a task', function()
  after_each(script.close_all)

  it('ends its wait with an error object', function()
    local vm, r = cancelled 'mesh.sleep(50)'
    vm:turn()
    assert.equal('cancelled CANCELLED: cancelled by the caller', table.concat({ r:state() }, ' ', 1, 2))
  end)

  it('keeps its first reason', function()
    local vm = script.vm()
    local r = script.start(vm, 'mesh.sleep(50)')
    vm:advance(1000)
    r:cancel('TIMEOUT', 'first')
    r:cancel('CANCELLED', 'second')
    vm:turn()
    assert.equal('TIMEOUT: first', select(2, r:state()))
  end)

  it('before it started ends it without running', function()
    local vm = script.vm()
    local r = script.start(vm, "error 'ran'")
    r:cancel()
    assert.equal('ready', (r:state()))
    vm:turn()
    assert.equal('cancelled', (r:state()))
  end)

  it('runs its <close> variables, innermost first, and they may wait', function()
    local vm, r = cancelled [[
      out = spec
      local a <close> = closer(function() log 'outer' end)
      local b <close> = closer(function() mesh.sleep(1) log 'inner' end)
      mesh.sleep(50)
    ]]
    vm:advance(500000)
    assert.equal('waiting', (r:state()))
    vm:advance(600000)
    assert.equal('cancelled', (r:state()))
    local check = script.start(vm, 'return logged()')
    vm:turn()
    assert.equal('inner,outer', select(2, check:state()))
  end)

  it('runs the <close> variables of generators below it, which may wait too', function()
    local vm, r = cancelled [[
      local gen = coroutine.wrap(function()
        local _ <close> = closer(function() mesh.sleep(1) log 'generator' end)
        mesh.sleep(50)
      end)
      local _ <close> = closer(function() log 'task' end)
      gen()
    ]]
    vm:advance(1500000)
    assert.equal('cancelled', (r:state()))
    local check = script.start(vm, 'return logged()')
    vm:turn()
    assert.equal('generator,task', select(2, check:state()))
  end)

  it('is raised again at each further wait of a script that caught it', function()
    local vm, r = cancelled [[
      local caught = 0
      for i = 1, 3 do
        local ok, err = pcall(mesh.sleep, 50)
        if not ok and err.code == 'CANCELLED' then caught = caught + 1 end
      end
      return caught
    ]]
    vm:turn()
    assert.equal('done 3', table.concat({ r:state() }, ' ', 1, 2))
  end)

  it('is raised again after xpcall and coroutine.resume caught it', function()
    for _, catch in ipairs {
      'xpcall(mesh.sleep, function(e) return tostring(e) end, 50)',
      'coroutine.resume(coroutine.create(mesh.sleep), 50)',
    } do
      local vm, r = cancelled(catch .. ' mesh.sleep(1) return "went on"')
      vm:turn()
      assert.equal('cancelled', (r:state()))
    end
  end)

  it('lets cleanup wait also after it was caught', function()
    local vm, r = cancelled [[
      local _ <close> = closer(function() mesh.sleep(1) log 'cleaned' end)
      pcall(mesh.sleep, 50)
      mesh.sleep(50)
    ]]
    vm:advance(1500000)
    assert.equal('cancelled', (r:state()))
    local check = script.start(vm, 'return logged()')
    vm:turn()
    assert.equal('cleaned', select(2, check:state()))
  end)

  it('reaches a yield that would not wait', function()
    local vm = script.vm()
    local r = script.start(vm, 'pcall(mesh.sleep, 50) coroutine.yield(1) return "went on"', { streams = true })
    vm:advance(1000)
    r:cancel()
    vm:turn()
    assert.equal('cancelled', (r:state()))
    assert.equal('', r:chunks())
  end)

  it('ends it hard when its cleanup waits beyond the grace', function()
    local vm, r = cancelled [[
      local a <close> = closer(function() log 'outer' end)
      local b <close> = closer(function() mesh.sleep(50) log 'never' end)
      mesh.sleep(50)
    ]]
    vm:advance(1900000)
    assert.equal('waiting', (r:state()))
    vm:advance(200000)
    assert.equal('cancelled', (r:state()))
    local check = script.start(vm, 'return logged()')
    vm:turn()
    assert.equal('outer', select(2, check:state()))
    assert.equal(1, select(3, vm:counts()))
  end)

  it('ends it hard from the innermost coroutine outward', function()
    local vm, r = cancelled [[
      local function level(n)
        local _ <close> = closer(function() log(n) end)
        if n == 3 then
          local _ <close> = closer(function() mesh.sleep(50) end)
          mesh.sleep(50)
        end
        coroutine.wrap(level)(n + 1)
      end
      level(1)
    ]]
    vm:advance(5000000)
    assert.equal('cancelled', (r:state()))
    local check = script.start(vm, 'return logged()')
    vm:turn()
    assert.equal('3,2,1', select(2, check:state()))
  end)

  it('refuses waits of <close> variables at the hard end, and ends it all the same', function()
    local vm, r = cancelled [[
      local a <close> = closer(function() log(pcall(mesh.sleep, 1) and 'waited' or 'refused') end)
      local b <close> = closer(function() mesh.sleep(50) end)
      mesh.sleep(50)
    ]]
    vm:advance(5000000)
    assert.equal('cancelled', (r:state()))
    local check = script.start(vm, 'return logged()')
    vm:turn()
    assert.equal('refused', select(2, check:state()))
  end)

  it('keeps an error that cleanup raises instead', function()
    local vm, r = cancelled [[
      local _ <close> = closer(function() error('cleanup', 0) end)
      mesh.sleep(50)
    ]]
    vm:turn()
    assert.equal('failed cleanup', table.concat({ r:state() }, ' ', 1, 2))
  end)

  it('cancels its children, and theirs', function()
    local vm, r = cancelled [[
      mesh.scope(function(scope)
        scope:spawn(function()
          mesh.scope(function(inner) inner:spawn(mesh.sleep, 50) mesh.sleep(50) end)
        end)
        mesh.sleep(50)
      end)
    ]]
    vm:turn()
    assert.equal('cancelled', (r:state()))
    assert.equal(0, (vm:counts()))
  end)

  it('leaves spawned tasks alone', function()
    local vm = cancelled 'mesh.spawn(mesh.sleep, 50) mesh.sleep(50)'
    vm:turn()
    assert.equal(1, (vm:counts()))
  end)

  it('from inside itself takes effect at its next wait', function()
    assert.equal('cancelled on,', script.eval [[
      local t
      t = mesh.spawn(function() t:cancel() log 'on' mesh.sleep(1) log 'never' end)
      pcall(t.await, t)
      return t.status, logged() .. ','
    ]])
  end)

  it('gives those who await it its error object', function()
    assert.equal('false CANCELLED enough', script.eval [[
      local t = mesh.spawn(mesh.sleep, 50)
      mesh.sleep(1)
      t:cancel 'enough'
      local ok, err = pcall(t.await, t)
      return ok, err.code, err.message
    ]])
  end)

  it('does nothing to a task that has ended', function()
    assert.equal('done 7', script.eval [[
      local t = mesh.spawn(function() return 7 end)
      t:await()
      t:cancel()
      return t.status, t:await()
    ]])
  end)

  it('of a task deep in children of children needs no C stack', function()
    local vm, r = cancelled [[
      local function nest(n)
        mesh.scope(function(scope)
          if n < 3000 then scope:spawn(nest, n + 1) end
          mesh.sleep(50)
        end)
      end
      nest(1)
    ]]
    vm:advance(1000)
    assert.equal('cancelled', (r:state()))
    vm:advance(3000000)
    assert.equal(0, (vm:counts()))
  end)
end)
