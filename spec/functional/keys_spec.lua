local keys = require 'spec.support.keys'
local nodes = require 'spec.support.nodes'
local process = require 'spec.support.process'
local socket = require 'spec.support.socket'

--- Passes on all between two sockets, and keeps it, until `done()`.
local function tap(listener, url)
  local near = listener:accept()
  local far, seen = socket.connect(url), {}
  return function()
    for from, to in pairs { [near] = far, [far] = near } do
      local bytes = from:receive(0)
      if bytes and bytes ~= '' then
        seen[#seen + 1] = bytes
        to:send(bytes)
      end
    end
    return table.concat(seen)
  end
end

describe('a key', function()
  --- Everything that a process tells of itself, and its children.
  local function assert_untold(key, text)
    for _, form in ipairs { key, (key:gsub('.', function(c) return ('%02x'):format(c:byte()) end)) } do
      assert.is_nil(text:find(form, 1, true))
    end
  end

  local function read(path)
    local file <close> = assert(io.open(path, 'rb'))
    return file:read 'a'
  end

  it('in the environment is seen by nobody but the node', function()
    local env, flags = { PERILUNE_PSK = keys.ONE }, { '--log-level=debug' }
    local b = nodes.start('b', { listen = 'tcp', env = env, flags = flags }, [[
      mesh.action('fail', function() error('no: ' .. tostring(os.getenv 'PERILUNE_PSK')) end)
    ]])
    local a = nodes.start('a', { peers = { b }, env = env, flags = flags })
    for _, node in ipairs { a, b } do
      assert_untold(keys.ONE, read(('/proc/%d/environ'):format(node.process.pid)))
      assert_untold(keys.ONE, read(('/proc/%d/cmdline'):format(node.process.pid)))
      assert_untold(keys.ONE, node:eval [[
        local child = io.popen('env; cat /proc/$PPID/environ; ps eww 2>&1; echo end')
        return child:read 'a'
      ]])
      assert_untold(keys.ONE, node:eval [[
        return require('perilune.json').encode(mesh.options()) .. tostring(os.getenv 'PERILUNE_PSK')
      ]])
    end
    local err = a:fails "mesh.call 'fail'"
    assert.matches('no: nil', err.message)
    for _, node in ipairs { a, b } do
      node.process:kill 'TERM'
      assert.equal(0, node.process:wait())
      assert_untold(keys.ONE, node.process:stderr() .. node.process:stdout())
    end
  end)

  it('never travels', function()
    local file = keys.file(keys.ONE)
    local b = nodes.start('b', { listen = 'tcp', flags = { '--psk=' .. file } }, [[
      mesh.action('one', function() return 1 end)
    ]])
    local listener, url = socket.listen()
    local p = process.start { process.perilune, 'call', 'one', '--peer=' .. url, '--psk=' .. file }
    local pass = tap(listener, b.url)
    local seen
    repeat
      seen = pass()
      process.sleep(0.002)
    until p:ended()
    assert.equal(0, p:wait(), p:stderr())
    assert.equal('1\n', p:stdout())
    assert.is_true(#seen > 500, #seen)
    assert_untold(keys.ONE, seen)
  end)

  it('that is wrong is in no error', function()
    for _, case in ipairs {
      { { '--psk=' .. keys.ONE }, {} }, { { '--psk', keys.ONE }, {} }, { {}, { PERILUNE_PSK = 'too short' } },
      { {}, { PERILUNE_PSK = '/' .. keys.ONE } }, { {}, { PERILUNE_PSK = ('0123456789abcdef'):rep(30) } },
    } do
      for _, command in ipairs { 'options', 'nodes', 'run' } do
        local argv = { command, table.unpack(case[1]) }
        if command == 'run' then table.insert(argv, 2, 'app.lua') end
        argv[#argv + 1] = { env = case[2] }
        local p = process.perilune_run(table.unpack(argv))
        assert.equal(2, p.code, p.stderr)
        assert.matches('psk: ', p.stderr)
        for _, key in ipairs { keys.ONE, 'too short', '0123456789abcdef' } do
          assert_untold(key, p.stderr .. p.stdout)
        end
      end
    end
  end)

  it('is shown as hidden when it is no file', function()
    local p = process.perilune_run('options', { env = { PERILUNE_PSK = keys.ONE } })
    assert.matches('\npsk +%(hidden%) +environment\n', p.stdout)
    p = process.perilune_run('options', '--json', { env = { PERILUNE_PSK = keys.ONE } })
    assert.is_truthy(p.stdout:find('"psk":{"value":null,"source":"environment"}', 1, true), p.stdout)
  end)
end)

describe('a key file', function()
  local function refused(path, why)
    local p = process.perilune_run('run', 'app.lua', '--psk=' .. path)
    assert.equal(2, p.code, p.stderr)
    assert.is_truthy(p.stderr:find('psk: ' .. why, 1, true), p.stderr)
  end

  it('that others can read is refused, with the command that helps', function()
    for _, mode in ipairs { '640', '604', '660', '644', '620', '777' } do
      local path = keys.odd(keys.ONE, mode)
      refused(path, ('%s is open to others than its owner: chmod 600 %s'):format(path, path))
    end
    for _, mode in ipairs { '600', '400', '700' } do
      local p = process.perilune_run('options', '--psk=' .. keys.odd(keys.ONE, mode))
      assert.equal(0, p.code, p.stderr)
    end
  end)

  it('that is none is refused', function()
    local dir = process.temp_dir()
    assert(os.execute(('mkfifo -m 600 %q/fifo'):format(dir)))
    refused(dir, dir .. ' is not a regular file')
    refused(dir .. '/fifo', dir .. '/fifo is not a regular file')
    refused('/dev/null', '/dev/null is not a regular file')
    refused(dir .. '/none', 'cannot open the key file: No such file or directory')
  end)

  it('with the wrong content is refused', function()
    for text, why in pairs {
      [''] = 'no key in it', ['short'] = 'a key has at least 16 bytes',
      [('x'):rep(300)] = 'a key has at most 256 bytes',
      [('\0'):rep(32)] = 'a key is a line of text', [('sixteen byte key\n'):rep(3)] = 'more than two keys',
    } do
      local path = keys.odd(text, '600')
      refused(path, path .. ': ' .. why)
    end
    local path = keys.odd(('\n'):rep(4097), '600')
    refused(path, path .. ' is larger than 4 KiB')
  end)
end)

describe('a node with a key', function()
  it('may listen beyond this machine, and one without may not', function()
    local file = keys.file(keys.ONE)
    local b = nodes.start('b', { listen = 'tcp://0.0.0.0:0', flags = { '--psk', file } })
    local port = b.process:stderr():match 'listen=tcp://0%.0%.0%.0:(%d+)'
    local p = process.perilune_run('nodes', '--peer=tcp://127.0.0.1:' .. port, '--psk=' .. file)
    assert.equal(0, p.code, p.stderr)
    p = process.perilune_run('run', 'x.lua', '--listen=tcp://0.0.0.0:0', {
      cwd = process.temp_dir { ['x.lua'] = "require('perilune').action('x', print)" },
    })
    assert.equal(1, p.code)
    assert.matches('FORBIDDEN: without authentication only this machine may connect: give a pre%-shared key', p.stderr)
  end)

  it('reads its file again on SIGHUP', function()
    local file = keys.file(keys.ONE)
    local b = nodes.start('b', { listen = 'tcp', flags = { '--psk', file } })
    local a = nodes.start('a', { peers = { b }, flags = { '--psk', keys.file(keys.ONE) } })
    keys.replace(file, keys.TWO, keys.ONE)
    b.process:kill 'HUP'
    b.process:wait_line('pre%-shared keys read .*keys=2')
    assert.equal('up', a:eval 'return mesh.nodes()[2].state')
  end)

  it('is not reached by commands without it: exit 3 and what to do', function()
    local file = keys.file(keys.ONE)
    local b = nodes.start('b', { listen = 'tcp', flags = { '--psk', file, '--mesh=default' } }, [[
      mesh.action('one', function() return 1 end)
    ]])
    for _, command in ipairs { { 'call', 'one' }, { 'stream', 'one' }, { 'nodes' }, { 'actions' }, { 'ping', 'b' } } do
      for _, where in ipairs { '--peer=' .. b.url, '--mesh=default' } do
        local argv = { table.unpack(command) }
        argv[#argv + 1] = where
        local p = process.perilune_run(table.unpack(argv))
        assert.equal(3, p.code, p.stderr)
        assert.equal('', p.stdout)
        assert.matches('^UNAUTHORIZED: no node was reached\n', p.stderr)
        assert.is_truthy(p.stderr:find('asks for a pre-shared key, this node has none', 1, true), p.stderr)
        assert.is_truthy(p.stderr:find('--psk FILE, or PERILUNE_PSK', 1, true), p.stderr)
      end
    end
    local p = process.perilune_run('call', 'one', '--peer=' .. b.url, { env = { PERILUNE_PSK = keys.TWO } })
    assert.equal(3, p.code)
    assert.matches('^UNAUTHORIZED: no node was reached\n  %S+: the pre%-shared keys differ\n$', p.stderr)
    p = process.perilune_run('call', 'one', { env = { PERILUNE_PSK = file } })
    assert.equal('1\n', p.stdout, p.stderr)
  end)

  it('tells a caller beyond this machine where a handler failed', function()
    local host = io.popen('hostname -I 2>/dev/null'):read 'a':match '^(%d+%.%d+%.%d+%.%d+)'
    if not host then return pending 'this machine has no address but loopback' end
    local file = keys.file(keys.ONE)
    local b = nodes.start('b', { listen = 'tcp://0.0.0.0:0', flags = { '--psk', file } }, [[
      mesh.action('fail', function() error 'boom' end)
    ]])
    local port = b.process:stderr():match 'listen=tcp://0%.0%.0%.0:(%d+)'
    local p = process.perilune_run('call', 'fail', ('--peer=tcp://%s:%s'):format(host, port), '--psk=' .. file)
    assert.equal(1, p.code)
    assert.matches('stack traceback', p.stderr)
  end)
end)
