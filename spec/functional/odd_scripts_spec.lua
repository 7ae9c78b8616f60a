local process = require 'spec.support.process'

local function run(text, options)
  options = options or {}
  local files = { ['app.lua'] = text }
  for name, content in pairs(options.files or {}) do files[name] = content end
  local argv = { process.perilune, 'run', 'app.lua' }
  for _, flag in ipairs(options.flags or {}) do argv[#argv + 1] = flag end
  return process.run(argv, { cwd = process.temp_dir(files), env = options.env, stdin = options.stdin })
end

--- Fails as a script does: code 1, one error that names the place, nothing on standard output.
local function assert_fails(p, ...)
  assert.equal(1, p.code, p.stderr)
  assert.equal('', p.stdout)
  for _, part in ipairs { ... } do
    assert.is_truthy(p.stderr:find(part, 1, true), p.stderr)
  end
end

describe('a script that cannot be loaded', function()
  it('is named with its line', function()
    assert_fails(run 'local x = \n\nreturn +', 'app.lua:3: ')
    assert_fails(run 'x = "open', 'app.lua:1: unfinished string')
    assert_fails(run 'goto nowhere', 'app.lua:1: ', 'nowhere')
    for _, opening in ipairs { '(', '{', 'do ', 'x = ', 'not ' } do
      assert_fails(run(opening:rep(100000)), 'app.lua:')
    end
    assert_fails(run(('local a '):rep(300)), 'app.lua:1: ', 'too many local variables')
  end)

  it('is bytecode', function()
    local code = string.dump(load 'print "ran"')
    assert_fails(run(code), 'app.lua: bytecode is refused')
    assert_fails(run('#!/usr/bin/env perilune\n' .. code), 'app.lua')
    assert_fails(run("require 'part'", { files = { ['part.lua'] = code } }), 'part.lua', 'binary')
    assert_fails(run("dofile 'part.lua'", { files = { ['part.lua'] = code } }), 'binary')
    assert_fails(run("assert(loadfile 'part.lua')", { files = { ['part.lua'] = code } }), 'binary')
    assert_fails(run("assert(loadfile('part.lua', 'b'))", { files = { ['part.lua'] = code } }), 'refused')
    assert_fails(run "assert(load(string.dump(load 'return 1'), 'x', 'b'))", 'refused')
  end)

  it('is no text at all', function()
    assert_fails(run '\0\1\2\3', 'app.lua:1: ')
    assert_fails(run(('\xff'):rep(1000)), 'app.lua:1: ')
    assert_fails(run '\xef\xbb\xbf\xef\xbb\xbfreturn', 'app.lua:1: ')
  end)

  it('is not there, or no file', function()
    for name, why in pairs { ['gone.lua'] = 'No such file or directory', ['.'] = 'Is a directory' } do
      local p = process.perilune_run('run', name)
      assert.equal(1, p.code)
      assert.is_truthy(p.stderr:find(name, 1, true), p.stderr)
      assert.is_truthy(p.stderr:find(why, 1, true), p.stderr)
    end
  end)
end)

describe('a script that fails while it loads', function()
  it('says where, and why', function()
    assert_fails(run 'local function f()\n  error "boom"\nend\nf()', 'app.lua:2: boom', 'app.lua:4: in main chunk')
    local p = run 'error { code = "NO_DISK", message = "full", details = { free = 0 } }'
    assert_fails(p, 'NO_DISK: full', '{"free":0}')
    assert_fails(run 'error(nil)', 'nil')
    assert_fails(run 'error {}', 'table')
    assert_fails(run 'error(setmetatable({}, { __tostring = function() error "again" end }))')
    assert_fails(run 'error(setmetatable({}, { __tostring = function() while true do end end }))')
    assert_fails(run 'error(setmetatable({}, { __index = function() while true do end end }))')
    assert_fails(run 'local x = nil\nx.y = 1', 'app.lua:2: attempt to index a nil value')
  end)

  it('may have opened anything', function()
    local setup = [[
      local mesh = require 'perilune'
      mesh.node { listen = { 'tcp://127.0.0.1:0' }, peers = { 'tcp://127.0.0.1:1' } }
      mesh.action('one', function() return 1 end)
      mesh.spawn(function() mesh.sleep(100) end)
      mesh.every(0.01, function() end)
      local file = require('perilune.fs').open('app.lua')
      local child = require('perilune.process').spawn { 'sleep', '100' }
      mesh.call 'one'
      error 'boom'
    ]]
    assert_fails(run(setup), 'app.lua:9: boom')
  end)

  it('uses more than it may', function()
    assert_fails(run('while true do end', { flags = { '--cpu-limit=0.2' } }), 'CPU_LIMIT')
    local greedy = "local s = 'x' while true do s = s .. s end"
    assert_fails(run(greedy, { flags = { '--memory-limit=16MiB' } }), 'MEMORY_LIMIT')
    assert_fails(run 'local function f() return 1 + f() end f()', 'stack overflow')
    assert_fails(run('while true do pcall(error) end', { flags = { '--cpu-limit=0.2' } }), 'CPU_LIMIT')
  end)

  it('recurses without an end, again and again', function()
    local source = [[
      local function f() return 1 + f() end
      local began = os.clock()
      repeat pcall(f) until os.clock() - began > 1.5
      error 'enough']]
    assert_fails(run(source, { flags = { '--cpu-limit=0' } }), 'app.lua:4: enough')
  end)
end)

describe('os.exit', function()
  --- Where a script may call it; the process must end with 7.
  local PLACES = {
    ['at the top'] = 'os.exit(7)',
    ['in a function of pcall'] = 'pcall(os.exit, 7) print "went on"',
    ['in a coroutine'] = 'coroutine.wrap(function() os.exit(7) end)() print "went on"',
    ['in a coroutine under pcall'] = 'print(pcall(coroutine.wrap(function() pcall(os.exit, 7) end)))',
    ['in a task'] = 'mesh.spawn(function() os.exit(7) end)',
    ['in a task beside others'] = 'for _ = 1, 5 do mesh.spawn(mesh.sleep, 100) end mesh.spawn(os.exit, 7)',
    ['in a task that is awaited'] = 'mesh.spawn(function() os.exit(7) end):await() print "went on"',
    ['in a race'] = 'mesh.race { mesh.spawn(os.exit, 7), mesh.spawn(mesh.sleep, 100) } print "went on"',
    ['in a timer'] = 'mesh.after(0.01, function() os.exit(7) end)',
    ['in a handler'] = "mesh.action('x', function() os.exit(7) end) mesh.call 'x' print 'went on'",
    ['in a handler that streams'] = [[
      mesh.action('x', function() coroutine.yield(1) os.exit(7) end)
      for _ in mesh.stream 'x' do end
      print 'went on'
    ]],
    ['between the chunks of a stream'] = [[
      mesh.action('x', function() while true do coroutine.yield(1) end end)
      for _ in mesh.stream 'x' do os.exit(7) end
    ]],
    ['in a <close> variable'] = [[
      do local _ <close> = setmetatable({}, { __close = function() os.exit(7) end }) end
      print 'went on'
    ]],
    ['in a metamethod'] = 'local t = setmetatable({}, { __index = function() os.exit(7) end }) print(t.x)',
    ['in a comparison of a sort'] = 'table.sort({ 2, 1 }, function() os.exit(7) end) print "went on"',
    ['in a message handler'] = 'xpcall(error, function() os.exit(7) end) mesh.sleep(0) print "went on"',
    ['in a finalizer'] = [[
      setmetatable({}, { __gc = function() os.exit(7) end })
      collectgarbage()
      mesh.spawn(mesh.sleep, 100)
    ]],
    ['in a module'] = "require 'part' print 'went on'",
    ['twice'] = 'mesh.spawn(function() os.exit(7) end) mesh.sleep(0) os.exit(7)',
    ['after stop'] = 'mesh.stop() os.exit(7)',
  }

  for place, text in pairs(PLACES) do
    it('ends the process ' .. place, function()
      local p = run("local mesh = require 'perilune' " .. text, { files = { ['part.lua'] = 'os.exit(7)' } })
      assert.same({ 7, '' }, { p.code, p.stdout }, p.stderr)
    end)
  end

  it('takes true, false and nothing', function()
    assert.equal(0, run('os.exit(true)').code)
    assert.equal(1, run('os.exit(false)').code)
    assert.equal(0, run('os.exit()').code)
    assert.equal(255, run('os.exit(-1)').code)
  end)
end)

describe('closing what is waited on', function()
  --- Another task takes away what the main one waits for; it must go on, and the script end.
  local CASES = {
    ['a stream'] = [[
      mesh.action('slow', function() mesh.sleep(100) coroutine.yield(1) end)
      local s = (mesh.stream 'slow')
      mesh.after(0.05, function() s:close() end)
      print(pcall(s.next, s))
    ]],
    ['a task'] = [[
      local t = mesh.spawn(mesh.sleep, 100)
      mesh.after(0.05, function() t:cancel() end)
      print(pcall(t.await, t))
    ]],
    ['a process'] = [[
      local child = require('perilune.process').spawn({ 'sleep', '100' })
      mesh.after(0.05, function() child:close() end)
      print(pcall(child.wait, child))
    ]],
    ['a watcher'] = [[
      local watcher = require('perilune.fs').watch '.'
      mesh.after(0.05, function() watcher:close() end)
      print(pcall(watcher))
    ]],
    ['itself'] = [[
      local t
      t = mesh.spawn(function() return t:await() end)
      print(pcall(t.await, t))
    ]],
    ['its own coroutine'] = [[
      local co
      co = coroutine.create(function() return coroutine.close(co) end)
      print(coroutine.resume(co))
    ]],
    ['a coroutine that waits'] = [[
      local co = coroutine.create(function() mesh.sleep(0.1) return 'slept' end)
      mesh.spawn(function() print(pcall(coroutine.close, co)) end)
      print(coroutine.resume(co))
    ]],
    ['the node'] = [[
      mesh.action('slow', function() mesh.sleep(100) end)
      mesh.after(0.05, function() mesh.stop { drain = 0 } end)
      print(pcall(mesh.call, 'slow'))
    ]],
    ['an action'] = [[
      mesh.action('slow', function() mesh.remove 'slow' mesh.sleep(0.05) return 'done' end)
      print(pcall(mesh.call, 'slow'))
    ]],
  }

  for what, text in pairs(CASES) do
    it('is fine: ' .. what, function()
      local body = "local mesh = require 'perilune' mesh.spawn(function() %s mesh.after(0, os.exit) end)"
      local p = run(body:format(text), { flags = { '--log-level=off' } })
      assert.equal(0, p.code, p.stderr)
      assert.is_true(#p.stdout > 0 or what == 'the node', p.stderr)
    end)
  end
end)
