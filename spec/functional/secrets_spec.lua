local nodes = require 'spec.support.nodes'
local process = require 'spec.support.process'
local socket = require 'spec.support.socket'

local SECRET = 'correct-horse-battery'

describe('a secret', function()
  it('is refused as an argument, and not repeated', function()
    for _, argv in ipairs {
      { 'run', 'app.lua', '--psk', SECRET }, { 'run', 'app.lua', '--psk=' .. SECRET },
      { 'call', 'x', '--psk=' .. SECRET }, { 'nodes', '--psk', SECRET }, { 'run', '--psk=' .. SECRET },
    } do
      local p = process.perilune_run(table.unpack(argv))
      assert.equal(2, p.code, p.stderr)
      assert.matches('psk: ', p.stderr)
      assert.is_nil((p.stdout .. p.stderr):find(SECRET, 1, true), p.stderr)
    end
  end)

  it('in the environment is in no line that a node writes', function()
    local server = nodes.start('server', {
      listen = 'tcp', flags = { '--log-level=debug' }, env = { DATABASE_PASSWORD = SECRET },
    }, "mesh.action('fail', function() error 'boom' end) mesh.action('die', function() error(os.getenv 'HOME') end)")
    local client = nodes.start('client', { peers = { server }, flags = { '--log-level=debug' } })
    client:fails "mesh.call 'fail'"
    local s = socket.connect(server.url)
    s:send 'GET /?' s:receive_all()
    for _, node in ipairs { server, client } do
      node.process:kill 'TERM'
      assert.equal(0, node.process:wait())
      assert.is_nil(node.process:stderr():find(SECRET, 1, true))
    end
  end)
end)

describe('a log line', function()
  it('cannot be forged by names, errors and what strangers send', function()
    local server = nodes.start('server', { listen = 'tcp' }, [[
      mesh.action('fail', function() error('boom\n2026-01-01T00:00:00.000Z error forged=yes\r\27[2J', 0) end)
    ]])
    local client = nodes.start('client', { peers = { server }, flags = { '--name=x\u{2028}y"z=1' } })
    client:fails "mesh.call 'fail'"
    server.process:wait_line 'handler failed'
    local text = server.process:stderr()
    assert.is_nil(text:find '\n[^\n]*error forged=yes[^\n]*\r')
    assert.is_nil(text:find '[\27\r]')
    for line in text:gmatch '[^\n]+' do
      assert.is_truthy(line:find '^ready ' or line:find '^%d%d%d%d%-%d%d%-%d%dT[%d:.]+Z %l+ ', line)
      assert.is_nil(line:find '^2026%-01%-01')
    end
  end)
end)

describe('arguments of a command', function()
  --- What cannot be an argument ends the command before it asks anybody, with one error.
  local function assert_refused(json, why)
    local began = process.now()
    local p = process.perilune_run('call', 'x', json, '--peer=tcp://127.0.0.1:1')
    assert.equal(2, p.code, p.stderr)
    assert.equal('', p.stdout)
    assert.is_true(#p.stderr < 2000, #p.stderr)
    if why then assert.is_truthy(p.stderr:find(why, 1, true), p.stderr) end
    assert.is_true(process.now() - began < 2 * process.patience)
  end

  it('that nest too deep are refused', function()
    for _, depth in ipairs { 65, 1000, 20000 } do
      assert_refused(('['):rep(depth) .. (']'):rep(depth))
      assert_refused(('{"a":'):rep(depth) .. '1' .. ('}'):rep(depth))
    end
    assert_refused(('['):rep(60000))
  end)

  it('that are no JSON are refused', function()
    assert_refused('abc', [['abc' is not JSON; quote a string as '"abc"']])
    for _, text in ipairs {
      '', ' ', '[1,]', '{"a":1,"a":2}', "{'a':1}", '01', '1e999', 'NaN', '"\xff"', '"\1"', '[1] 2', '\xef\xbb\xbf1',
      'nul', ('ä'):rep(200), ('\xbf'):rep(300), '"' .. ('x'):rep(50000),
    } do assert_refused(text) end
  end)
end)

describe('a value that cannot travel', function()
  it('is refused with its path, and the node goes on', function()
    local server = nodes.start('server', { listen = 'unix' }, [[
      mesh.action('echo', function(...) return ... end)
      mesh.action('bad', function(kind) return values[kind]() end)
      values = {
        cyclic = function() local t = {} t.t = t return t end,
        deep = function() local t = {} for _ = 1, 1e6 do t = { t } end return t end,
        wide = function() local t = {} for i = 1, 3e6 do t[i] = i end return t end,
        func = function() return { cb = print } end,
        huge = function() return ('x'):rep(70 * 1024 * 1024) end,
      }
    ]])
    local client = nodes.start('client', { peers = { server } }, [[
      values = {
        cyclic = function() local t = { user = {} } t.user.self = t return t end,
        deep = function() local t = {} for _ = 1, 1e6 do t = { t } end return t end,
        func = function() return { user = { cb = print } } end,
        thread = function() return coroutine.create(print) end,
        file = function() return io.stdout end,
        keys = function() return { [{}] = 1 } end,
        nan_key = function() return { [true] = 1 } end,
        huge = function() return ('x'):rep(70 * 1024 * 1024) end,
      }
    ]])
    for kind, path in pairs {
      cyclic = 'args[1].user.self', deep = 'args[1]', func = 'args[1].user.cb', thread = 'args[1]',
      file = 'args[1]', keys = 'args[1]', nan_key = 'args[1]',
    } do
      local err = client:fails("mesh.call('echo', values[...]())", kind)
      assert.equal('INVALID', err.code, kind)
      assert.equal('not_sent', err.outcome, kind)
      assert.is_truthy(err.message:find(path, 1, true), err.message)
      assert.is_true(#err.message < 1000)
    end
    assert.equal('TOO_LARGE', client:fails("mesh.call('echo', values.huge())").code)
    for kind, code in pairs { cyclic = 'INVALID', deep = 'INVALID', func = 'INVALID', huge = 'TOO_LARGE' } do
      local err = client:fails("mesh.call('bad', ...)", kind)
      assert.equal(code, err.code, kind)
      assert.equal('executed', err.outcome, kind)
    end
    assert.equal(3000000, client:eval "return #mesh.call('bad', 'wide')")
    assert.equal(5, client:eval "return mesh.call('echo', 5)")
  end)
end)
