--- runtime/link: Unix sockets and their names in the file system.

local lfs = require 'lfs'
local links = require 'spec.support.links'
local machine = require 'spec.support.machine'
local process = require 'spec.support.process'
local sys = require('perilune.testing').link

local net
before_each(function() net = links.new() end)
after_each(function() net:finish() end)

describe('a Unix listener', function()
  local dir, path
  before_each(function()
    dir = process.temp_dir()
    path = dir .. '/s'
  end)

  local function mode_of(name)
    return lfs.symlinkattributes(name, 'mode')
  end

  local function read(name)
    local file <close> = assert(io.open(name))
    return file:read 'a'
  end

  it('makes a socket for its owner alone and removes it', function()
    local l = net:listen('unix://' .. path)
    assert.equal('socket', mode_of(path))
    assert.equal('rw-------', lfs.attributes(path, 'permissions'))
    l:close()
    assert.is_nil(mode_of(path))
  end)

  it('has the mode of its address, whatever the umask', function()
    for _, mask in ipairs { 0, tonumber('077', 8), tonumber('777', 8) } do
      local before = sys.set_umask(mask)
      local l = net:listen('unix://' .. path .. '?mode=0660')
      sys.set_umask(before)
      assert.equal('rw-rw----', lfs.attributes(path, 'permissions'))
      l:close()
    end
  end)

  it('replaces a stale socket', function()
    sys.socket_close(sys.socket_unix(path, 1))
    assert.equal('socket', mode_of(path))
    local client, server = net:connect('unix://' .. path)
    client.link:write 'x'
    net:wait(function() return server.count == 1 end, 'the byte')
  end)

  it('leaves a live one alone', function()
    local fd = sys.socket_unix(path, 1)
    local l, code, detail = net:listen('unix://' .. path)
    assert.is_nil(l)
    assert.equal('ADDRESS_IN_USE', code)
    assert.equal('unix://' .. path .. ': another process listens there', detail)
    sys.socket_close(sys.socket_connect_unix(path))
    sys.socket_close(fd)
  end)

  it('leaves a live one alone whose backlog is full', function()
    local fd = sys.socket_unix(path, 0)
    local waiting = sys.socket_connect_unix(path)
    assert.equal('ADDRESS_IN_USE', (select(2, net:listen('unix://' .. path))))
    sys.socket_close(waiting)
    sys.socket_close(fd)
  end)

  it('never removes a file, a folder or a link', function()
    for _, make in ipairs { 'echo precious > %s', 'mkdir %s', 'ln -s /etc/passwd %s', 'mkfifo %s' } do
      os.execute(make:format(path))
      local kind = mode_of(path)
      local l, code, detail = net:listen('unix://' .. path)
      assert.is_nil(l)
      assert.equal('ADDRESS_IN_USE', code)
      assert.equal('unix://' .. path .. ': there is a file that is not a socket', detail)
      assert.equal(kind, mode_of(path))
      if kind == 'file' then assert.equal('precious\n', read(path)) end
      os.execute('rm -r ' .. path)
    end
  end)

  it('removes only the socket it made', function()
    local l = net:listen('unix://' .. path)
    os.remove(path)
    local fd = sys.socket_unix(path, 1)
    l:close()
    assert.equal('socket', mode_of(path))
    sys.socket_close(fd)

    os.remove(path)
    l = net:listen('unix://' .. path)
    os.execute(('rm %s; echo other > %s'):format(path, path))
    l:close()
    assert.equal('other\n', read(path))
  end)

  it('takes relative paths, also when the folder changes later', function()
    local back = lfs.currentdir()
    assert(lfs.chdir(dir))
    local l = net:listen 'unix://here.sock'
    net:wait_open(net:dial 'unix://here.sock')
    assert(lfs.chdir(back))
    assert.equal('socket', mode_of(dir .. '/here.sock'))
    l:close()
    assert.is_nil(mode_of(dir .. '/here.sock'))
  end)

  it('takes a path of 107 bytes whole', function()
    local long = dir .. '/' .. ('p'):rep(107 - #dir - 1)
    local client, server = net:connect('unix://' .. long)
    assert.equal('socket', mode_of(long))
    client.link:write 'x'
    net:wait(function() return server.count == 1 end, 'the byte')
  end)

  it('takes abstract names without a trace in the file system', function()
    local name = '@perilune-spec-' .. process.unique()
    net:listen('unix://' .. name)
    sys.socket_close(sys.socket_connect_unix(name)) -- exactly this name, no padding
    assert.is_nil(mode_of(name))
  end)

  it('fails with a clear text where there is no folder', function()
    local l, code, detail = net:listen('unix://' .. dir .. '/no/s')
    assert.is_nil(l)
    assert.equal('IO_ERROR', code)
    assert.equal('unix://' .. dir .. '/no/s: no such file or directory', detail)
  end)

  it('is not kept from starting by a lock on its folder', function()
    local holder = process.start { 'flock', '--no-fork', dir, 'sh', '-c', 'echo ready; exec sleep 60' }
    holder:wait_line 'ready'
    assert.is_truthy(net:listen('unix://' .. path))
    holder:kill 'KILL'
    holder:wait()
  end)

  it('is won by one of many that find a stale socket', function()
    sys.socket_close(sys.socket_unix(path, 1))
    local won = 0
    local others = {}
    for i = 1, 8 do
      others[i] = links.new()
      if others[i]:listen('unix://' .. path) then won = won + 1 end
    end
    for i = 8, 1, -1 do others[i]:finish() end
    assert.equal(1, won)
  end)

  it('knows the user at the other end', function()
    local client, server = net:connect('unix://' .. path)
    local uid = machine.uid()
    assert.equal(uid, client.link:info().peer_uid)
    assert.equal(uid, server.link:info().peer_uid)
    assert.equal('unix://' .. path, server.link:info().remote)
  end)
end)

describe('a Unix dial', function()
  it('fails where there is nothing, a file, or a stale socket', function()
    local dir = process.temp_dir { file = 'text' }
    sys.socket_close(sys.socket_unix(dir .. '/stale'))
    local cases = { none = 'no such file or directory', file = 'connection refused', stale = 'connection refused' }
    for name, expected in pairs(cases) do
      local code, detail = net:wait_closed(net:dial('unix://' .. dir .. '/' .. name))
      assert.equal('CONNECT_FAILED', code)
      assert.equal(expected, detail)
    end
  end)

  it('waits for a listener that is busy', function()
    local path = process.temp_dir() .. '/s'
    local fd = sys.socket_unix(path, 0)
    local waiting = sys.socket_connect_unix(path)
    local client = net:dial('unix://' .. path)
    net:run(0.05)
    assert.same({}, client.events)
    client.link:abort()
    sys.socket_close(waiting)
    sys.socket_close(fd)
    assert.equal('OK', (net:wait_closed(client)))
  end)
end)
