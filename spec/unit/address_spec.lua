--- runtime/link/url: addresses of the mesh, and what they say beside the place.

local testing = require 'perilune.testing'

local parse = testing.link.parse

describe('an address', function()
  it('says where, and how', function()
    local u = parse 'tcp://[::1]:4100?nodelay=0&keepalive=30&user_timeout=20&backlog=9&reuseport=1&bind=::1&cost=0.25'
    assert.same({ 'tcp', '::1', 4100, 'tcp://[::1]:4100' }, { u.scheme, u.host, u.port, u.text })
    assert.same({ false, 30, 20, 9, true, '::1', 250000 },
      { u.nodelay, u.keepalive, u.user_timeout, u.backlog, u.reuseport, u.bind, u.cost })
    u = parse 'unix:///run/x.sock?mode=0660'
    assert.same({ 'unix', '/run/x.sock', 432, 0 }, { u.scheme, u.host, u.mode, u.cost })
  end)

  it('says what its links cost, to the microsecond', function()
    for text, us in pairs {
      ['1'] = 1000000, ['0.5'] = 500000, ['60'] = 60000000, ['60.000000'] = 60000000, ['0.000001'] = 1,
      ['00.10'] = 100000, ['3.'] = 3000000, ['59.999999'] = 59999999,
    } do
      for _, place in ipairs { 'tcp://h:1', 'unix:///x', 'mem://x' } do
        assert.equal(us, assert(parse(place .. '?cost=' .. text)).cost, text)
      end
    end
    for _, text in ipairs {
      '', '0', '0.0', '.5', '-1', '61', '60.000001', '1.0000001', '1e3', ' 1', '1,5', 'nan', '1.2.3', '99999999999',
    } do
      local u, code, why = parse('tcp://h:1?cost=' .. text)
      assert.same({ nil, 'INVALID', 'cost is a number of seconds, above 0 and up to 60' }, { u, code, why }, text)
    end
  end)

  it('is refused in every part that is wrong', function()
    for text, why in pairs {
      ['tcp://h:1?mode=0600'] = 'unknown option',
      ['tcp://h:1?costs=1'] = 'unknown option',
      ['tcp://h:1?cost=1&'] = nil,
      ['tcp://h:1?backlog=0'] = 'backlog is a number from 1 to 65535',
      ['unix:///x?mode=9'] = 'mode is octal, up to 0777',
      ['tcp://h'] = 'the port is missing',
      ['tcp://h:99999'] = 'the port is a number up to 65535',
      ['h:1'] = 'an address looks like tcp://host:port, unix:///path or mem://name',
    } do
      assert.same({ nil, 'INVALID', why }, { parse(text) }, text)
    end
  end)
end)
