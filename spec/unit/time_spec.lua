local on_loop = require 'spec.support.on_loop'

local run, fails = on_loop.run, on_loop.fails

describe('perilune.time', function()
  it('tells the time of day and a time that only goes forward', function()
    local now, a, b = run [[
      local time = require 'perilune.time'
      return time.now(), time.monotonic(), time.monotonic()
    ]]
    assert.is_true(math.abs(now - os.time()) < 2)
    assert.is_true(math.type(now) == 'float' and b >= a)
  end)

  it('writes times as ISO 8601 in UTC, or as asked', function()
    assert.same({
      '1970-01-01T00:00:00Z', '2026-01-02T03:04:05.678Z', '1969-12-31T23:59:59.500Z', '2038-01-19 03:14:08',
    }, { run [[
      local time = require 'perilune.time'
      return time.format(0), time.format(1767323045.678), time.format(-0.5),
        time.format(2147483648, '%Y-%m-%d %H:%M:%S')
    ]] })
    assert.truthy(run "return require('perilune.time').format(0, nil, { zone = 'local' })"
      :find '^19[67]%d%-%d%d%-%d%dT%d%d:%d%d:00[+-]%d%d:%d%d$')
    assert.truthy(fails "require('perilune.time').format(0, '%Q')":find "^script:1: bad argument #2 to 'time.format'")
    assert.equal('1970-01-01T00:00:01.000Z', (run "return require('perilune.time').format(0.9996)"))
    assert.truthy(fails "require('perilune.time').format(1 / 0)":find 'out of range')
  end)

  it('reads RFC 3339', function()
    for text, seconds in pairs {
      ['1970-01-01T00:00:00Z'] = 0,
      ['2026-01-02T03:04:05Z'] = 1767323045,
      ['2026-01-02t03:04:05z'] = 1767323045,
      ['2026-01-02 04:04:05+01:00'] = 1767323045,
      ['2026-01-01T22:34:05-0430'] = 1767323045,
      ['2000-02-29'] = 951782400,
      ['2016-12-31T23:59:60Z'] = 1483228800,
      ['1969-12-31T23:59:59Z'] = -1,
      ['9999-12-31T23:59:59Z'] = 253402300799,
    } do
      assert.equal(seconds, (run("return require('perilune.time').parse(...)", text)))
    end
    assert.equal(1767323045.25, (run "return require('perilune.time').parse '2026-01-02T03:04:05.25Z'"))
    assert.equal('integer', math.type(run "return require('perilune.time').parse '2026-01-02T03:04:05Z'"))
  end)

  it('refuses every other text', function()
    for _, text in ipairs {
      '', 'now', '2026-1-2', '2026-13-01', '2026-00-01', '2026-02-29', '2026-04-31', '2026-01-01T',
      '2026-01-01T00:00:00', '2026-01-01T24:00:00Z', '2026-01-01T00:60:00Z',
      '2026-01-01T00:00:61Z', '2026-01-01T00:00:00.Z',
      '2026-01-01T00:00:00+24:00', '2026-01-01T00:00:00Zx', '2026-01-01T00:00Z', ' 2026-01-01', '2026-01-01Z',
    } do
      local code, message = run("return catch(require('perilune.time').parse, ...)", text)
      assert.same({ 'INVALID', ("parse '%s': not an RFC 3339 time"):format(text) }, { code, message })
    end
  end)

  it('refuses every part of a time but its date', function()
    run [[
      local time = require 'perilune.time'
      local text = '2026-01-02T03:04:05.678+01:00'
      for n = 0, #text - 1 do
        assert((n == 10) == pcall(time.parse, text:sub(1, n)), text:sub(1, n))
      end
    ]]
  end)

  it('reads what it writes', function()
    run [[
      local time = require 'perilune.time'
      for t = -5000000000, 5000000000, 86399 * 977 do assert(time.parse(time.format(t)) == t) end
    ]]
  end)
end)
