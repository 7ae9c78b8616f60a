--- A node under a service manager: sockets that it is handed, news that it sends, the watchdog.

local process = require 'spec.support.process'
local sys = require('perilune.testing').link

local SERVICE = [[
  local mesh = require 'perilune'
  mesh.action('add', function(a, b) return a + b end)
  mesh.action('environment', function(name) return os.getenv(name) end)
  mesh.action('stop', function() mesh.stop() end)
  mesh.action('slow', function() mesh.sleep(60) end)
]]

local dir, fds
before_each(function()
  dir, fds = process.temp_dir { ['service.lua'] = SERVICE }, {}
end)
after_each(function()
  for _, fd in ipairs(fds) do sys.socket_close(fd) end
end)

local function keep(fd, ...)
  fds[#fds + 1] = fd
  return fd, ...
end

--- A manager that listens for news at `path`.
local function manager(path)
  local fd = keep(sys.socket_datagram(path))
  local news = {}
  local M = {}

  --- Waits for the next message.
  function M.hear()
    local until_ = process.now() + 20 * process.patience
    repeat
      local text = sys.socket_receive(fd)
      if text then
        news[#news + 1] = text
        return text
      end
      process.sleep(0.005)
    until process.now() > until_
    error 'the service manager hears nothing'
  end

  --- What has come and was not waited for.
  function M.rest()
    local list = {}
    for text in function() return sys.socket_receive(fd) end do list[#list + 1] = text end
    return list
  end

  return M
end

--- Starts the service as a manager does: the sockets are its descriptors from 3 on, and LISTEN_PID names it.
local function start(env, sockets, ...)
  local redirect = {}
  for i, fd in ipairs(sockets or {}) do
    local high = keep(sys.socket_inherit(fd))
    redirect[i] = ('%d<&%d %d<&-'):format(i + 2, high, high)
  end
  local argv = { 'bash', '-c', ([[
    [ -z "${LISTEN_FDS+x}" ] || export LISTEN_PID=${LISTEN_PID-$$}
    [ -z "${WATCHDOG_USEC+x}" ] || export WATCHDOG_PID=${WATCHDOG_PID-$$}
    exec "$@" %s
  ]]):format(table.concat(redirect, ' ')), 'bash', process.perilune, 'run', 'service.lua', ... }
  return process.start(argv, { cwd = dir, env = env })
end

local function call(url, ...)
  return process.perilune_run('call', '--peer', url, ...)
end

describe('a service manager', function()
  it('hears that the node is ready, reloads, and stops', function()
    local m = manager(dir .. '/notify')
    local node = start { NOTIFY_SOCKET = dir .. '/notify' }
    assert.equal('READY=1', m.hear())
    node:wait_line '^ready '

    node:kill 'HUP'
    local began = m.hear()
    assert.matches('^RELOADING=1\nMONOTONIC_USEC=%d+$', began)
    local us = tonumber(began:match '%d+$')
    assert.is_true(math.abs(us / 1e6 - process.now()) < 60)
    assert.equal('READY=1', m.hear())

    node:kill 'TERM'
    assert.equal('STOPPING=1', m.hear())
    assert.equal(0, (node:wait()))
    assert.same({}, m.rest())
  end)

  it('hears of a reload that fails, because the node goes on', function()
    local m = manager(dir .. '/notify')
    local node = start { NOTIFY_SOCKET = dir .. '/notify' }
    assert.equal('READY=1', m.hear())
    local file <close> = assert(io.open(dir .. '/service.lua', 'w'))
    file:write 'not Lua'
    file:close()
    node:kill 'HUP'
    assert.matches('^RELOADING=1\n', m.hear())
    assert.equal('READY=1', m.hear())
  end)

  it('hears of reloads on worker threads, also when the node stops meanwhile', function()
    local m = manager(dir .. '/notify')
    local node = start({ NOTIFY_SOCKET = dir .. '/notify' }, nil, '--workers', '2', '--replicas', '2')
    assert.equal('READY=1', m.hear())
    node:kill 'HUP'
    assert.matches('^RELOADING=1\n', m.hear())
    assert.equal('READY=1', m.hear())
    node:kill 'HUP'
    node:kill 'TERM'
    assert.equal(0, (node:wait()))
    local last = m.rest()
    assert.equal('STOPPING=1', last[#last])
  end)

  it('hears that the node stops by itself', function()
    local m = manager(dir .. '/notify')
    local node = start { NOTIFY_SOCKET = dir .. '/notify' }
    assert.equal('READY=1', m.hear())
    node:wait_line '^ready '
    process.perilune_run('call', 'stop')
    assert.equal('STOPPING=1', m.hear())
    assert.equal(0, (node:wait()))
  end)

  it('may have an abstract address', function()
    local name = '@perilune-spec-' .. process.unique()
    local m = manager('\0' .. name:sub(2))
    start { NOTIFY_SOCKET = name }
    assert.equal('READY=1', m.hear())
  end)

  it('is told again and again that the loop turns, where it wants that', function()
    local m = manager(dir .. '/notify')
    start { NOTIFY_SOCKET = dir .. '/notify', WATCHDOG_USEC = '20000' }
    assert.equal('READY=1', m.hear())
    for _ = 1, 3 do assert.equal('WATCHDOG=1', m.hear()) end
  end)

  it('is told nothing by a node whose watchdog is of another process', function()
    local m = manager(dir .. '/notify')
    local node = start { NOTIFY_SOCKET = dir .. '/notify', WATCHDOG_USEC = '1000', WATCHDOG_PID = '1' }
    assert.equal('READY=1', m.hear())
    node:kill 'TERM'
    assert.equal('STOPPING=1', m.hear())
    assert.equal(0, (node:wait()))
    assert.same({}, m.rest())
  end)

  it('that does not listen, or has no address, is no obstacle', function()
    for _, address in ipairs { dir .. '/nobody', 'relative', '', '/', '@', 'vsock:2:3', '/' .. ('x'):rep(300) } do
      local node = start { NOTIFY_SOCKET = address, WATCHDOG_USEC = '1000000' }
      node:wait_line '^ready '
      node:kill 'TERM'
      assert.equal(0, (node:wait()))
    end
  end)

  it('with a strange watchdog is told what matters', function()
    local m = manager(dir .. '/notify')
    for _, usec in ipairs { '0', '-1', 'x', '', '18446744073709551615', '99999999999999999999999', '1e6' } do
      local node = start { NOTIFY_SOCKET = dir .. '/notify', WATCHDOG_USEC = usec }
      assert.equal('READY=1', m.hear())
      node:kill 'TERM'
      assert.equal('STOPPING=1', m.hear())
      assert.equal(0, (node:wait()))
    end
    assert.same({}, m.rest())
  end)

  it('is nothing that scripts and their children know of', function()
    manager(dir .. '/notify')
    local node = start { NOTIFY_SOCKET = dir .. '/notify', WATCHDOG_USEC = '1000000', LISTEN_FDS = '0' }
    node:wait_line '^ready '
    for _, name in ipairs { 'NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID', 'LISTEN_PID', 'LISTEN_FDS' } do
      assert.equal('null\n', process.perilune_run('call', 'environment', ('"%s"'):format(name)).stdout)
    end
  end)
end)

describe('sockets that a node is handed', function()
  it('are its listeners, and stay when it ends', function()
    local tcp, port = keep(sys.socket_listen())
    local unix = keep(sys.socket_unix(dir .. '/s', 16))
    local urls = { ('tcp://127.0.0.1:%d'):format(port), 'unix://' .. dir .. '/s' }
    for _ = 1, 2 do
      local node = start({ LISTEN_FDS = '2' }, { tcp, unix })
      assert.equal(table.concat(urls, ','), node:wait_line '^ready .*listen=(%S*)')
      for _, url in ipairs(urls) do assert.equal('5\n', call(url, 'add', '2', '3').stdout) end
      node:kill 'TERM'
      assert.equal(0, (node:wait()))
    end
    assert.is_truthy(io.popen('ls ' .. dir .. '/s'):read 'l')
  end)

  it('come beside others', function()
    local unix = keep(sys.socket_unix(dir .. '/s', 16))
    local node = start({ LISTEN_FDS = '1' }, { unix }, '--listen', 'unix://' .. dir .. '/other')
    assert.equal(('unix://%s/other,unix://%s/s'):format(dir, dir), node:wait_line '^ready .*listen=(%S*)')
  end)

  it('are left to the process that they are meant for', function()
    local node = start { LISTEN_FDS = '5', LISTEN_PID = '1' }
    node:wait_line '^ready '
  end)

  it('are refused when they are none, or the variables are hostile', function()
    local function refused(pattern, env, sockets, ...)
      local node = start(env, sockets, ...)
      local code = node:wait()
      assert.is_true(code == 1 or code == 2, node:stderr())
      assert.matches(pattern, node:stderr())
    end
    for _, count in ipairs { 'x', '', '-1', '1.5', '65', '99999999999999999999999', ' 1' } do
      refused("^INVALID: LISTEN_FDS: '.*' is not a number of sockets up to 64\n", { LISTEN_FDS = count })
    end
    refused('fd://3: no such descriptor was handed to this process', { LISTEN_FDS = '1' })
    refused('fd://3: that is no listening stream socket', { LISTEN_FDS = '1' },
      { keep(sys.socket_datagram(dir .. '/d')) })
    refused('fd://3: that is no listening stream socket', { LISTEN_FDS = '1' }, { keep(sys.socket_unix(dir .. '/u')) })
    for _, name in ipairs { '0', '2', 'x', '-3', '9999999999', '500' } do
      refused('fd://', {}, nil, '--listen', 'fd://' .. name)
    end
    -- Descriptors of the process itself are not to be had.
    for fd = 3, 12 do refused('fd://', {}, nil, '--listen', 'fd://' .. fd) end
    assert.matches('UNSUPPORTED', process.perilune_run('call', 'x', '--peer', 'fd://3').stderr)
  end)

  it('are subject to the same rule of who may connect', function()
    local tcp, port = keep(sys.socket_listen(true))
    local node = start({ LISTEN_FDS = '1' }, { tcp })
    assert.equal(1, (node:wait()))
    assert.matches('^FORBIDDEN: without authentication only this machine may connect', node:stderr())
    assert.equal('tcp://0.0.0.0:' .. port,
      start({ LISTEN_FDS = '1' }, { tcp }, '--insecure'):wait_line '^ready .*listen=(%S*)')
  end)
end)
