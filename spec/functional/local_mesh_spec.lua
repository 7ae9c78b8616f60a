--- Zero configuration: the nodes of one user on one machine find each other, and trust nobody else.

local lfs = require 'lfs'
local machine = require 'spec.support.machine'
local process = require 'spec.support.process'
local socket = require 'spec.support.socket'

local WORKER = "require('perilune').action('sum', function(n) return n[1] + n[2] end)"
local NOBODY = 65534

local function quote(path)
  return "'" .. path .. "'"
end

local function sh(command, ...)
  assert(os.execute(command:format(...)))
end

--- Starts a script in the local mesh of a folder.
local function start(text, runtime, ...)
  local dir = process.temp_dir { ['app.lua'] = text }
  local env = runtime and { XDG_RUNTIME_DIR = runtime } or nil
  return process.start({ process.perilune, 'run', 'app.lua', ... }, { cwd = dir, env = env })
end

local function call(runtime, ...)
  local argv = { 'call', ... }
  argv[#argv + 1] = { env = { XDG_RUNTIME_DIR = runtime } }
  return process.perilune_run(table.unpack(argv))
end

local function sockets(runtime)
  local found = {}
  for name in lfs.dir(runtime .. '/perilune/default') do
    if name:find '%.sock$' then found[#found + 1] = name end
  end
  return found
end

local function permissions(path)
  return lfs.attributes(path, 'permissions')
end

describe('the local mesh', function()
  it('joins two scripts that were given no option, whichever comes first', function()
    local first = start [[
      local mesh = require 'perilune'
      mesh.action('first', function() return 'first' end)
      mesh.wait('second', 10)
      print(mesh.call 'second')
    ]]
    local second = start [[
      local mesh = require 'perilune'
      mesh.action('second', function() return 'second' end)
      mesh.wait('first', 10)
      print(mesh.call 'first')
    ]]
    first:wait_line('^second$', nil, 'stdout')
    second:wait_line('^first$', nil, 'stdout')
  end)

  it('is where commands look', function()
    start(WORKER):wait_line '^ready '
    assert.equal('3\n', process.perilune_run('call', 'sum', '[1,2]').stdout)
  end)

  it('is in a folder of its own, that only the user can enter', function()
    local runtime = process.temp_dir()
    local listen = start(WORKER, runtime):wait_line 'listen=(%S+)'
    local path = runtime:gsub('%p', '%%%0') .. '/perilune/default/' .. ('%x'):rep(32) .. '%.sock'
    assert.matches('^unix://' .. path .. '$', listen)
    assert.equal('rwx------', permissions(runtime .. '/perilune'))
    assert.equal('rwx------', permissions(runtime .. '/perilune/default'))
    assert.equal(1, #sockets(runtime))
  end)

  it('is in /tmp without XDG_RUNTIME_DIR, or when that is not the user\'s', function()
    local uid = machine.uid()
    local name = 'spec-' .. process.unique()
    local folders = { false, 'relative', '/nowhere' }
    if machine.is_root() then
      folders[4] = process.temp_dir()
      sh('chown %d %s', NOBODY, quote(folders[4]))
    end
    for _, runtime in ipairs(folders) do
      local dir = process.temp_dir { ['app.lua'] = WORKER }
      local argv = { process.perilune, 'run', 'app.lua', '--mesh', name }
      local p = process.start(argv, { cwd = dir, env = { XDG_RUNTIME_DIR = runtime } })
      p:wait_line(('listen=unix:///tmp/perilune%%-%d/%s/%%x+%%.sock'):format(uid, name:gsub('%-', '%%-')))
      p:kill 'TERM'
      assert.equal(0, (p:wait()))
    end
    os.remove('/tmp/perilune-' .. uid .. '/' .. name)
  end)

  it('has others beside it, by name', function()
    local runtime = process.temp_dir()
    start(WORKER, runtime, '--mesh', 'other'):wait_line '/perilune/other/'
    assert.equal(3, call(runtime, 'sum', '[1,2]').code)
    assert.equal('3\n', call(runtime, 'sum', '[1,2]', '--mesh', 'other').stdout)
    for _, name in ipairs { '..', 'a/b', '.hidden', ('x'):rep(33) } do
      local p = call(runtime, 'sum', '--mesh=' .. name)
      assert.not_equal(0, p.code)
      assert.matches('INVALID: ', p.stderr)
    end
  end)

  it('is left alone by a node that is told where to listen or dial', function()
    local runtime = process.temp_dir()
    start(WORKER, runtime, '--listen=tcp://127.0.0.1:0'):wait_line '^ready '
    assert.is_nil(lfs.attributes(runtime .. '/perilune'))
    start(WORKER, runtime, '--listen=tcp://127.0.0.1:0', '--mesh=default'):wait_line 'listen=tcp://%S+,unix://'
    assert.equal('3\n', call(runtime, 'sum', '[1,2]').stdout)
  end)

  it('loses the socket of a node that ends, and of one that was killed', function()
    local runtime = process.temp_dir()
    local ends, dies = start(WORKER, runtime), start(WORKER, runtime)
    ends:wait_line '^ready '
    dies:wait_line '^ready '
    ends:kill 'TERM'
    ends:wait()
    assert.equal(1, #sockets(runtime))
    dies:kill 'KILL'
    dies:wait()
    assert.equal(1, #sockets(runtime))
    assert.equal(3, call(runtime, 'sum', '[1,2]').code)
    assert.equal(0, #sockets(runtime))
  end)

  it('does not know clients', function()
    local runtime = process.temp_dir()
    local client = start("local mesh = require 'perilune' mesh.nodes() print 'up' mesh.sleep(60)", runtime)
    client:wait_line('up', nil, 'stdout')
    assert.equal(0, #sockets(runtime))
    assert.equal(3, call(runtime, 'sum', '[1,2]').code)
  end)
end)

describe('the folder of the local mesh', function()
  --- Neither a node nor a client uses it as it is now.
  local function refused(runtime, pattern)
    local dir = process.temp_dir { ['app.lua'] = WORKER }
    local options = { cwd = dir, env = { XDG_RUNTIME_DIR = runtime } }
    for _, argv in ipairs { { 'run', 'app.lua' }, { 'call', 'sum', '[1,2]' } } do
      argv[#argv + 1] = options
      local p = process.perilune_run(table.unpack(argv))
      assert.equal(1, p.code, p.stderr)
      assert.matches('FORBIDDEN: the local mesh needs .*, but it ' .. pattern, p.stderr)
      assert.matches('%-%-peer', p.stderr)
    end
  end

  for _, part in ipairs { '/perilune', '/perilune/default' } do
    local function prepared()
      local runtime = process.temp_dir()
      sh('mkdir -p -m 700 %s', quote(runtime .. '/perilune'))
      sh('mkdir -p -m 700 %s', quote(runtime .. '/perilune/default'))
      return runtime, runtime .. part
    end

    it('is refused when another user owns ' .. part, function()
      if not machine.is_root() then pending 'needs root' end
      local runtime, path = prepared()
      sh('chown %d %s', NOBODY, quote(path))
      refused(runtime, 'belongs to another user')
    end)

    it('is refused when others can enter ' .. part, function()
      for _, mode in ipairs { '770', '707', '701', '750' } do
        local runtime, path = prepared()
        sh('chmod %s %s', mode, quote(path))
        refused(runtime, 'is open to other users')
      end
    end)

    it('is refused when a link stands for ' .. part, function()
      local runtime, path = prepared()
      local elsewhere = process.temp_dir()
      sh('rm -r %s && ln -s %s %s', quote(path), quote(elsewhere), quote(path))
      refused(runtime, 'is not a directory')
    end)
  end

  it('is refused when it is a file', function()
    local runtime = process.temp_dir { perilune = 'a file' }
    refused(runtime, 'is not a directory')
  end)

  it('has a path that fits a socket', function()
    local runtime = process.temp_dir()
    local long = runtime .. '/' .. ('x'):rep(60)
    sh('mkdir -m 700 %s', quote(long))
    local p = call(long, 'sum', '[1,2]')
    assert.equal(1, p.code)
    assert.matches('INVALID: .* too long for the path of a socket; set XDG_RUNTIME_DIR', p.stderr)
  end)
end)

describe('what somebody put into the folder', function()
  local function folder()
    local runtime = process.temp_dir()
    sh('mkdir -m 700 %s %s', quote(runtime .. '/perilune'), quote(runtime .. '/perilune/default'))
    return runtime, runtime .. '/perilune/default/'
  end

  local function socket_of(runtime, name)
    local p = start("require('perilune').action('sum', function() return 'planted' end)", runtime,
      '--listen', 'unix://' .. name)
    p:wait_line '^ready '
    return p
  end

  local ID = ('a'):rep(32)

  it('is not dialled when another user owns the socket', function()
    if not machine.is_root() then pending 'needs root' end
    local runtime, dir = folder()
    socket_of(runtime, dir .. ID .. '.sock')
    sh('chown %d %s', NOBODY, quote(dir .. ID .. '.sock'))
    local p = call(runtime, 'sum', '[1,2]')
    assert.equal(3, p.code, p.stdout)
  end)

  it('is not dialled when it is a link to a socket', function()
    local runtime, dir = folder()
    local elsewhere = process.temp_dir() .. '/planted.sock'
    socket_of(runtime, elsewhere)
    sh('ln -s %s %s', quote(elsewhere), quote(dir .. ID .. '.sock'))
    assert.equal(3, call(runtime, 'sum', '[1,2]').code)
  end)

  it('is left as it is when it is no socket of a node', function()
    local runtime, dir = folder()
    local names = { ID .. '.sock', 'notes.txt', ('b'):rep(31) .. '.sock', ('G'):rep(32) .. '.sock' }
    for _, name in ipairs(names) do sh('echo precious > %s', quote(dir .. name)) end
    sh('mkfifo %s', quote(dir .. ('c'):rep(32) .. '.sock'))
    start(WORKER, runtime):wait_line '^ready '
    assert.equal('3\n', call(runtime, 'sum', '[1,2]').stdout)
    for _, name in ipairs(names) do assert.equal('file', lfs.attributes(dir .. name, 'mode')) end
  end)

  it('holds up nobody for long when it says nothing', function()
    local runtime, dir = folder()
    socket.listen_unix(dir .. ID .. '.sock')
    local stopped = start("require('perilune').action('stopped', print)", runtime)
    stopped:wait_line '^ready '
    stopped:kill 'STOP'
    start(WORKER, runtime):wait_line('^ready ', 3)
    local began = process.now()
    local p = call(runtime, 'sum', '[1,2]')
    assert.equal('3\n', p.stdout, p.stderr)
    assert.is_true(process.now() - began < 3)
  end)
end)
