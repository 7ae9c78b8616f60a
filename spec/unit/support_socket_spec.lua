local process = require 'spec.support.process'
local socket = require 'spec.support.socket'

describe('a raw socket', function()
  it('joins two ends over tcp', function()
    local listener, url = socket.listen()
    local client = socket.connect(url)
    local server = listener:accept()
    assert.is_true(client:send 'hello')
    assert.equal('hello', server:receive())
    client:finish()
    assert.equal('', server:receive())
    server:send 'bye'
    server:close()
    assert.equal('bye', client:receive_all())
  end)

  it('joins two ends over a unix socket', function()
    local path = process.temp_dir() .. '/s'
    local listener = socket.listen_unix(path)
    local client = socket.connect('unix://' .. path)
    listener:accept():send 'hi'
    assert.equal('hi', client:receive())
  end)

  it('gives nil when nothing comes', function()
    local listener, url = socket.listen()
    local client = socket.connect(url)
    listener:accept()
    assert.is_nil(client:receive(0))
  end)

  it('resets', function()
    local listener, url = socket.listen()
    local client = socket.connect(url)
    local server = listener:accept()
    client:reset()
    assert.equal('', server:receive())
    assert.is_false(server:send 'x')
  end)

  it('raises when nobody listens', function()
    assert.error_matches(function() socket.connect('tcp://127.0.0.1:' .. process.free_port()) end,
      'Connection refused')
  end)
end)
