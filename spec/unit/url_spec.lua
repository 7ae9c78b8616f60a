--- runtime/link/url: addresses of the mesh.

local parse = require('perilune.testing').link.parse

local function why(text)
  local url, code, reason = parse(text)
  assert.is_nil(url)
  assert.equal('INVALID', code)
  return reason
end

describe('an address', function()
  it('of TCP has a host and a port', function()
    local url = parse 'tcp://127.0.0.1:4100'
    assert.equal('tcp', url.scheme)
    assert.equal('127.0.0.1', url.host)
    assert.equal(4100, url.port)
  end)

  it('of IPv6 is in brackets, and without them inside', function()
    local url = parse 'tcp://[::1]:4100'
    assert.equal('::1', url.host)
    assert.equal(4100, url.port)
    assert.equal('fe80::1%eth0', parse('tcp://[fe80::1%eth0]:1').host)
  end)

  it('may listen everywhere, or at a port the system chooses', function()
    assert.equal('*', parse('tcp://*:0').host)
    assert.equal(0, parse('tcp://localhost:0').port)
  end)

  it('of a Unix socket is an absolute or relative path, or an abstract name', function()
    assert.equal('/run/a.sock', parse('unix:///run/a.sock').host)
    assert.equal('run/a.sock', parse('unix://run/a.sock').host)
    assert.equal('@mesh', parse('unix://@mesh').host)
  end)

  it('of a Unix socket has at most 107 bytes', function()
    assert.equal(107, #parse('unix://' .. ('p'):rep(107)).host)
    assert.equal('the path of a Unix socket has at most 107 bytes', why('unix://' .. ('p'):rep(108)))
  end)

  it('in memory is a name', function()
    assert.equal('hub', parse('mem://hub').host)
  end)

  it('of a scheme that is not known here still parses', function()
    assert.equal('tls', parse('tls://example.org:443').scheme)
  end)

  it('formats as one would dial it, without options', function()
    for _, text in ipairs {
      'tcp://127.0.0.1:4100', 'tcp://*:0', 'tcp://localhost:0', 'tcp://[::1]:4100', 'tcp://a-b.example.org:65535',
      'unix:///run/a.sock', 'unix://./a.sock', 'unix://@name', 'mem://a',
    } do
      assert.equal(text, parse(text).text)
      assert.equal(text, parse(text .. '?backlog=3').text)
    end
  end)

  it('says whether only this machine reaches it', function()
    for _, text in ipairs {
      'tcp://127.0.0.1:1', 'tcp://127.9.9.9:1', 'tcp://[::1]:1', 'tcp://localhost:1', 'tcp://[::ffff:127.0.0.1]:1',
      'unix:///a', 'unix://@a', 'mem://a',
    } do
      assert.is_true(parse(text).is_local, text)
    end
    for _, text in ipairs {
      'tcp://*:1', 'tcp://0.0.0.0:1', 'tcp://[::]:1', 'tcp://10.0.0.1:1', 'tcp://localhost.org:1', 'tls://127.0.0.1',
    } do
      assert.is_false(parse(text).is_local, text)
    end
  end)

  it('is refused with what is wrong', function()
    local cases = {
      [''] = 'an address looks like tcp://host:port, unix:///path or mem://name',
      ['127.0.0.1:80'] = 'an address looks like tcp://host:port, unix:///path or mem://name',
      ['tcp:/127.0.0.1:80'] = 'an address looks like tcp://host:port, unix:///path or mem://name',
      ['://x'] = 'an address looks like tcp://host:port, unix:///path or mem://name',
      ['TCP://a:1'] = 'a scheme has lower-case letters',
      ['toolongscheme://a:1'] = 'unknown scheme',
      ['tcp://'] = 'the host is missing',
      ['tcp://:80'] = 'the host is missing',
      ['tcp://a'] = 'the port is missing',
      ['tcp://a:'] = 'the port is a number up to 65535',
      ['tcp://a:65536'] = 'the port is a number up to 65535',
      ['tcp://a:-1'] = 'the port is a number up to 65535',
      ['tcp://a:1x'] = 'the port is a number up to 65535',
      ['tcp://a:1/path'] = 'the port is a number up to 65535',
      ['tcp://::1:80'] = 'an IPv6 address is written in brackets',
      ['tcp://[::1:80'] = 'a bracket is not closed',
      ['tcp://[::1]'] = 'the port is missing',
      ['tcp://[::1]80'] = 'the port is missing',
      ['tcp://[a]:80'] = 'between brackets belongs an IPv6 address',
      ['tcp://[127.0.0.1]:80'] = 'between brackets belongs an IPv6 address',
      ['tcp://a b:1'] = "a host has letters, digits, '.', '-' and '_'",
      ['tcp://u@h:1'] = "a host has letters, digits, '.', '-' and '_'",
      ['tcp://' .. ('h'):rep(256) .. ':1'] = 'the host is too long',
      ['unix://'] = 'the path is missing',
      ['unix://@'] = 'the abstract name is missing',
      ['mem://'] = 'the name is missing',
      ['mem://a\n'] = 'an address has no control characters',
      ['mem://' .. ('n'):rep(600)] = 'the address is too long',
    }
    for text, reason in pairs(cases) do assert.equal(reason, why(text), text) end
  end)
end)

describe('options of an address', function()
  it('have defaults', function()
    local url = parse 'tcp://a:1'
    assert.is_true(url.nodelay)
    assert.is_false(url.reuseport)
    assert.equal(0, url.keepalive)
    assert.equal(0, url.user_timeout)
    assert.equal(511, url.backlog)
    assert.equal(tonumber('600', 8), url.mode)
    assert.equal('', url.bind)
  end)

  it('follow a question mark', function()
    local url = parse 'tcp://a:1?nodelay=0&keepalive=30&backlog=64&reuseport=1&bind=127.0.0.1&user_timeout=20'
    assert.is_false(url.nodelay)
    assert.is_true(url.reuseport)
    assert.equal(30, url.keepalive)
    assert.equal(20, url.user_timeout)
    assert.equal(64, url.backlog)
    assert.equal('127.0.0.1', url.bind)
    assert.equal(tonumber('660', 8), parse('unix:///a?mode=0660').mode)
  end)

  it('are refused when unknown, of another scheme, or without sense', function()
    assert.equal('unknown option', why 'tcp://a:1?nodely=1')
    assert.equal('unknown option', why 'tcp://a:1?mode=0600')
    assert.equal('unknown option', why 'unix:///a?nodelay=1')
    assert.equal('unknown option', why 'tcp://a:1?nodelay=1&&backlog=1')
    assert.equal('nodelay is 0 or 1', why 'tcp://a:1?nodelay=2')
    assert.equal('nodelay is 0 or 1', why 'tcp://a:1?nodelay')
    assert.equal('keepalive is a number of seconds up to 32767', why 'tcp://a:1?keepalive=99999')
    assert.equal('user_timeout is a number of seconds up to 86400', why 'tcp://a:1?user_timeout=x')
    assert.equal('backlog is a number from 1 to 65535', why 'tcp://a:1?backlog=0')
    assert.equal('backlog is a number from 1 to 65535', why 'tcp://a:1?backlog=99999999999999999999')
    assert.equal('mode is octal, up to 0777', why 'unix:///a?mode=0888')
    assert.equal('mode is octal, up to 0777', why 'unix:///a?mode=1777')
    assert.equal('bind is a numeric address', why 'tcp://a:1?bind=example.org')
  end)
end)
