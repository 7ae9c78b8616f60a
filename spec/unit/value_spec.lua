local script = require 'spec.support.script'
local eval = script.eval

local SAME = [[
local function same(a, b)
  if type(a) ~= 'table' or type(b) ~= 'table' then return a == b and math.type(a) == math.type(b) end
  for k, v in pairs(a) do if not same(v, b[k]) then return false end end
  for k in pairs(b) do if a[k] == nil then return false end end
  return true
end
local core = require 'perilune.core.value'
local null, bytes, array = core.null, core.bytes, core.array
local function hex(s) return (s:gsub('.', function(c) return ('%02x'):format(c:byte()) end)) end
local function bin(s) return (s:gsub('%s', ''):gsub('..', function(h) return string.char(tonumber(h, 16)) end)) end
local function trip(codec, ...) return spec.decode(codec, spec.encode(codec, 1 << 20, ...)) end
]]
SAME = SAME:gsub('\n', ' ')

local function check(source) return eval(SAME .. source) end

describe('a value', function()
  after_each(script.close_all)

  for codec in pairs { msgpack = 1, json = 1 } do
    for name, value in pairs {
      ['true'] = 'true', ['false'] = 'false', ['an integer'] = '42', ['a negative integer'] = '-129',
      ['the largest integer'] = 'math.maxinteger', ['the smallest integer'] = 'math.mininteger',
      ['an integer over 2^53'] = '9007199254740993', ['a float'] = '0.1', ['a float without fraction'] = '3.0',
      ['a tiny float'] = '5e-324', ['a huge float'] = '1.7976931348623157e308', ['text'] = "'grün'",
      ['empty text'] = "''", ['text with NUL and control characters'] = "'a\\0b\\n\\t\"\\\\\\127'",
      ['bytes that are no text'] = "'\\255\\0\\128'", ['long text'] = "('x'):rep(70000)",
      ['an array'] = '{ 1, 2.5, "x", true }', ['a map'] = '{ a = 1, b = { c = "d" } }',
      ['a long array'] = '(function() local t = {} for i = 1, 70000 do t[i] = i end return t end)()',
      ['a map with many keys'] =
        '(function() local t = {} for i = 1, 300 do t["k" .. i] = i end return t end)()',
      ['an array in reverse order'] =
        '(function() local t = {} for i = 20, 1, -1 do t[i] = i end return t end)()',
      ['64 levels'] =
        '(function() local t = {} local at = t for i = 2, 64 do at[1] = {} at = at[1] end return t end)()',
    } do
      it('survives ' .. codec .. ': ' .. name, function()
        assert.equal('true', check(('local v = %s return same(v, (trip(%q, v)))'):format(value, codec)))
      end)
    end

    it('survives ' .. codec .. ' with nil anywhere in the list', function()
      assert.equal('4 nil 2 nil nil', check(([[
        local n = select('#', trip(%q, nil, 2, nil, nil))
        return n, trip(%q, nil, 2, nil, nil)]]):format(codec, codec)))
      assert.equal('0', check(("return select('#', trip(%q))"):format(codec)))
    end)

    it('keeps ' .. codec .. ' null and arrays apart', function()
      assert.equal('true 3 true 0 true', check(([=[
        local v = trip(%q, { a = null, list = array({ 1, nil, 3 }, 3), none = array {} })
        local again = spec.encode('json', 1000, v.none)
        return v.a == null, #v.list, v.list[2] == null, #v.none, again == '[[]]'
      ]=]):format(codec)))
    end)

    it('keeps ' .. codec .. ' negative zero', function()
      assert.equal('-inf', check(('return 1 / trip(%q, -0.0)'):format(codec)))
    end)

    for what, case in pairs {
      ['a function'] = { '{ user = { cb = print } }', 'args[1].user.cb is a function' },
      ['a function in an array'] = { '{ 1, 2, { print } }', 'args[1][3][1] is a function' },
      ['a function as an argument'] = { '1, print', 'args[2] is a function' },
      ['a coroutine'] = { '{ co = coroutine.create(print) }', 'args[1].co is a coroutine' },
      ['a userdata'] = { '{ f = io.stdout }', 'args[1].f is a userdata' },
      ['a cycle'] = { '(function() local t = {} t.a = { b = t } return t end)()', 'args[1].a.b contains itself' },
      ['mixed keys'] = { '{ x = { 1, 2, y = 3 } }', 'args[1].x mixes string and number keys' },
      ['other keys'] = { '{ x = { [true] = 1 } }', 'args[1].x has a key that is neither a string nor a number' },
    } do
      it('is refused by ' .. codec .. ' with its path: ' .. what, function()
        assert.equal('false INVALID ' .. case[2] .. ' not_sent', check(([[
          local ok, e = pcall(spec.encode, %q, 1 << 20, %s)
          return ok, e.code, e.message, e.outcome
        ]]):format(codec, case[1])))
      end)
    end

    it('is refused by ' .. codec .. ' when nested deeper than 64 tables', function()
      assert.equal('false true', check(([[
        local t = {} local at = t for i = 2, 65 do at.x = {} at = at.x end
        local ok, e = pcall(spec.encode, %q, 1 << 20, t)
        return ok, e.message:find('is nested deeper than 64 tables', 1, true) ~= nil
      ]]):format(codec)))
    end)

    it('is refused by ' .. codec .. ' when it is larger than the limit', function()
      assert.equal('false TOO_LARGE false TOO_LARGE', check(([[
        local ok, e = pcall(spec.encode, %q, 1000, ('x'):rep(1001))
        local t = {} for _ = 1, 40 do t = { t, t } end
        local ok2, e2 = pcall(spec.encode, %q, 1000, t)
        return ok, e.code, ok2, e2.code
      ]]):format(codec, codec)))
    end)
  end

  it('has the shortest MessagePack', function()
    for value, want in pairs {
      ['1'] = '9101', ['-1'] = '91ff', ['127'] = '917f', ['128'] = '91cc80', ['-32'] = '91e0', ['-33'] = '91d0df',
      ['65536'] = '91ce00010000', ['1.0'] = '91cb3ff0000000000000', ["'a'"] = '91a161', ["'\\255'"] = '91c401ff',
      ['nil'] = '91c0', ['{}'] = '9180', ['array {}'] = '9190', ['{ 1 }'] = '919101', ['{ a = 1 }'] = '9181a16101',
      ['{ [5] = 1 }'] = '91810501', ["bytes 'a'"] = '91c40161', ['array({}, 2)'] = '9192c0c0', ['null'] = '91c0',
      ['{ 10, 20, 30 }'] = '91930a141e',
    } do
      assert.equal(want, check(('return hex(spec.encode("msgpack", 100, %s))'):format(value)))
    end
  end)

  it('of 16 and more keys has a longer MessagePack head', function()
    assert.equal('91de0010', check [[
      local t = {} for i = 1, 16 do t['k' .. i] = i end
      return hex(spec.encode('msgpack', 1000, t):sub(1, 4))]])
  end)

  it('is read from MessagePack as a float when it is a natural number over 2^63', function()
    assert.equal('true float', check [[
      local v = spec.decode('msgpack', bin '91 cf ff ff ff ff ff ff ff ff') return v == 2.0 ^ 64, math.type(v)]])
  end)

  for name, case in pairs {
    ['integers in any width'] = { '94 d1 00 01 d2 00 00 00 01 d3 00 00 00 00 00 00 00 01 cd 00 01', '1 1 1 1' },
    ['a float of 32 bits'] = { '91 ca 3f 80 00 00', '1.0' },
    ['text in any width'] = { '93 d9 01 61 da 00 01 61 db 00 00 00 01 61', 'a a a' },
  } do
    it('is read from MessagePack: ' .. name, function()
      assert.equal(case[2], check(("return spec.decode('msgpack', bin '%s')"):format(case[1])))
    end)
  end

  it('of an unknown extension is passed on as it came', function()
    assert.equal('91d40507', check [[
      return hex(spec.encode('msgpack', 100, (spec.decode('msgpack', bin '91 d4 05 07'))))]])
  end)

  it('of a stream is passed on as it came where there is no node', function()
    assert.equal('91d40107', check [[
      return hex(spec.encode('msgpack', 100, (spec.decode('msgpack', bin '91 d4 01 07'))))]])
  end)

  for name, bytes in pairs {
    ['nothing'] = '', ['no list'] = '01', ['a cut string'] = '91 a5 61', ['a cut integer'] = '91 cd 01',
    ['the byte c1'] = '91 c1', ['more values than bytes'] = 'dd 0f ff ff ff', ['a huge map'] = '91 df ff ff ff ff',
    ['bytes after the list'] = '91 01 01', ['text that is not UTF-8'] = '91 a1 ff', ['surrogates'] = '91 a3 ed a0 80',
    ['a nil key'] = '91 81 c0 01', ['a boolean key'] = '91 81 c3 01',
    ['a NaN key'] = '91 81 cb 7f f8 00 00 00 00 00 00 01',
    ['an array as a key'] = '91 81 90 01',
  } do
    it('is refused from MessagePack: ' .. name, function()
      assert.equal('false PROTOCOL', check(([[
        local ok, e = pcall(spec.decode, 'msgpack', bin %q) return ok, e.code]]):format(bytes)))
    end)
  end

  it('is refused from MessagePack when it is nested deeper than 64', function()
    assert.equal('true false PROTOCOL', check [[
      local fine = pcall(spec.decode, 'msgpack', '\x91' .. ('\x91'):rep(63) .. '\x90')
      local ok, e = pcall(spec.decode, 'msgpack', '\x91' .. ('\x91'):rep(64) .. '\x90')
      return fine, ok, e.code]])
  end)

  it('is refused from every proper prefix of its MessagePack', function()
    assert.equal('true', check [[
      local whole = spec.encode('msgpack', 1000, { a = { 1, 2.5, 'text', true }, b = bytes 'x' }, nil, -70000)
      for n = 0, #whole - 1 do
        local ok, e = pcall(spec.decode, 'msgpack', whole:sub(1, n))
        if ok or e.code ~= 'PROTOCOL' then return n end
      end
      return true]])
  end)

  it('marked as bytes arrives as a string, and reads like one', function()
    assert.equal('abc 3 abc string', check [[
      local b = bytes 'abc'
      local v = trip('msgpack', b)
      return b, #b, v, type(v)]])
  end)

  it('is an array in whatever order its keys were set', function()
    assert.equal('[[1,2,3,4,5]] 95', check [[
      local t = {} for i = 5, 1, -1 do t[i] = i end
      return spec.encode('json', 100, t), hex(spec.encode('msgpack', 100, t):sub(2, 2))]])
  end)

  it('of nil inside a list is kept by mesh.array alone', function()
    assert.equal('91920103 918201010303', check [[
      return hex(spec.encode('msgpack', 100, { 1, 3 })), hex(spec.encode('msgpack', 100, { 1, nil, 3 }))]])
  end)
end)
