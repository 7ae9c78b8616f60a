--- Seeing inside: the tasks of nodes, their stacks, their end by hand, and what is held in memory.

local cluster = require 'spec.support.cluster'
local json = require 'dkjson'
local process = require 'spec.support.process'
local stranger = require 'spec.support.stranger'

-- luacheck: globals mesh report, ignore 431

local S = stranger

cluster.describe('what a node tells of its tasks', { 'mem', 'unix' }, function(over)
  local net

  before_each(function() net = over.net end)

  local function ps() return mesh.with { node = 'b' }.call '_perilune.ps' end

  --- Until so many tasks of the action wait; what ps says then.
  local function listing(a, action, count)
    local list
    net:wait(function()
      list = a:eval(ps)
      for _, group in ipairs(list.groups) do
        if group.action == action and group.count == count and group.waits_for then return true end
      end
      return false
    end, count .. ' tasks that wait')
    return list
  end

  local function group_of(list, action)
    for i, group in ipairs(list.groups) do
      if group.action == action then return group, i end
    end
  end

  local function server()
    mesh.action('nap', function() mesh.sleep(1000) end)
    mesh.action('nest', function()
      local function inner() mesh.call 'nap' end
      coroutine.wrap(function() coroutine.wrap(inner)() end)()
    end)
    mesh.action('cleans', function()
      local _ <close> = setmetatable({}, { __close = function() report 'closed' mesh.sleep(1) report 'waited' end })
      while true do pcall(mesh.sleep, 1000) end
    end)
  end

  it('has those that stand at the same place in one group, with what they wait for and since when', function()
    local b = net:node('b', {}, server)
    local a = net:node('a', { peers = { b } })
    for _ = 1, 5 do a:start(function() mesh.call 'nap' end) end
    listing(a, 'nap', 5)
    net:advance(0.2)
    local list = listing(a, 'nap', 5)
    local group, index = group_of(list, 'nap')
    assert.same({ 'handler', 'mesh.sleep', 'waiting', 1, 5 },
      { group.kind, group.waits_for, group.state, group.generation, group.count })
    assert.is_true(group.waited >= 0.2)
    assert.matches(':%d+$', group.at)
    assert.equal(3, #group.ids)
    local seen = {}
    for _, task in ipairs(list.tasks) do
      assert.is_nil(seen[task.id])
      seen[task.id] = true
      if task.group == index then
        assert.same({ a:id(), 'a' }, { task.caller, task.caller_name })
        assert.is_true(task.waited >= 0.2 and task.age >= task.waited and task.cpu >= 0)
      end
    end
  end)

  it('is one stack over the coroutines of a task', function()
    local b = net:node('b', {}, server)
    local a = net:node('a', { peers = { b } })
    a:start(function() mesh.call 'nest' end)
    local id = group_of(listing(a, 'nest', 1), 'nest').ids[1]
    local stack = a:eval(function(task) return mesh.with { node = 'b' }.call('_perilune.stack', task) end, id)
    local _, coroutines = stack:gsub('stack traceback:', '')
    assert.equal(3, coroutines)
    assert.matches("in %w+ 'perilune.call'", stack)
  end)

  it('ends by hand, whatever it catches and cleans up', function()
    local b = net:node('b', {}, server)
    local a = net:node('a', { peers = { b } })
    local run = a:start(function() mesh.with { timeout = 0 }.call 'cleans' end)
    local id = group_of(listing(a, 'cleans', 1), 'cleans').ids[1]
    a:eval(function(task) mesh.with { node = 'b' }.call('_perilune.kill', task) end, id)
    local e = run:failure()
    assert.same({ 'CANCELLED', 'unknown' }, { e.code, e.outcome })
    assert.is_nil(group_of(a:eval(ps), 'cleans'))
    assert.same({ 'closed' }, b:reported())
    local again = a:fails(function(task) mesh.with { node = 'b' }.call('_perilune.kill', task) end, id)
    assert.same({ 'NOT_FOUND', 'executed' }, { again.code, again.outcome })
  end)

  it('is of this node and its scripts alone', function()
    local b = net:node('b', {}, server)
    local a = net:node('a', { peers = { b } })
    a:start(function() mesh.sleep(1000) end)
    assert.is_true(a:eval(function() return mesh.with { node = mesh.self().id }.call('_perilune.ps').count end) > 0)
    assert.equal(0, a:eval(ps).count)
    assert.equal(b:id(), a:fails(function() mesh.with { node = 'b' }.call('_perilune.stack', 1) end).node)
  end)

  it('tells of each script which generation serves, and what came of its newest reload', function()
    local b = net:node('b', {}, server)
    local a = net:node('a', { peers = { b } })
    local function script() return a:eval(ps).scripts[1] end
    assert.same({ script = 'b', generation = 1, generations = 1 }, script())
    b:reloaded "local mesh = require 'perilune'\nerror 'boom'"
    net:advance(2)
    local after = script()
    assert.same({ 1, 1, 'HANDLER_ERROR' }, { after.generation, after.reload.generation, after.reload.code })
    assert.matches('^b:2: boom\nstack traceback:', after.reload.failure)
    assert.is_true(after.reload.ago >= 2 and after.reload.ago < 3 and after.reload.took >= 0)
    b:reloaded(server)
    net:advance(1)
    after = script()
    assert.same({ 2, 1, 2 }, { after.generation, after.generations, after.reload.generation })
    assert.is_nil(after.reload.failure)
    assert.is_true(after.reload.ago < 2)
  end)

  it('refuses what is no id', function()
    local b = net:node('b', {}, server)
    local a = net:node('a', { peers = { b } })
    for _, action in ipairs { 'stack', 'kill' } do
      for _, given in ipairs { 0, -1, 1.5, 'x', {}, true, math.mininteger } do
        local e = a:fails(function(name, value) mesh.with { node = 'b' }.call('_perilune.' .. name, value) end, action,
          given)
        assert.equal('INVALID', e.code)
      end
    end
    local s = S.greet(net, b)
    for i, body in ipairs { '', '\x90', '\xc1', '\x92\1\2', '\x91', '\xdd\xff\xff\xff\xff', '[1]' } do
      s:call(2 * i - 1, '_perilune.kill', nil, body)
      assert.equal('INVALID', s:error(2 * i - 1).code)
    end
  end)

  it('is bounded, however many there are', function()
    local b = net:node('b', {}, function()
      mesh.action('crowd', function(n)
        for i = 1, n do mesh.spawn(function() mesh.sleep(1000 + i % 2) end) end
        -- As many places, each with tasks of its own.
        for i = 1, 400 do
          local f = load(('\n'):rep(i) .. 'local sleep = ... sleep(1000)', '@places')
          mesh.spawn(f, mesh.sleep)
        end
      end)
    end)
    local a = net:node('a', { peers = { b } })
    a:eval(function() mesh.call('crowd', 10000) end)
    local list
    net:wait(function()
      list = a:eval(ps)
      return #list.groups >= 256
    end, 'all tasks to wait in their places')
    assert.same({ 10400, 256, 1000 }, { list.count, #list.groups, #list.tasks })
    local largest = 0
    for _, group in ipairs(list.groups) do largest = math.max(largest, group.count) end
    assert.equal(10000, largest)
  end)

  it('goes with its memory', function()
    local b = net:node('b', { memory_limit = 64 * 1024 * 1024, buffer_limit = 32 * 1024 * 1024 }, function()
      mesh.action('hold', function() kept = ('x'):rep(8 * 1024 * 1024) end) -- luacheck: ignore
      mesh.action('flood', function() while true do coroutine.yield(('x'):rep(1000)) end end)
    end)
    local a = net:node('a', { peers = { b } })
    local function mem() return a:eval(function() return mesh.with { node = 'b' }.call '_perilune.mem' end) end
    local before = mem()
    assert.equal(64 * 1024 * 1024, before.scripts[1].limit)
    assert.equal(32 * 1024 * 1024, before.held.limit)
    assert.same({ 1, 0, 1 }, { before.scripts[1].generation, before.held.stream_count, #before.scripts })
    a:eval(function()
      mesh.call 'hold'
      held = mesh.stream 'flood' -- luacheck: ignore
      held:next() -- luacheck: ignore
    end)
    net:settle()
    local after = mem()
    assert.is_true(after.scripts[1].bytes >= before.scripts[1].bytes + 8 * 1024 * 1024)
    assert.equal(1, after.held.stream_count)
    assert.is_true(after.process.resident > 0 and after.process.blocks > 0)
  end)
end)

describe('the commands that look inside', function()
  local dir

  local WORKER = [[
    local mesh = require 'perilune'
    mesh.action('nap', function() mesh.sleep(1000) end)
    mesh.action('burn', function() while true do pcall(function() while true do end end) end end, { cpu_limit = 1000 })
  ]]

  local CLIENT = [[
    local mesh = require 'perilune'
    for i = 1, 3 do mesh.spawn(function() mesh.with { timeout = 0 }.call 'nap' end) end
    mesh.spawn(function()
      local ok, err = pcall(mesh.with { timeout = 0 }.call, 'burn')
      print(ok, err.code, err.outcome)
    end)
  ]]

  local function perilune(...) return process.run({ process.perilune, ... }, { cwd = dir }) end

  local function start(name)
    local p = process.start({ process.perilune, 'run', 'worker.lua', '--name', name }, { cwd = dir })
    p:wait_line '^ready '
    return p
  end

  --- The fields of the line whose field `n` is `value`.
  local function line_of(text, n, value)
    for line in text:gmatch '[^\n]+' do
      local fields = {}
      for field in line:gmatch '%S+' do fields[#fields + 1] = field end
      if fields[n] == value then return fields end
    end
  end

  --- Until `text` of a command has such a line.
  local function wait_for(n, value, ...)
    for _ = 1, 100 do
      local fields = line_of(perilune(...).stdout, n, value)
      if fields then return fields end
    end
    error(value .. ' does not appear')
  end

  before_each(function() dir = process.temp_dir { ['worker.lua'] = WORKER, ['client.lua'] = CLIENT } end)

  it('work while a script burns CPU time, and end it', function()
    local worker = start 'web'
    local client = process.start({ process.perilune, 'run', 'client.lua', '--name', 'caller' }, { cwd = dir })
    local burn = wait_for(4, 'burn', 'ps', '--all', 'web')
    assert.same({ 'web', '1', 'caller', '1', 'computing' }, { burn[1], burn[3], burn[5], burn[6], burn[7] })
    wait_for(4, '3', 'ps')
    local text = perilune('ps').stdout
    assert.matches('^NODE +ID +COUNT +TASK +CALLER +GEN +WAITS FOR +SINCE +CPU +AT\n', text)
    assert.matches('\nweb +%d+ %.%.%. +3 +nap +caller +1 +mesh.sleep +%d+', text)
    assert.matches('worker.lua:2', text)
    local stack = perilune('ps', '--stack', burn[2])
    assert.equal(0, stack.code, stack.stderr)
    assert.matches('worker.lua:3: in', stack.stdout)
    local all = json.decode(perilune('ps', '--json', 'web').stdout)
    assert.same({ 1, 'web', 4 }, { #all, all[1].name, all[1].count })
    local mem = perilune('mem', 'web')
    assert.matches('\nweb +worker.lua +[%d.]+ KiB +256.0 MiB +generation 1, 4 tasks\n', mem.stdout)
    assert.equal(32, #json.decode(perilune('mem', '--json').stdout)[1].node)

    local killed = perilune('kill', burn[2])
    assert.same({ 0, '', '' }, { killed.code, killed.stdout, killed.stderr })
    client:wait_line '^false\tCANCELLED\tunknown'
    assert.is_nil(line_of(perilune('ps', '--all').stdout, 4, 'burn'))
    assert.matches('task killed id=%d+ script=worker.lua kind=handler action=burn', worker:stderr())
    client:kill 'TERM'
    client:wait()
    worker:kill 'TERM'
    worker:wait()
  end)

  it('say what is wrong', function()
    local worker = start 'web'
    for _, case in ipairs {
      { 1, '^NOT_FOUND: no task 99 runs here', 'kill', '99' },
      { 2, "^INVALID: 'x' is not the id of a task", 'kill', 'x' },
      { 2, "^INVALID: '0' is not the id of a task", 'ps', '--stack', '0' },
      { 2, '^INVALID: ID is missing: perilune kill ID %[NODE%]', 'kill' },
      { 2, "^INVALID: unexpected argument 'more'", 'ps', 'web', 'more' },
      { 1, "^NO_ROUTE: no node named 'nobody' is known", 'ps', 'nobody' },
      { 1, "^NO_ROUTE: no node named 'nobody' is known", 'mem', 'nobody' },
      { 3, '^CONNECT_FAILED: no node runs', 'ps', '--mesh', 'empty' },
    } do
      local p = perilune(table.unpack(case, 3))
      assert.equal(case[1], p.code, p.stderr)
      assert.matches(case[2], p.stderr)
      assert.equal('', p.stdout)
    end
    worker:kill 'TERM'
    worker:wait()
  end)

  it('ask all nodes, and want to know which where that is not clear', function()
    local workers = { start 'web', start 'web' }
    local text = perilune('mem').stdout
    local _, scripts = text:gsub('worker.lua', '')
    assert.equal(2, scripts)
    local twice = perilune('ps', 'web')
    assert.equal(1, twice.code)
    assert.matches("^INVALID: several nodes are named 'web': %x+", twice.stderr)
    assert.equal(1, perilune('kill', '99').code)
    assert.matches('^NOT_FOUND: no task 99 runs at any node', perilune('kill', '99').stderr)
    for _, worker in ipairs(workers) do
      worker:kill 'TERM'
      worker:wait()
    end
  end)
end)
