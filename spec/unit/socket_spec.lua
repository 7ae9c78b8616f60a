--- runtime/link: what only sockets do.

local links = require 'spec.support.links'
local machine = require 'spec.support.machine'
local process = require 'spec.support.process'
local sys = require('perilune.testing').link

local function port_of(url)
  return tonumber(url:match ':(%d+)$')
end

local net
before_each(function() net = links.new() end)
after_each(function() net:finish() end)

describe('a TCP listener', function()
  it('tells the port that the system chose', function()
    local l = net:listen 'tcp://127.0.0.1:0'
    assert.is_true(l.port > 0)
    assert.equal('tcp://127.0.0.1:' .. l.port, l.url)
  end)

  it('on * takes IPv4', function()
    local l = net:listen 'tcp://*:0'
    net:wait_open(net:dial('tcp://127.0.0.1:' .. l.port))
  end)

  it('on * takes IPv4 and IPv6', function()
    if not machine.has_ipv6() then pending 'needs IPv6' end
    local l = net:listen 'tcp://*:0'
    assert.equal('tcp://*:' .. l.port, l.url)
    net:wait_open(net:dial('tcp://127.0.0.1:' .. l.port))
    net:wait_open(net:dial('tcp://[::1]:' .. l.port))
    net:wait(function() return #l.accepted == 2 end, 'both')
    assert.equal('tcp://127.0.0.1', l.accepted[1].link:info().remote:match '^(.*):')
    assert.equal('tcp://[::1]', l.accepted[2].link:info().remote:match '^(.*):')
  end)

  it('on localhost is reached by that name', function()
    local l = net:listen 'tcp://localhost:0'
    net:wait_open(net:dial('tcp://localhost:' .. l.port))
  end)

  it('refuses names, foreign addresses and ports in use with a clear text', function()
    assert.same(
      { nil, 'INVALID', 'a listener takes a numeric address, localhost or *' },
      { net:listen 'tcp://example.org:0' }
    )
    local _, code, detail = net:listen 'tcp://192.0.2.1:0'
    assert.equal('IO_ERROR', code)
    assert.equal('tcp://192.0.2.1:0: address not available', detail)

    local l = net:listen 'tcp://127.0.0.1:0'
    _, code, detail = net:listen(l.url)
    assert.equal('ADDRESS_IN_USE', code)
    assert.equal(l.url .. ': address already in use', detail)
  end)

  it('shares its port with reuseport', function()
    local l = net:listen 'tcp://127.0.0.1:0?reuseport=1'
    assert.is_truthy(net:listen(l.url .. '?reuseport=1'))
    assert.equal(1, sys.socket_options(sys.find_socket(l.port)).reuseport)
  end)

  it('is open beside one of another kind on the same loop', function()
    local path = process.temp_dir() .. '/s'
    for _, url in ipairs { 'tcp://127.0.0.1:0', 'unix://' .. path, 'mem://x' } do
      local client, server = net:connect(url)
      client.link:write(url)
      net:wait(function() return server:text() == url end, url)
    end
  end)

  it('may be closed while somebody waits to be accepted', function()
    local l = net:listen 'tcp://127.0.0.1:0'
    local fd = sys.socket_connect(l.port)
    l:close()
    net:run(0.01)
    assert.equal(0, #l.accepted)
    sys.socket_close(fd)
  end)

  it('may be closed from its own callback', function()
    local l
    l = net:listen('tcp://127.0.0.1:0', {
      accept = function(e)
        e.link:abort()
        l:close()
      end,
    })
    local fds = { sys.socket_connect(l.port), sys.socket_connect(l.port) }
    net:wait(function() return l.gone end, 'the first connection')
    net:run(0.01)
    assert.equal(1, #l.accepted)
    for _, fd in ipairs(fds) do sys.socket_close(fd) end
  end)
end)

describe('without descriptors', function()
  local limit
  local function exhaust(spare)
    limit = sys.limit_descriptors(sys.next_descriptor() + spare)
  end
  before_each(function() limit = nil end)
  after_each(function()
    if limit then sys.limit_descriptors(limit) end
  end)

  it('a listener says so once, rests, and goes on by itself', function()
    local l = net:listen 'tcp://127.0.0.1:0'
    local fds = {}
    for i = 1, 20 do fds[i] = sys.socket_connect(l.port) end
    exhaust(3)
    net:wait(function() return #l.errors > 0 end, 'the error')
    local cpu = sys.process_cpu()
    net:run(1)
    assert.is_true(sys.process_cpu() - cpu < 0.1, 'busy while it has no descriptors')
    assert.same({ { code = 'IO_ERROR', detail = 'too many open files' } }, l.errors)
    assert.is_true(#l.accepted < 20)

    sys.limit_descriptors(limit)
    net:wait(function() return #l.accepted == 20 end, 'the others')
    assert.equal(1, #l.errors)
    for _, fd in ipairs(fds) do sys.socket_close(fd) end
  end)

  it('dialling fails', function()
    local path = process.temp_dir() .. '/s'
    local tcp, unix = net:listen 'tcp://127.0.0.1:0', net:listen('unix://' .. path)
    net:run(0.01)
    exhaust(0)
    for _, l in ipairs { tcp, unix } do
      local code, detail = net:wait_closed(net:dial(l.url))
      assert.equal('CONNECT_FAILED', code)
      assert.equal('too many open files', detail)
    end
  end)

  it('listening fails', function()
    net:run(0.01)
    exhaust(0)
    local _, code, detail = net:listen 'tcp://127.0.0.1:0'
    assert.equal('IO_ERROR', code)
    assert.equal('tcp://127.0.0.1:0: too many open files', detail)
    _, code = net:listen('unix://' .. process.temp_dir() .. '/s')
    assert.equal('IO_ERROR', code)
  end)
end)

describe('socket options', function()
  local function options_of(listen_url, dial_options)
    local l = net:listen(listen_url)
    local client = net:dial(l.url .. (dial_options or ''))
    net:wait(function() return l.accepted[1] and client.events[1] end, 'a connection')
    local port = port_of(l.accepted[1].link:info().remote)
    return sys.socket_options(sys.find_socket(port, l.port)), sys.socket_options(sys.find_socket(l.port, port))
  end

  it('are nodelay alone by default', function()
    for _, options in ipairs { options_of 'tcp://127.0.0.1:0' } do
      assert.equal(1, options.nodelay)
      assert.equal(0, options.keepalive)
      assert.equal(0, options.user_timeout)
    end
  end)

  it('are those of the address, on both ends', function()
    local wanted = '?nodelay=0&keepalive=30&user_timeout=20'
    for _, options in ipairs { options_of('tcp://127.0.0.1:0' .. wanted, wanted) } do
      assert.equal(0, options.nodelay)
      assert.equal(1, options.keepalive)
      assert.equal(30, options.keepalive_idle)
      assert.equal(20000, options.user_timeout)
    end
  end)

  it('avoid BBR on this machine', function()
    for _, options in ipairs { options_of 'tcp://127.0.0.1:0' } do
      assert.is_nil(options.congestion:find '^bbr')
    end
  end)

  it('bind a dial to a local address', function()
    local l = net:listen 'tcp://127.0.0.1:0'
    net:wait_open(net:dial(l.url .. '?bind=127.0.0.7'))
    assert.equal('tcp://127.0.0.7', l.accepted[1].link:info().remote:match '^(.*):')
    local code, detail = net:wait_closed(net:dial(l.url .. '?bind=192.0.2.1'))
    assert.equal('CONNECT_FAILED', code)
    assert.equal('address not available', detail)
    assert.equal('CONNECT_FAILED', (net:wait_closed(net:dial(l.url .. '?bind=::1'))))
  end)
end)

describe('a TCP dial', function()
  it('is refused where nobody listens', function()
    local code, detail = net:wait_closed(net:dial('tcp://127.0.0.1:' .. process.free_port()))
    assert.equal('CONNECT_FAILED', code)
    assert.equal('connection refused', detail)
  end)

  it('needs a port and a host', function()
    assert.same({ nil, 'INVALID' }, { net:dial 'tcp://127.0.0.1:0' })
    assert.same({ nil, 'INVALID' }, { net:dial 'tcp://*:4100' })
  end)

  it('tries the addresses of a name in turn', function()
    if not machine.has_ipv6() then pending 'needs IPv6' end
    local l = net:listen 'tcp://[::1]:0'
    net:wait_open(net:dial('tcp://localhost:' .. l.port)) -- 127.0.0.1 refuses
  end)

  it('fails for a name that does not exist, without stopping the loop', function()
    local client = net:dial 'tcp://no-such-host.invalid:1'
    local echo, server = net:connect 'tcp://127.0.0.1:0'
    echo.link:write 'meanwhile'
    net:wait(function() return server:text() == 'meanwhile' end, 'other links')
    assert.equal('CONNECT_FAILED', (net:wait_closed(client)))
    assert.is_true(#client.detail > 0)
  end)

  it('can be given up while the name is looked up', function()
    for turns = 0, 3 do
      local client = net:dial 'tcp://no-such-host.invalid:1'
      for _ = 1, turns do net.world:step(0) end
      if client.link:is_open() then client.link:abort('TIMEOUT', 'too long') end
      net:wait_closed(client)
    end
    net:run(0.2) -- the look-up ends by itself
  end)

  it('recognises a connection to itself, which a free port of this machine can lead to', function()
    local fd = sys.socket_to_itself()
    assert.is_true(sys.is_self(fd))
    sys.socket_close(fd)
    local l = net:listen 'tcp://127.0.0.1:0'
    fd = sys.socket_connect(l.port)
    assert.is_false(sys.is_self(fd))
    sys.socket_close(fd)
  end)
end)

describe('a link over TCP', function()
  local listener, fd, server
  local function accept_raw(buffer)
    listener = net:listen 'tcp://127.0.0.1:0'
    fd = sys.socket_connect(listener.port, buffer)
    net:wait(function() return listener.accepted[1] end, 'the connection')
    server = listener.accepted[1]
  end

  it('ends with OK when the other end only closes its half', function()
    accept_raw()
    sys.socket_send(fd, 'last words')
    sys.socket_shutdown(fd)
    assert.equal('OK', (net:wait_closed(server)))
    assert.equal('last words', server:text())
    sys.socket_close(fd)
  end)

  it('is lost when the other end resets it', function()
    accept_raw()
    sys.socket_close(fd, true)
    local code, detail = net:wait_closed(server)
    assert.equal('PEER_LOST', code)
    assert.equal('connection reset by peer', detail)
  end)

  it('resets the other end when it is aborted', function()
    accept_raw()
    server.link:abort('PROTOCOL', 'nonsense')
    net:wait_closed(server)
    assert.has_error(function()
      for _ = 1, 100 do
        sys.socket_receive(fd)
        net:run(0.001)
      end
    end, 'recv: Connection reset by peer')
    sys.socket_close(fd)
  end)

  it('survives writing to an end that is gone', function()
    accept_raw()
    sys.socket_close(fd)
    for _ = 1, 20 do
      if not server.link:is_open() then break end
      server.link:write(('x'):rep(10000), true)
      net:run(0.002)
    end
    net:wait_closed(server)
  end)

  it('goes on reading while it cannot write', function()
    accept_raw(4096)
    server.link:write(('w'):rep(6 * 1024 * 1024), true)
    net:run(0.01)
    assert.is_true(server.link:backlog() > 0)
    for i = 1, 50 do
      sys.socket_send(fd, 'still talking ')
      net:wait(function() return server.count == i * 14 end, 'the bytes')
    end
    sys.socket_close(fd, true)
    assert.equal('PEER_LOST', (net:wait_closed(server)))
  end)

  it('waits for an end that reads slowly, then goes on', function()
    accept_raw(4096)
    local all = ('0123456789abcdef'):rep(128 * 1024)
    server.link:write(all, true)
    server.link:close()
    local got = {}
    while got[#got] ~= '' do
      got[#got + 1] = sys.socket_receive(fd)
      net:run(0.0002)
    end
    assert.is_true(table.concat(got) == all)
    sys.socket_close(fd)
    assert.equal('OK', (net:wait_closed(server)))
  end)

  it('closes within about a second when the other end never does', function()
    accept_raw()
    server.link:write 'bye'
    server.link:close()
    local before = process.now()
    assert.equal('OK', (net:wait_closed(server)))
    assert.is_true(process.now() - before < 2)
    sys.socket_close(fd)
  end)
end)
