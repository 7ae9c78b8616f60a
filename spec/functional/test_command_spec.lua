--- `perilune test`: specs of busted in a node.

local process = require 'spec.support.process'

local SERVICE = [[
  local mesh = require 'perilune'
  mesh.action('add', function(a, b) return a + b end)
  mesh.action('count', function(n)
    for i = 1, n do coroutine.yield(i) mesh.sleep(0.001) end
    return 'done'
  end)
]]

--- A folder with a service and a spec; `body` is what its `describe` has, with `mesh` at hand.
local function project(body, files)
  local all = { ['service.lua'] = SERVICE, ['spec/a_spec.lua'] = "local mesh = require 'perilune'\n"
    .. "describe('a', function()\n  setup(function() require 'service' end)\n" .. body .. '\nend)\n' }
  for name, text in pairs(files or {}) do all[name] = text end
  return process.temp_dir(all)
end

local function test(dir, ...)
  local arguments = { ... }
  arguments[#arguments + 1] = { cwd = dir }
  return process.perilune_run('test', table.unpack(arguments))
end

local LIMIT = math.ceil(process.patience) -- seconds that a test which does next to nothing does not need

describe('perilune test', function()
  it('runs each test as a task that may wait, call and stream', function()
    local run = test(project [[
      local trail = {}
      setup(function() mesh.sleep(0.001) trail[#trail + 1] = 'setup' end)
      teardown(function() mesh.sleep(0.001) print(table.concat(trail, ' ')) end)
      before_each(function() trail[#trail + 1] = 'before' .. mesh.call('add', 1, 1) end)
      after_each(function() mesh.sleep(0.001) trail[#trail + 1] = 'after' end)
      it('calls', function()
        finally(function() trail[#trail + 1] = 'finally' .. mesh.call('add', 2, 2) end)
        assert.equal(5, mesh.call('add', 2, 3))
      end)
      it('streams', function()
        local sum = 0
        for i in mesh.stream('count', 3) do sum = sum + i end
        assert.equal(6, sum)
      end)
      it('leaves a stream early', function()
        for i in mesh.stream('count', 1000000) do if i == 3 then break end end
      end)
      it('gets errors', function()
        local ok, err = pcall(mesh.call, 'add', 1, {})
        assert.is_false(ok)
        assert.equal('HANDLER_ERROR', err.code)
      end)
      pending('is not written')
    ]])
    assert.equal(0, run.code, run.stdout .. run.stderr)
    assert.matches('4 successes / 0 failures / 0 errors / 1 pending', run.stdout)
    assert.truthy(run.stdout:find('setup before2 finally4 after before2 after', 1, true), run.stdout)
    assert.equal('', run.stderr)
  end)

  it('tells what failed and where, and ends with 1', function()
    local run = test(project [[
      it('compares', function() assert.equal(1, 2) end)
      it('calls nobody', function() mesh.call('nothing') end)
      it('raises a table', function() error { code = 'OUT_OF_STOCK', message = 'none left' } end)
      it('fails in a task', function() mesh.spawn(function() error 'inner' end):await() end)
      it('goes on', function() assert.equal(5, mesh.call('add', 2, 3)) end)
    ]])
    assert.equal(1, run.code)
    assert.matches('1 success / 1 failure / 3 errors / 0 pending', run.stdout)
    assert.matches('spec/a_spec.lua:4: Expected objects to be equal', run.stdout)
    assert.matches("spec/a_spec.lua:5: NOT_FOUND: no reachable node provides the action 'nothing'", run.stdout)
    assert.matches('spec/a_spec.lua:6: .*none left', run.stdout)
    assert.matches('spec/a_spec.lua:7: inner', run.stdout)
  end)

  it('fails a test that leaves a task, a stream or a call open, and ends these', function()
    local run = test(project [[
      local kept
      it('leaves a task', function() mesh.spawn(function() mesh.sleep(100) end) end)
      it('leaves a stream', function() kept = mesh.stream('count', 1000000) kept:next() end)
      it('leaves a handler', function()
        mesh.action('wait', function() mesh.sleep(100) end)
        mesh.spawn(function() mesh.call('wait') end)
      end)
      it('leaves nothing', function()
        kept:close()
        assert.equal(3, mesh.metrics().tasks_now)
        local cancelled = mesh.spawn(function() mesh.sleep(100) end)
        cancelled:cancel()
        local s = mesh.stream('count', 5)
        s:next()
        s:close()
      end)
    ]])
    assert.equal(1, run.code)
    assert.matches('1 success / 3 failures / 0 errors', run.stdout, run.stdout)
    assert.matches('a_spec.lua:5: the test left open: a task at spec/a_spec.lua:5 %(mesh.sleep%)', run.stdout)
    assert.matches("a_spec.lua:6: the test left open: a stream of 'count'", run.stdout)
    assert.matches('a_spec.lua:7: the test left open: a call; a task at spec/a_spec.lua:9', run.stdout)
  end)

  it('lets after_each close what before_each opened, and tells when it does not', function()
    local run = test(project [[
      local task
      describe('neat', function()
        before_each(function() task = mesh.spawn(function() mesh.sleep(100) end) end)
        after_each(function() task:cancel() end)
        it('one', function() end)
      end)
      describe('careless', function()
        before_each(function() mesh.spawn(function() mesh.sleep(100) end) end)
        it('two', function() end)
      end)
    ]])
    assert.equal(1, run.code)
    assert.matches('2 successes / 0 failures / 1 error ', run.stdout)
    assert.matches('a_spec.lua:12: before_each left open: a task at spec/a_spec.lua:11', run.stdout)
  end)

  it('ends a test that takes too long, and goes on', function()
    local run = test(project [[
      it('sleeps', function() mesh.sleep(1000) end)
      it('goes on', function() assert.equal(5, mesh.call('add', 2, 3)) end)
    ]], '--timeout', tostring(LIMIT))
    assert.equal(1, run.code)
    assert.matches('1 success / 0 failures / 1 error ', run.stdout)
    assert.matches('a_spec.lua:4: CANCELLED: the test takes longer than ' .. LIMIT .. ' s %(%-%-timeout%)', run.stdout)
  end)

  it('ends a test that nothing else ends, and goes on', function()
    local run = test(project [[
      it('hides it', function()
        local hidden <close> = setmetatable({}, { __close = function() while true do mesh.sleep(1000) end end })
        mesh.sleep(1000)
      end)
      it('goes on', function() assert.equal(5, mesh.call('add', 2, 3)) end)
    ]], '--timeout', tostring(LIMIT))
    assert.equal(1, run.code, run.stdout .. run.stderr)
    assert.matches('1 success / 0 failures / 1 error ', run.stdout)
  end)

  it('tells of a test that takes too much memory, or calls too deep, and goes on', function()
    local run = test(project [[
      it('takes memory', function()
        local list, block = {}, ('x'):rep(1000000)
        while true do list[#list + 1] = block .. #list end
      end)
      it('recurses', function() local function f() return 1 + f() end f() end)
      it('goes on', function() assert.equal(5, mesh.call('add', 2, 3)) end)
    ]])
    assert.equal(1, run.code)
    assert.matches('1 success / 0 failures / 2 errors', run.stdout)
    assert.matches('\na takes memory\n[^\n]*not enough memory', run.stdout)
    assert.matches('\na recurses\nspec/a_spec.lua:8: stack overflow', run.stdout)
  end)

  it('takes the options of busted, files and folders', function()
    local dir = project("it('one', function() end) it('two', function() end)", {
      ['other/b_spec.lua'] = "it('three', function() end)",
      ['other/lua_modules/x.lua'] = '',
      ['spec/readme.lua'] = "error 'not a spec'",
    })
    assert.matches('^%+%+\n2 successes', test(dir).stdout)
    assert.matches('^%+\n1 success ', test(dir, '--filter', 'two').stdout)
    assert.matches('^%+\n1 success ', test(dir, 'other').stdout)
    assert.matches('^%+%+%+\n3 successes ', test(dir, 'other/b_spec.lua', 'spec').stdout)
    assert.matches('%[  PASSED  %] 2 tests%.', test(dir, '-o', 'gtest').stdout)
    assert.matches('spec/a_spec.lua:4: a one', test(dir, '--list').stdout)
  end)

  it('tells wrong usage by 2, and what is missing by 1', function()
    local dir = project ''
    local wrong = test(dir, '--filtr=x')
    assert.same({ 2, '' }, { wrong.code, wrong.stdout })
    assert.matches('unknown/bad option: %-%-filtr', wrong.stderr)
    assert.equal(2, test(dir, '--timeout', 'soon').code)
    local missing = test(dir, 'nowhere')
    assert.equal(1, missing.code)
    assert.matches('Cannot find file or directory: nowhere', missing.stdout)
    local broken = test(project('it('))
    assert.equal(1, broken.code)
    assert.matches("spec/a_spec.lua:", broken.stdout)
  end)

  it('says what to install when busted is missing', function()
    local run = process.perilune_run('test', { cwd = project '', env = { LUA_PATH = './?.lua' } })
    assert.same({ 1, '' }, { run.code, run.stdout })
    assert.matches('^NOT_FOUND: busted is not installed.*\n.*apt%-get install lua%-busted\n', run.stderr)
  end)

  it('has a node that is alone, whatever the environment says', function()
    local dir = project "it('is alone', function() assert.equal(1, #mesh.nodes()) end)"
    process.start({ process.perilune, 'run', 'service.lua' }, { cwd = dir }):wait_line '^ready '
    local env = { PERILUNE_NAME = 'other', PERILUNE_MESH = 'default', PERILUNE_PEER = 'tcp://127.0.0.1:1' }
    local run = process.perilune_run('test', { cwd = dir, env = env })
    assert.equal(0, run.code, run.stdout .. run.stderr)
  end)

  it('ends at once when it is interrupted', function()
    local p = process.start({ process.perilune, 'test' }, { cwd = project [[
      it('waits', function() print 'waiting' io.stdout:flush() mesh.sleep(1000) end)
      it('is not begun', function() print 'begun' end)
    ]] })
    p:wait_line 'waiting'
    p:kill 'INT'
    assert.equal(130, p:wait())
    assert.is_nil(p:stdout():find('begun', 1, true))
  end)
end)
