--- Versions that are no good: the old one goes on serving, and the error says where.

local cluster = require 'spec.support.cluster'

-- luacheck: globals mesh report, ignore 111 112 113 142

local MIB = 1024 * 1024

local function good()
  mesh.action('v', function() return 'good' end)
  mesh.action('ask', function() return mesh.reload() end)
end

cluster.describe('a bad version', { 'mem' }, function(over)
  local a, b

  local function start(options, main)
    b = over.net:node('b', options or {}, main or good)
    a = over.net:node('a', { peers = { b } })
  end

  --- Reloads with a text that must fail with that code and message; the old one serves, the next one can.
  local function refuses(text, code, pattern)
    local before, serving = #over.net:log(), b:reloads()[#b:reloads()]
    local result = b:reloaded(text)
    assert.matches(pattern, result.failure or ('it serves: ' .. result.text))
    assert.equal(code, result.code)
    assert.equal(serving and serving.generation or 1, result.generation)
    assert.equal('good', a:eval(function() return mesh.call 'v' end))
    assert.matches('reload failed, the old version goes on', over.net:log():sub(before))
    over.net:advance(5)
    assert.equal('~ask ~v', b:reloaded(good).text)
    assert.equal('good', a:eval(function() return mesh.call 'v' end))
  end

  it('with a syntax error does not serve', function()
    start()
    refuses('local x =\n= 1', 'HANDLER_ERROR', 'b:2: unexpected symbol near')
  end)

  it('that is half written does not serve', function()
    start()
    refuses("mesh = require 'perilune'\nmesh.action('v', function()\n  return 'ha",
      'HANDLER_ERROR', 'b:3: unfinished string')
  end)

  it('that raises does not serve, nor anything that it has registered', function()
    start()
    refuses("mesh = require 'perilune'\nmesh.action('v', function() return 'bad' end)\nerror 'boom'",
      'HANDLER_ERROR', 'b:3: boom\nstack traceback:')
  end)

  it('that raises an error with a code tells it', function()
    start()
    refuses("error { code = 'OUT_OF_STOCK', message = 'no more' }", 'HANDLER_ERROR', 'OUT_OF_STOCK: no more')
  end)

  it('whose module is missing does not serve', function()
    start()
    refuses("require 'no.such.module'", 'HANDLER_ERROR', "module 'no.such.module' not found")
  end)

  it('that does not end to load is broken off', function()
    start { load_limit = 2 }
    refuses("local mesh = require 'perilune'\nlocal function wait() mesh.sleep(1000) end\nwait()",
      'TIMEOUT', "b: has not loaded within 2 s\nstack traceback:.*\n\tb:2: in .*\n\tb:3: in main chunk")
  end)

  it('that catches that it is broken off is ended', function()
    start { load_limit = 2, cleanup_grace = 1 }
    refuses("mesh = require 'perilune' while true do pcall(mesh.sleep, 1) end", 'TIMEOUT', 'has not loaded')
  end)

  it('that computes for ever is ended', function()
    start { cpu_limit = 0.05 }
    refuses('while true do end', 'CPU_LIMIT', 'CPU_LIMIT')
    refuses('while true do pcall(error) end', 'CPU_LIMIT', 'CPU_LIMIT')
  end)

  it('that recurses for ever does not serve', function()
    start { cpu_limit = 60 } -- which some builds take a while for
    refuses('local function f() return 1 + f() end f()', 'HANDLER_ERROR', 'stack overflow')
  end)

  it('that takes all memory does not serve', function()
    start { memory_limit = 16 * MIB }
    refuses("local t = {}\nfor i = 1, 1e9 do t[i] = ('x'):rep(10000) .. i end",
      'MEMORY_LIMIT', 'b:2: not enough memory: memory_limit is 16 MiB')
  end)

  it('that registers nothing any more does not serve', function()
    start()
    refuses('', 'INVALID', 'b: registers no action any more and runs nothing')
    refuses("local mesh = require 'perilune' mesh.action('v', print) mesh.remove 'v'", 'INVALID', 'registers no action')
  end)

  it('that registers nothing but goes on with something serves', function()
    start()
    assert.equal('-ask -v', b:reloaded("require 'perilune'.every(1, function() end)").text)
  end)

  it('whose actions cannot be published does not serve, and the old ones stay', function()
    start()
    refuses("mesh = require 'perilune' mesh.action('w', print) mesh.action('v', print) mesh.action('\\1', print)",
      'INVALID', 'a name is 1 to 255 bytes')
    assert.equal('NOT_FOUND', a:fails(function() return mesh.call 'w' end).code)
  end)

  it('that cleans up what it has registered, when it is ended, does no harm', function()
    start { load_limit = 1, cleanup_grace = 0.5 }
    refuses([[mesh = require 'perilune'
      mesh.action('v', function() return 'bad' end)
      mesh.action('w', print)
      local function undo() return mesh.remove 'v', mesh.remove 'w', pcall(mesh.action, 'x', print) end
      mesh.spawn(function()
        local _ <close> = setmetatable({}, { __close = undo })
        mesh.sleep(1e6)
      end)
      local _ <close> = setmetatable({}, { __close = undo })
      while true do pcall(mesh.sleep, 10) end]], 'TIMEOUT', 'has not loaded')
  end)

  it('whose running task removes what it has registered while it is closed does no harm', function()
    start()
    refuses([[mesh = require 'perilune'
      mesh.action('v', function() return 'bad' end)
      local task = mesh.spawn(function()
        local _ <close> = setmetatable({}, { __close = function() mesh.remove 'v' end })
        mesh.sleep(1e6)
      end)
      pcall(mesh.timeout, 0.01, function() task:await() end) -- begins it
      error 'boom']], 'HANDLER_ERROR', 'boom')
  end)

  it('that reloads itself while it loads does not serve', function()
    start()
    refuses("require 'perilune'.reload()", 'HANDLER_ERROR', 'b:1: mesh.reload: the script is being loaded')
  end)

  for name, text in pairs {
    ['while it loads'] = '\nos.exit(3)',
    ['while it loads, and catches everything'] = '\npcall(os.exit, false) error "it goes on"',
    ['in its on_load'] = "\nrequire 'perilune'.on_load(function() os.exit() end)",
  } do
    it('that calls os.exit ' .. name .. ' does not serve, and ends nothing else', function()
      start()
      refuses("require 'perilune'.action('v', print)" .. text, 'INVALID',
        'b:2: os.exit was called while the new version was loaded')
    end)
  end

  it('that stops the node while it loads does not serve, and the node goes on', function()
    start()
    refuses("\nrequire 'perilune'.stop()", 'INVALID', 'mesh.stop: the script is being loaded\nstack traceback:.*b:2: ')
  end)

  it('whose on_load fails never serves', function()
    start(nil, function()
      mesh.action('v', function() return 'good' end)
      mesh.action('ask', function() end)
      mesh.on_unload(function() return 5 end)
    end)
    refuses([[mesh = require 'perilune'
      mesh.action('v', function() return 'bad' end)
      mesh.on_load(function(n) error('bad state ' .. n) end)]], 'HANDLER_ERROR', 'b:3: bad state 5')
  end)

  it('whose on_load does not end never serves', function()
    start { load_limit = 1 }
    refuses([[mesh = require 'perilune'
      mesh.action('v', function() return 'bad' end)
      mesh.on_load(function() mesh.sleep(100) end)]], 'TIMEOUT', 'has not loaded within 1 s\n.*\n\tb:3: in')
  end)

  it('does not come when the old one cannot hand over', function()
    start(nil, function()
      mesh.action('v', function() return 'good' end)
      mesh.on_unload(function() return print end)
    end)
    local result = b:reloaded(good)
    assert.matches('value%[1%] is a function', result.failure)
    assert.equal('good', a:eval(function() return mesh.call 'v' end))
    assert.equal(1, result.generation)
  end)

  it('says that there is a hook already', function()
    start()
    refuses([[local mesh = require 'perilune'
      mesh.on_load(function() end)
      mesh.on_load(function() end)]], 'HANDLER_ERROR', 'b:3: mesh.on_load: there is a function already')
    refuses([[local mesh = require 'perilune'
      mesh.on_unload(5)]], 'HANDLER_ERROR', 'b:2: bad argument #1')
  end)

  it('is told to who asked for it', function()
    start()
    b:reload "error 'boom'"
    over.net:advance(0.1)
    local err = a:fails(function() return mesh.call 'ask' end)
    assert.equal('HANDLER_ERROR', err.code)
    assert.matches('b:1: boom', err.message)
  end)

  it('is followed by good ones, a hundred times', function()
    start()
    for i = 1, 100 do
      assert.is_truthy(b:reloaded("error 'boom'").failure)
      assert.equal(i + 1, b:reloaded(good).generation)
    end
    over.net:advance(0.1)
    assert.equal(100, over.net:metrics().reloads)
    assert.equal(100, over.net:metrics().reloads_failed)
    assert.is_true(b:memory() < 2 * MIB)
  end)
end)

cluster.describe('an old version', { 'mem' }, function(over)
  it('whose handler catches everything goes when its time is over', function()
    local b = over.net:node('b', { reload_drain = 1, cleanup_grace = 0.5 }, function()
      mesh.action('v', function()
        report 'began'
        while true do pcall(mesh.sleep, 0.1) end
      end)
    end)
    local a = over.net:node('a', { peers = { b } })
    local call = a:start(function() return mesh.with { timeout = 0 }.call 'v' end)
    b:wait_reports(1)
    b:reloaded(function() mesh.action('v', function() return 2 end) end)
    over.net:advance(3)
    assert.equal('CANCELLED', call:failure().code)
    assert.equal(2, a:eval(function() return mesh.call 'v' end))
    assert.equal(0, over.net:metrics().tasks_now)
  end)

  it('whose finalizers loop goes nevertheless', function()
    local b = over.net:node('b', {}, function()
      held = setmetatable({}, { __gc = function() while true do end end })
      mesh.action('v', function() end)
    end)
    b:reloaded(good)
    over.net:advance(0.1)
    assert.equal('~ask ~v', b:reloaded(good).text)
  end)

  it('runs its finalizers, which find what they refer to', function()
    local b = over.net:node('b', {}, function()
      local tell, name = report, { text = 'kept' }
      held = setmetatable({}, { __gc = function() tell(name.text .. tostring(#string.rep('x', 3))) end })
      mesh.action('v', function() end)
    end)
    b:reloaded(good)
    over.net:advance(0.1)
    assert.same({ 'kept3' }, b:reported())
  end)

  -- When Lua closes a state at once, it finalizes nothing that is made meanwhile.
  it('is collected in pieces before its state is closed, also what its globals hold', function()
    local b = over.net:node('b', {}, function()
      local tell, set = report, setmetatable
      held = set({}, { __gc = function()
        tell 'held'
        set({}, { __gc = function() tell 'made meanwhile' end })
      end })
      mesh.action('v', function() end)
    end)
    b:reloaded(good)
    over.net:advance(0.1)
    assert.same({ 'held', 'made meanwhile' }, b:reported())
  end)

  it('is so, too, when it has added methods to strings, which its finalizers find', function()
    local b = over.net:node('b', {}, function()
      function string.twice(s) return tostring(s) .. s end
      local tell = report
      held = setmetatable({}, { __gc = function()
        tell(('held'):twice() .. ('x'):rep(2))
        setmetatable({}, { __gc = function() tell(('m'):rep(2)) end })
      end })
      plain = setmetatable({}, { __gc = function() tell(('plain'):rep(1)) end })
      mesh.action('v', function() end)
    end)
    b:reloaded(good)
    over.net:advance(0.1)
    assert.same({ 'plain', 'heldheldxx', 'mm' }, b:reported())
  end)

  it('whose on_close fails or does not end goes nevertheless', function()
    local b = over.net:node('b', { cleanup_grace = 0.5 }, function()
      mesh.action('v', function() end)
      mesh.on_close(function() mesh.sleep(1000) end)
      mesh.on_close(function() error 'no cleanup' end)
    end)
    b:reloaded(good)
    over.net:advance(3)
    assert.matches('no cleanup', over.net:log())
    assert.equal(0, over.net:metrics().tasks_now)
  end)

  it('is not held up by the end of the node, nor holds it up', function()
    local b = over.net:node('b', {}, function()
      mesh.action('slow', function()
        report 'began'
        mesh.sleep(0.2)
        return 'done'
      end)
    end)
    local a = over.net:node('a', { peers = { b } })
    local call = a:start(function() return mesh.call 'slow' end)
    b:wait_reports(1)
    b:reloaded(good)
    b:reload "require 'perilune'.sleep(1)"
    over.net:advance(0.01)
    assert.equal(0, b:finish())
    assert.equal('done', (call:wait()))
    assert.equal(1, #b:reloads())
  end)
end)

cluster.describe('a version whose files change while it loads', { 'mem' }, function(over)
  local BREAKS_MAX = 16 -- PL_RELOAD_BREAKS_MAX
  local SLOW = [[
    report 'loads'
    local mesh = require 'perilune'
    mesh.sleep(10)
    mesh.action('v', function() return %q end)
  ]]

  it('is broken off 16 times in a row at most, then loaded to its end', function()
    local b = over.net:node('b', { load_limit = 60 }, good)
    local loads = 0
    local function change(text)
      local told = b:change(text)
      if not told then return false end
      loads = loads + 1
      b:wait_reports(loads)
      return true
    end
    for i = 0, BREAKS_MAX do assert.is_true(change(SLOW:format('version ' .. i))) end
    assert.equal(BREAKS_MAX, #b:reloads())
    for _, reload in ipairs(b:reloads()) do assert.equal('CANCELLED', reload.code) end

    over.net:advance(5)
    assert.is_false(change(SLOW:format 'too late'))
    over.net:advance(6)
    assert.equal(2, b:reloads()[BREAKS_MAX + 1].generation)
    local a = over.net:node('a', { peers = { b } })
    local function ask() return mesh.call 'v' end
    assert.equal('version ' .. BREAKS_MAX, a:eval(ask))

    for i = 1, 2 do assert.is_true(change(SLOW:format('next ' .. i))) end
    over.net:advance(11)
    assert.equal('next 2', a:eval(ask))
  end)
end)

cluster.describe('a version that computes without end', { 'tcp' }, function(over)
  it('is broken off after load_limit, and others are served meanwhile', function()
    local b = over.net:node('b', { load_limit = 0.3 }, good)
    local a = over.net:node('a', { peers = { b } })
    b:reload 'while true do end'
    local served = 0
    over.net:wait(function()
      if #b:reloads() > 0 then return true end
      assert.equal('good', a:eval(function() return mesh.call 'v' end))
      served = served + 1
    end, 'the end of the reload')
    assert.equal('TIMEOUT', b:reloads()[1].code)
    assert.is_true(served >= 1)
  end)
end)
