local json = require 'dkjson'
local log = require('perilune.testing').base.log

local STAMP = '^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%dZ'

-- The line without its time.
local function line_of(l, ...)
  l:write('info', ...)
  local text = l:text()
  assert.is_truthy(text:match(STAMP), text)
  return (text:gsub(STAMP, '', 1))
end

describe('a log line', function()
  it('has a time, a level, a message and fields', function()
    local line = line_of(log.new(), 'link up', 'peer', 'ab12', 'rtt_us', 80, 'ok', true, 'load', 0.25)
    assert.equal(' info  link up peer=ab12 rtt_us=80 ok=true load=0.25\n', line)
  end)

  it('carries the time of now, in UTC', function()
    local l = log.new()
    local before = os.time()
    l:write('error', 'x')
    local y, m, d, H, M, S = l:text():match '^(%d+)-(%d+)-(%d+)T(%d+):(%d+):(%d+)'
    local noted = { year = y, month = m, day = d, hour = H, min = M, sec = S, isdst = false }
    local utc = os.date('!*t', before)
    utc.isdst = false
    local passed = os.time(noted) - os.time(utc)
    assert.is_true(passed >= 0 and passed <= 2)
  end)

  it('may be without fields', function()
    local l = log.new()
    l:plain('just this')
    assert.equal(' info  just this\n', (l:text():gsub(STAMP, '')))
  end)

  it('quotes what could be taken for something else', function()
    local l = log.new()
    assert.equal(' info  m k="a b"\n', line_of(l, 'm', 'k', 'a b'))
    assert.equal(' info  m k=""\n', line_of(l, 'm', 'k', ''))
    assert.equal(' info  m k=""\n', line_of(l, 'm', 'k', nil))
    assert.equal(' info  m k="a=b"\n', line_of(l, 'm', 'k', 'a=b'))
    assert.equal(' info  m k="say \\"hi\\""\n', line_of(l, 'm', 'k', 'say "hi"'))
    assert.equal(' info  m k="C:\\\\x"\n', line_of(l, 'm', 'k', 'C:\\x'))
    assert.equal(' info  m "a key"=1\n', line_of(l, 'm', 'a key', 1))
    assert.equal(' info  "user=admin in" k=v\n', line_of(l, 'user=admin in', 'k', 'v'))
  end)

  it('leaves text of any language as it is', function()
    assert.equal(' info  Grüße k=月光🌙\n', line_of(log.new(), 'Grüße', 'k', '月光🌙'))
  end)

  it('writes numbers so that they read back', function()
    local l = log.new()
    for _, x in ipairs { 0.1, 1 / 3, 1e300, -5e-324, 123456789.125, math.mininteger, math.maxinteger, 2.0 } do
      assert.equal(x, tonumber(line_of(l, 'm', 'k', x):match 'k=(.*)\n'))
    end
    assert.equal(' info  m k=inf\n', line_of(l, 'm', 'k', math.huge))
    assert.equal(' info  m k=-inf\n', line_of(l, 'm', 'k', -math.huge))
    assert.equal(' info  m k=nan\n', line_of(l, 'm', 'k', 0 / 0):gsub('-nan', 'nan'))
  end)

  local numeric = os.setlocale(nil, 'numeric')
  local comma = os.setlocale('de_DE.UTF-8', 'numeric') or os.setlocale('fr_FR.UTF-8', 'numeric')
  os.setlocale(numeric, 'numeric')

  -- Needs a locale with another decimal point, which few machines have.
  if comma then
    it('does not follow the locale that a script chose', function()
      os.setlocale(comma, 'numeric')
      local line = line_of(log.new(), 'm', 'k', 0.5)
      os.setlocale(numeric, 'numeric')
      assert.equal(' info  m k=0.5\n', line)
    end)
  end
end)

-- What input might try: line ends of all kinds, terminal sequences, bytes that are no text.
local ATTACKS = {
  'x\n2026-01-01T00:00:00.000Z error forged',
  'x\r\nforged',
  'x\rforged',
  '\27[2J\27]0;title\7',
  '\0nul',
  '\127\8\8\8',
  'x\u{85}forged', -- next line
  'x\u{9b}2J', -- a control sequence in one character
  'x\u{2028}forged\u{2029}', -- line and paragraph separator
  '\255\254\192\128', -- never UTF-8
  '\xed\xa0\x80', -- a surrogate
  '\xc0\x8a', -- a newline in two bytes
  '\xf4\x90\x80\x80', -- past the last character
  '\xe2\x82', -- cut short
  '"}\n{"level":"error"',
  '","level":"error","x":"',
  'a" level="error',
  '\\',
  '\\"',
}

describe('input', function()
  for i, attack in ipairs(ATTACKS) do
    for _, place in ipairs { 'message', 'key', 'value' } do
      local where = ('as a %s (%d)'):format(place, i)
      local key = (place == 'key' and attack or 'k'):gsub('\0', '') -- keys are C strings
      local message = (place == 'message' and attack or 'm'):gsub('\0', '')
      local value = place == 'value' and attack or 'v'

      it('cannot forge a line of text ' .. where, function()
        local line = line_of(log.new(), message, key, value, 'last', 1)
        assert.equal(1, select(2, line:gsub('[\r\n]', '')))
        assert.is_nil(line:sub(1, -2):find '[\0-\31\127]')
        assert.is_truthy(utf8.len(line))
        for _, c in utf8.codes(line) do
          assert.is_false(c >= 0x80 and c < 0xa0 or c == 0x2028 or c == 0x2029)
        end
        assert.is_truthy(line:find(' last=1\n', 1, true))
        local unquoted = line:gsub('\\.', ''):gsub('"[^"]*"', '""')
        assert.is_nil(unquoted:find('level', 1, true))
        assert.equal(2, select(2, unquoted:gsub('=', '')))
      end)

      it('cannot forge a line of JSON ' .. where, function()
        local l = log.new()
        l:json(true)
        l:write('info', message, key, value, 'last', 1)
        local line = l:text()
        assert.equal(1, select(2, line:gsub('[\r\n]', '')))
        assert.is_nil(line:sub(1, -2):find '[\0-\31\127]')
        local object, at = json.decode(line)
        assert.is_table(object, line)
        assert.equal(#line, at)
        assert.equal('info', object.level)
        assert.equal(1, object.last)
        local count = 0
        for _ in pairs(object) do
          count = count + 1
        end
        assert.equal(5, count)
        if utf8.len(attack) then assert.equal(value, object[key]) end
      end)
    end
  end

  it('of any bytes makes one valid line', function()
    math.randomseed(3)
    local text, object = log.new(), log.new()
    object:json(true)
    for _ = 1, 500 do
      local bytes = {}
      for i = 1, math.random(0, 40) do
        bytes[i] = string.char(math.random(4) == 1 and math.random(0, 255) or math.random(0xc0, 0xff))
      end
      local value = table.concat(bytes)
      local line = line_of(text, 'm', 'k', value)
      assert.is_truthy(utf8.len(line))
      assert.is_nil(line:sub(1, -2):find '[\0-\31\127]')
      object:write('info', 'm', 'k', value)
      assert.is_table((json.decode(object:text())))
    end
  end)

  it('that is very long is cut, at a character', function()
    local l = log.new()
    local line = line_of(l, 'm', 'k', ('月'):rep(100000))
    assert.is_true(#line < 10000)
    assert.is_truthy(utf8.len(line))
    assert.is_truthy(line:match '月%.%.%."\n$')
    l:json(true)
    l:write('info', ('\1'):rep(100000))
    assert.is_truthy(json.decode(l:text()).message:match '^\1+%.%.%.$')
  end)
end)

describe('a line of JSON', function()
  local function object_of(...)
    local l = log.new()
    l:json(true)
    l:write('warn', ...)
    return json.decode(l:text())
  end

  it('has the same parts', function()
    local o = object_of('link up', 'peer', 'ab12', 'rtt_us', 80, 'ok', false, 'load', 0.25)
    assert.is_truthy(o.time:match(STAMP .. '$'))
    o.time = nil
    assert.same({ level = 'warn', message = 'link up', peer = 'ab12', rtt_us = 80, ok = false, load = 0.25 }, o)
  end)

  it('keeps its own keys from fields of that name', function()
    local o = object_of('m', 'level', 'x', 'message', 'y', 'time', 'z')
    assert.same({ 'warn', 'm', 'x', 'y', 'z' }, { o.level, o.message, o.level_, o.message_, o.time_ })
  end)

  it('has texts for numbers that JSON does not know', function()
    assert.equal('inf', object_of('m', 'k', math.huge).k)
    assert.equal('-inf', object_of('m', 'k', -math.huge).k)
  end)
end)

describe('a log', function()
  it('may be written from any thread, a whole line at a time', function()
    local l = log.new()
    l:write_from_threads()
    local counts = {}
    for line in l:text():gmatch '([^\n]*)\n' do
      local n = assert(line:match ' info  from a thread n=(%d+)$')
      counts[n] = (counts[n] or 0) + 1
    end
    for n = 0, 999 do
      assert(counts[tostring(n)] == 4)
    end
    assert.equal(0, l:lost())
  end)
end)

describe('a level', function()
  it('passes itself and what is worse', function()
    local names = { 'debug', 'info', 'warn', 'error' }
    for i, level in ipairs(names) do
      local l = log.new()
      l:level(level)
      for j, name in ipairs(names) do
        l:write(name, 'm')
        assert.equal(j >= i, #l:text() > 0)
      end
    end
  end)

  it('of off passes nothing', function()
    local l = log.new()
    l:level('off')
    l:write('error', 'm')
    l:write('off', 'm')
    assert.equal('', l:text())
  end)

  it('is info at first', function()
    local l = log.new()
    l:write('debug', 'no')
    l:write('info', 'yes')
    assert.is_truthy(l:text():match ' info  yes\n$')
  end)

  it('of another name is unknown', function()
    assert.has_error(function() log.new():level('verbose') end)
    assert.has_error(function() log.new():level('') end)
  end)
end)

describe('a sink', function()
  it('that fails is counted, and the next line comes', function()
    local l = log.new()
    l:refuse(true)
    l:write('info', 'one')
    l:write('info', 'two')
    l:write('debug', 'not even tried')
    l:refuse(false)
    l:write('info', 'three')
    assert.equal(2, l:lost())
    assert.is_truthy(l:text():match ' info  three\n$')
  end)

  it('is standard error at first', function()
    local l = log.new(true)
    local text = log.with_stderr(function() l:write('info', 'hello', 'n', 1) end)
    assert.is_truthy(text:match ' info  hello n=1\n$')
    assert.equal(0, l:lost())
  end)

  it('that nobody reads loses lines instead of blocking', function()
    local l = log.new(true)
    local text = log.with_stderr(function() l:write('info', 'hello') end, 0)
    assert.is_nil(text:find '[^.]')
    assert.equal(1, l:lost())
  end)

  it('that took a part of a line does not glue the next one to it', function()
    local l = log.new(true)
    local read = log.with_stderr(function()
      l:write('info', ('x'):rep(7000))
      assert.equal(1, l:lost())
    end, 4096)
    assert.is_truthy(read:match 'xxxx$')
    read = log.with_stderr(function() l:write('info', 'next') end)
    assert.is_truthy(read:match '^\n%d+.* info  next\n$')
    assert.equal(1, l:lost())
  end)
end)
