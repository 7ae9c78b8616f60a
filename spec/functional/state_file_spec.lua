--- `state_dir`: mesh.state and mesh.shared over restarts, whatever ends a process.

local cluster = require 'spec.support.cluster'
local lfs = require 'lfs'
local nodes = require 'spec.support.nodes'
local process = require 'spec.support.process'

-- luacheck: globals mesh

local SCRIPT = 'script-main.lua.state'

local function read(path)
  local file <close> = assert(io.open(path, 'rb'))
  return file:read 'a'
end

local function write(path, bytes)
  local file <close> = assert(io.open(path, 'wb'))
  file:write(bytes)
end

local function names(dir)
  local list = {}
  for name in lfs.dir(dir) do
    if name:sub(1, 1) ~= '.' then list[#list + 1] = name end
  end
  table.sort(list)
  return list
end

describe('state_dir', function()
  local dir

  before_each(function() dir = process.temp_dir() .. '/state' end)

  local function start(flags, options)
    options = options or {}
    options.listen = 'tcp'
    options.flags = { '--state-dir=' .. dir, table.unpack(flags or {}) }
    return nodes.start('a', options)
  end

  local function stop(node)
    node.process:kill 'TERM'
    return node.process:wait()
  end

  --- Runs a script that must not start; what it says.
  local function refused(flags)
    local script = process.temp_dir { ['main.lua'] = "require('perilune').state.x = 1" }
    local result = process.perilune_run('run', script .. '/main.lua', '--mesh', process.unique 'state',
      '--state-dir', dir, table.unpack(flags or {}))
    assert.equal(1, result.code, result.stderr)
    return result.stderr
  end

  it('keeps everything over a stop', function()
    local a = start()
    a:eval [[
      mesh.state.n = 1.5
      mesh.state.t = { list = { 1, 2 }, map = { a = 'b' } }
      mesh.state[''] = '\xff\0'
      mesh.shared.n = 7
      mesh.state.gone = 1
      mesh.state.gone = nil
      mesh.state:set('brief', 1, { ttl = 0.05 })
      mesh.state:set('long', 1, { ttl = 1000 })
    ]]
    assert.equal(0, stop(a))
    assert.same({ 'lock', SCRIPT, 'shared.state' }, names(dir))
    assert.equal('rw-------', lfs.attributes(dir .. '/' .. SCRIPT, 'permissions'))
    assert.equal('rwx------', lfs.attributes(dir, 'permissions'))
    process.sleep(0.06)

    local b = start()
    b:eval [[
      assert(table.concat(mesh.state:keys(), ' ') == 'n t  long')
      assert(mesh.state.n == 1.5 and mesh.state[''] == '\xff\0')
      assert(mesh.state.t == { list = { 1, 2 }, map = { a = 'b' } })
      assert(mesh.shared.n == 7)
    ]]
    assert.equal(0, stop(b))
  end)

  it('keeps the last changes of a process that is told to stop twice', function()
    local a = start()
    a:eval "mesh.state.big = ('x'):rep(4000000)"
    a.process:kill 'TERM'
    a.process:kill 'TERM'
    assert.equal(0, a.process:wait())
    local b = start()
    assert.equal(4000000, b:eval 'return #mesh.state.big')
    assert.equal(0, stop(b))
  end)

  it('is written some time after a change, and only then', function()
    local a = start()
    a:eval 'mesh.state.n = 1'
    a:wait_for 'return mesh.metrics().state_saves == 1'
    a.process:kill 'KILL'
    a.process:wait()
    assert.same({ 'lock', SCRIPT }, names(dir))

    local b = start()
    assert.equal(1, b:eval 'return mesh.state.n')
    assert.equal(0, stop(b))
    assert.is_nil(b.process:stderr():find('not saved', 1, true))
  end)

  it('is whole whenever a process is killed', function()
    for round = 1, 3 do
      local a = start()
      a:eval [[
        local last = mesh.state.last
        local a = mesh.state.a
        assert(not last or a.n == last or a.n == last + 1 and #a.text == 300000 and #mesh.state.b == 300000)
      ]]
      a:begin [[
        for n = (mesh.state.last or 0) + 1, math.huge do
          mesh.state.b = ('y'):rep(300000)
          mesh.state.a = { n = n, text = ('x'):rep(300000) }
          mesh.state.last = n
          mesh.sleep(0.001)
        end
      ]]
      a:wait_for('return mesh.metrics().state_saves >= ' .. round % 2)
      process.sleep(0.97 + 0.02 * round)
      a.process:kill 'KILL'
      a.process:wait()
    end
    local b = start()
    assert.is_true(b:eval 'return mesh.state.last > 0 and mesh.state.a.n >= mesh.state.last')
    assert.equal(0, stop(b))
    assert.same({ 'lock', SCRIPT }, names(dir))
  end)

  it('leaves the last good file when the disk is full, and says so', function()
    local limited = { before = { 'sh', '-c', 'trap "" XFSZ; ulimit -f 8; exec "$@"', 'sh' } }
    local a = start({}, limited)
    a:eval "mesh.state.n = 'kept'"
    a:wait_for 'return mesh.metrics().state_saves == 1'
    local before = read(dir .. '/' .. SCRIPT)
    a:eval "mesh.state.big = ('x'):rep(100000)"
    a:wait_for 'return mesh.metrics().state_saves_failed >= 1'
    a.process:wait_line 'state not saved.*script.main.*File too large'
    assert.equal(before, read(dir .. '/' .. SCRIPT))
    assert.same({ 'lock', SCRIPT }, names(dir))

    a:eval 'mesh.state.big = nil mesh.state.small = 1'
    a:wait_for 'return mesh.metrics().state_saves >= 2'
    a.process:wait_line 'state saved again'

    a:eval "mesh.state.big = ('x'):rep(100000)"
    assert.equal(1, stop(a))
    local b = start()
    assert.same({ 'n', 'small' }, b:eval 'return mesh.state:keys()')
    assert.equal(0, stop(b))
  end)

  describe('with a file that cannot be used', function()
    local good

    before_each(function()
      local a = start()
      a:eval "mesh.state.n = ('x'):rep(3000)"
      stop(a)
      good = read(dir .. '/' .. SCRIPT)
    end)

    local function refuses(bytes, why, flags)
      write(dir .. '/' .. SCRIPT, bytes)
      local text = refused(flags)
      assert.truthy(text:find('state_dir: ' .. dir .. '/' .. SCRIPT .. ' ' .. why, 1, true), text)
      assert.truthy(text:find('move it away to start without what it holds', 1, true), text)
      assert.equal(bytes, read(dir .. '/' .. SCRIPT))
    end

    it('does not start, and leaves it as it is', function()
      refuses('', 'was not written by perilune')
      refuses('#!/bin/sh\necho hello\n', 'was not written by perilune')
      refuses(good:sub(1, -2), 'is damaged, or cut short')
      refuses(good:sub(1, 100), 'is damaged, or cut short')
      refuses(good:sub(1, 50) .. 'y' .. good:sub(52), 'is damaged, or cut short')
      refuses(good:gsub('^PLSTATE.', 'PLSTATE\2'), 'was written by another version of perilune')
      refuses(good, 'holds more than state_limit: raise it', { '--state-limit=3000' })
    end)

    it('does not start when it is no file', function()
      os.remove(dir .. '/' .. SCRIPT)
      lfs.mkdir(dir .. '/' .. SCRIPT)
      assert.truthy(refused():find(SCRIPT .. ' is no regular file', 1, true))
      lfs.rmdir(dir .. '/' .. SCRIPT)
      assert(os.execute(('mkfifo %q'):format(dir .. '/' .. SCRIPT)))
      assert.truthy(refused():find(SCRIPT .. ' is no regular file', 1, true))
    end)

    it('does not start when the file of another script, or of the node, is broken', function()
      write(dir .. '/shared.state', 'PLSTATE')
      assert.truthy(refused():find('shared.state was not written by perilune', 1, true))
    end)
  end)

  it('is not shared by two processes', function()
    local a = start()
    local text = refused()
    assert.truthy(text:find('BUSY: state_dir: ' .. dir .. ': another process uses it', 1, true), text)
    stop(a)
    local b = start()
    assert.equal(0, stop(b))
  end)

  it('is refused where it cannot be', function()
    local parent = dir
    dir = parent .. '/deep/er'
    assert.truthy(refused():find('state_dir: ' .. dir .. ': No such file or directory', 1, true))
    write(parent, 'a file')
    dir = parent
    assert.truthy(refused():find('state_dir: ' .. dir, 1, true))
    os.remove(parent)
  end)

  it('has one file for a script, wherever it lies', function()
    local folder = process.temp_dir()
    lfs.mkdir(folder .. '/a')
    lfs.mkdir(folder .. '/b')
    local code = "local mesh = require 'perilune'\nprint(mesh.state:incr 'n')"
    write(folder .. '/a/app.lua', code)
    write(folder .. '/b/app.lua', code)
    local function run(...)
      return process.perilune_run('run', ..., '--mesh', process.unique 'state', '--state-dir', dir, { cwd = folder })
    end
    assert.equal('1\n', run('a/app.lua').stdout)
    assert.equal('2\n', run('./a/app.lua').stdout)
    assert.equal('3\n', run('b/app.lua').stdout)
    local both = process.perilune_run('run', 'a/app.lua', 'b/app.lua', '--mesh', process.unique 'state',
      '--state-dir', dir, { cwd = folder })
    assert.equal(1, both.code)
    local why = 'state_dir: a/app.lua and b/app.lua would be saved to one file'
    assert.truthy(both.stderr:find(why, 1, true), both.stderr)
  end)
end)

describe('a node with state_dir in one process with others', function()
  it('saves at its end, and gives everything back', function()
    local dir = process.temp_dir() .. '/state'
    local net = cluster.new 'unix'
    local a = net:node('a', { state_dir = dir })
    a:eval(function() mesh.state.n, mesh.shared.n = 1, 2 end)
    assert.equal(0, a:finish())
    assert.same({ 'lock', 'script-a.state', 'shared.state' }, names(dir))
    local again = net:node('a', { state_dir = dir })
    assert.same({ 1, 2 }, again:eval(function() return { mesh.state.n, mesh.shared.n } end))
    again:eval(function() mesh.state:clear() end)
    net:finish()
    assert.equal(24, #read(dir .. '/script-a.state'))
  end)

  it('is refused in virtual time', function()
    local net = cluster.new 'mem'
    local a = net:launch('a', { state_dir = process.temp_dir() })
    net:wait(function() return (a:over()) end, 'its end')
    assert.equal(1, (select(2, a:over())))
    net:finish()
  end)
end)
