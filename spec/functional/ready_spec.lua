--- The life of `perilune run`: the line that says ready, where it listens, and how it ends.

local lfs = require 'lfs'
local process = require 'spec.support.process'

local SERVER = [[
  local mesh = require 'perilune'
  mesh.action('echo', function(...) return ... end)
  mesh.action('slow', function(seconds)
    print 'slow started'
    mesh.sleep(seconds)
    print 'slow done'
    return 'slept'
  end)
  mesh.action('forever', function()
    print 'forever started'
    local stopped <close> = setmetatable({}, { __close = function() print 'forever stopped' end })
    mesh.sleep(1e6)
  end)
]]

local READY = '^ready name=(%S+) id=(' .. ('%x'):rep(32) .. ') listen=(%S*)$'

local function folder(text)
  return process.temp_dir { ['app.lua'] = text or SERVER }
end

local function start(text, ...)
  return process.start({ process.perilune, 'run', 'app.lua', ... }, { cwd = folder(text) })
end

local function run(text, ...)
  local argv = { process.perilune, 'run', 'app.lua', ... }
  return process.run(argv, { cwd = folder(text) })
end

local function call(url, ...)
  return process.perilune_run('call', '--peer=' .. url, ...)
end

describe('the ready line', function()
  it('names the node and its addresses, with the port it got', function()
    local p = start(nil, '--name', 'worker-1', '--listen', 'tcp://127.0.0.1:0', '--listen=tcp://127.0.0.1:0')
    local name, id, listen = p:wait_line(READY, nil, 'stderr')
    assert.equal('worker-1', name)
    local first, second = listen:match '^(tcp://127%.0%.0%.1:%d+),(tcp://127%.0%.0%.1:%d+)$'
    assert.not_equal(first, second)
    assert.is_nil(listen:find ':0')
    for _, url in ipairs { first, second } do assert.equal('1\n', call(url, 'echo', '1').stdout) end
    assert.equal('', p:stdout())
    assert.not_equal(('0'):rep(32), id)
  end)

  it('has the path of a Unix socket', function()
    local path = process.temp_dir() .. '/w.sock'
    local _, _, listen = start(nil, '--listen', 'unix://' .. path):wait_line(READY)
    assert.equal('unix://' .. path, listen)
    assert.equal('1\n', call(listen, 'echo', '1').stdout)
  end)

  it('has what is bound, not what is advertised', function()
    local p = start(nil, '--listen=tcp://127.0.0.1:0', '--advertise=tcp://example.org:4100')
    local _, _, listen = p:wait_line(READY)
    assert.matches('^tcp://127%.0%.0%.1:%d+$', listen)
  end)

  it('quotes a name with spaces', function()
    start(nil, '--name', 'a b', '--mesh', 'default'):wait_line '^ready name="a b" id=%x+ listen=unix://%S+$'
  end)

  it('comes when the main chunk has returned, once', function()
    local p = start [[
      local mesh = require 'perilune'
      mesh.action('a', print)
      print 'before'
      mesh.sleep(0.1)
      print 'after'
    ]]
    p:wait_line(READY)
    assert.equal('before\nafter\n', p:stdout())
    local _, count = p:stderr():gsub('ready name=', '')
    assert.equal(1, count)
  end)

  it('comes once for all files of a node', function()
    local dir = process.temp_dir {
      ['a.lua'] = "require('perilune').action('a', function() return 'a' end)",
      ['b.lua'] = "local mesh = require 'perilune' mesh.sleep(0.1) mesh.action('b', function() return 'b' end)",
    }
    local argv = { process.perilune, 'run', 'a.lua', 'b.lua', '--listen=tcp://127.0.0.1:0' }
    local _, _, url = process.start(argv, { cwd = dir }):wait_line(READY)
    assert.equal('"a"\n', call(url, 'a').stdout)
    assert.equal('"b"\n', call(url, 'b').stdout)
  end)

  it('is not of a program that only calls', function()
    local p = run "local mesh = require 'perilune' print(#mesh.nodes()) mesh.sleep(0.01)"
    assert.equal(0, p.code)
    assert.equal('1\n', p.stdout)
    assert.is_nil(p.stderr:find 'ready')
  end)

  it('comes soon', function()
    local best = math.huge
    for _ = 1, 5 do
      local began = process.now()
      local p = start(nil, '--listen=tcp://127.0.0.1:0')
      p:wait_line(READY)
      best = math.min(best, process.now() - began)
      p:kill 'TERM'
      p:wait()
    end
    local patience = tonumber(os.getenv 'PERILUNE_SPEC_PATIENCE') or 1
    assert.is_true(best < 0.1 * patience, best .. ' s')
  end)
end)

describe('perilune run', function()
  it('gives a script its arguments', function()
    local p = run('print(arg[0], #arg, table.unpack(arg))', '--', '-x', '--name', 'a b')
    assert.equal('app.lua\t3\t-x\t--name\ta b\n', p.stdout)
  end)

  it('runs a script that never mentions the mesh, and ends', function()
    local p = run "print 'hello' io.write 'unfinished line'"
    assert.equal(0, p.code)
    assert.equal('hello\nunfinished line', p.stdout)
    assert.equal('', p.stderr)
  end)

  it('shows each line when it is printed', function()
    start("print 'now' require('perilune').sleep(60)"):wait_line('^now$', 5, 'stdout')
  end)

  it('ends with the code of os.exit', function()
    assert.equal(7, run('os.exit(7)').code)
    assert.equal(1, run('os.exit(false)').code)
    assert.equal(0, run("require('perilune').action('a', print) os.exit()").code)
  end)

  --- What is wrong with a script ends it with 1 and says where.
  for text, pattern in pairs {
    ['x = = 1'] = '^app%.lua:1: unexpected symbol near',
    ['\n\nreturn nil .. 5'] = 'app%.lua:3: attempt to concatenate a nil value',
    ["error 'boom'"] = "app%.lua:1: boom\n    1 | error 'boom'\nstack traceback:",
    ['error()'] = 'nil',
    ['error{}'] = 'table: 0x',
    ["error { code = 'MINE', message = 'no' }"] = '^MINE: no\n    1 | error {.-\nstack traceback:',
    ["error { message = 'just text' }"] = '^just text\n',
    ["error(setmetatable({}, { __tostring = function() return 'mine' end }))"] = 'mine',
    ["error(setmetatable({}, { __tostring = function() error 'again' end }))"] = 'error',
    ["require 'perilune.nothing'"] = "module 'perilune.nothing' not found",
    ['\27Lua'] = 'app%.lua',
    ["require('perilune').action('a', print) error 'late'"] = 'app%.lua:1: late',
    ["require('perilune').call 'nobody'"] = '^.-NOT_FOUND: ',
  } do
    it(('fails with a clear error: %q'):format(text), function()
      local p = run(text)
      assert.equal(1, p.code)
      assert.equal('', p.stdout)
      assert.matches(pattern, p.stderr)
      assert.is_nil(p.stderr:find 'ready name=')
    end)
  end

  it('fails when a file is missing or no file', function()
    local p = process.perilune_run('run', 'missing.lua')
    assert.equal(1, p.code)
    assert.equal('INVALID: cannot open missing.lua: No such file or directory\n', p.stderr)
    p = process.perilune_run('run', '/')
    assert.equal(1, p.code)
    assert.equal('INVALID: cannot read /: Is a directory\n', p.stderr)
  end)

  it('fails as a whole when one of its files does', function()
    local dir = process.temp_dir { ['good.lua'] = SERVER, ['bad.lua'] = "error 'boom'" }
    local p = process.perilune_run('run', 'good.lua', 'bad.lua', { cwd = dir })
    assert.equal(1, p.code)
    assert.matches('bad.lua:1: boom', p.stderr)
    assert.is_nil(p.stderr:find 'ready name=')
  end)
end)

describe('an address to listen on', function()
  local function refused(url, pattern)
    local p = run(nil, '--listen', url)
    assert.equal(1, p.code, p.stderr)
    assert.matches(pattern, p.stderr)
    assert.is_nil(p.stderr:find 'ready name=')
  end

  it('that is in use is named', function()
    local _, _, url = start(nil, '--listen', 'tcp://127.0.0.1:0'):wait_line(READY)
    refused(url, 'ADDRESS_IN_USE: .*' .. url:gsub('%p', '%%%0'))
    assert.equal('1\n', call(url, 'echo', '1').stdout)
  end)

  it('beyond this machine is refused unless it is said to be insecure', function()
    refused('tcp://0.0.0.0:0', 'FORBIDDEN: .*insecure')
    local p = start(nil, '--listen', 'tcp://0.0.0.0:0', '--insecure')
    local _, _, listen = p:wait_line(READY)
    assert.matches('^tcp://0%.0%.0%.0:%d+$', listen)
  end)

  it('may be a stale socket, which is replaced', function()
    local path = process.temp_dir() .. '/w.sock'
    local p = start(nil, '--listen', 'unix://' .. path)
    p:wait_line(READY)
    p:kill 'KILL'
    p:wait()
    assert.equal('socket', lfs.attributes(path, 'mode'))
    start(nil, '--listen', 'unix://' .. path):wait_line(READY)
    assert.equal('1\n', call('unix://' .. path, 'echo', '1').stdout)
  end)

  it('never removes a living socket or a file', function()
    local dir = process.temp_dir { file = 'precious' }
    local p = start(nil, '--listen', 'unix://' .. dir .. '/w.sock')
    p:wait_line(READY)
    refused('unix://' .. dir .. '/w.sock', 'ADDRESS_IN_USE: ')
    refused('unix://' .. dir .. '/file', 'ADDRESS_IN_USE: ')
    local file <close> = assert(io.open(dir .. '/file'))
    assert.equal('precious', file:read 'a')
    assert.equal('1\n', call('unix://' .. dir .. '/w.sock', 'echo', '1').stdout)
  end)

  it('may be unwritable', function()
    refused('unix:///nowhere/at/all/w.sock', ': .*/nowhere/at/all/w%.sock')
    refused('unix:///proc/w.sock', ': .*/proc/w%.sock')
  end)

  it('is gone when the node has ended', function()
    local path = process.temp_dir() .. '/w.sock'
    local p = start(nil, '--listen', 'unix://' .. path)
    p:wait_line(READY)
    p:kill 'TERM'
    assert.equal(0, (p:wait()))
    assert.is_nil(lfs.attributes(path))
  end)
end)

describe('a node that is told to stop', function()
  local function start_busy(action, argument)
    local p = start()
    p:wait_line(READY)
    local caller = process.start { process.perilune, 'call', '--timeout=0', action, argument }
    p:wait_line(action .. ' started', nil, 'stdout')
    return p, caller
  end

  for _, signal in ipairs { 'TERM', 'INT' } do
    it('by SIG' .. signal .. ' lets running calls finish, and ends with 0', function()
      local p, caller = start_busy('slow', '0.5')
      p:kill(signal)
      p:wait_line 'stopping'
      assert.equal(0, (p:wait()))
      assert.equal('slow started\nslow done\n', p:stdout())
      assert.equal(0, (caller:wait()))
      assert.equal('"slept"\n', caller:stdout())
    end)
  end

  it('cancels what is still running after `drain`', function()
    local p = start(nil, '--drain', '0.3')
    p:wait_line(READY)
    local caller = process.start { process.perilune, 'call', '--timeout=0', 'forever' }
    p:wait_line('forever started', nil, 'stdout')
    p:kill 'TERM'
    assert.equal(0, (p:wait(5)))
    assert.matches('forever stopped\n$', p:stdout())
    assert.equal(1, (caller:wait()))
    assert.matches('CANCELLED: ', caller:stderr())
  end)

  it('does not wait when it is told twice', function()
    local p, caller = start_busy('forever')
    p:kill 'TERM'
    p:wait_line 'stopping'
    p:kill 'TERM'
    assert.equal(0, (p:wait(3)))
    assert.matches('forever stopped\n$', p:stdout())
    assert.equal(1, (caller:wait()))
  end)

  it('while a script loads ends, too', function()
    -- The thread sanitizer delivers signals at system calls only.
    for _, text in ipairs { "print 'up' require('perilune').sleep(60)", "print 'up' while true do os.time() end" } do
      local p = start(text)
      p:wait_line('up', nil, 'stdout')
      p:kill 'TERM'
      assert.equal(0, (p:wait(5)))
    end
  end)

  it('by its script, or by SIGTERM when nothing runs, ends at once', function()
    assert.equal(0, run("local mesh = require 'perilune' mesh.action('a', print) mesh.after(0.05, mesh.stop)").code)
    local p = start()
    p:wait_line(READY)
    p:kill 'TERM'
    assert.equal(0, (p:wait(2)))
  end)
end)

describe('a node', function()
  it('outlives its terminal, and readers of its output', function()
    local p = start(nil, '--listen=tcp://127.0.0.1:0')
    local _, _, url = p:wait_line(READY)
    p:kill 'HUP'
    p:wait_line 'reloaded'
    p:close_output 'stdout'
    p:close_output 'stderr'
    assert.equal('"slept"\n', call(url, 'slow', '0').stdout)
    assert.equal('1\n', call(url, 'echo', '1').stdout)
    p:kill 'TERM'
    assert.equal(0, (p:wait()))
  end)

  it('starts without standard input, output and error', function()
    local path = process.temp_dir() .. '/w.sock'
    local command = ('exec %s run app.lua --listen unix://%s <&- >&- 2>&-'):format(process.perilune, path)
    local p = process.start({ 'sh', '-c', command }, { cwd = folder() })
    local answer
    repeat answer = call('unix://' .. path, 'slow', '0') until answer.code ~= 3 or p:ended()
    assert.equal('"slept"\n', answer.stdout)
    p:kill 'TERM'
    assert.equal(0, (p:wait()))
  end)

  it('says that prints of its script were lost to a full disk', function()
    local p = process.run(
      { 'sh', '-c', process.perilune .. " run app.lua >/dev/full" }, { cwd = folder "print 'lost'" })
    assert.equal(1, p.code)
    assert.matches('IO_ERROR: cannot write to standard output', p.stderr)
  end)
end)
