local testing = require 'perilune.testing'
local json = testing.wire.json
local now = testing.process.now
local mem = testing.base.mem

local null = json.null

local function parsed(text, depth)
  local ok, value = json.parse(text, depth)
  if not ok then error(('%q was refused: %s'):format(text, value), 2) end
  return value
end

--- Equal, and of the same subtype where they are numbers; -0.0 is not 0.0.
local function is_exactly(expected, got)
  if math.type(expected) ~= math.type(got) then return false end
  if math.type(expected) == 'float' then return ('>d'):pack(expected) == ('>d'):pack(got) end
  return expected == got
end

describe('JSON', function()
  it('has values of every kind', function()
    assert.same({ null, true, false, 1, -2.5, 'x', {}, { a = { 1, { b = null } } } },
      parsed ' [ null , true,false,1,\t-2.5,\r\n"x",[ ] , {"a" : [1,{"b":null}] } ] ')
    for text, value in pairs { ['7'] = 7, ['"s"'] = 's', ['true'] = true, [' null '] = null, ['{}'] = {} } do
      assert.same(value, parsed(text))
    end
  end)

  for text, value in pairs {
    ['0'] = 0, ['-0'] = 0, ['-1'] = -1, ['42'] = 42,
    ['999999999999999'] = 999999999999999,
    ['1000000000000000'] = 1000000000000000,
    ['9007199254740993'] = 9007199254740993,
    ['-9007199254740993'] = -9007199254740993,
    ['9223372036854775807'] = math.maxinteger,
    ['-9223372036854775808'] = math.mininteger,
    ['0.0'] = 0.0, ['-0.0'] = -0.0, ['1.0'] = 1.0, ['-1.50'] = -1.5, ['0.1'] = 0.1,
    ['1e0'] = 1.0, ['1E+2'] = 100.0, ['1e-2'] = 0.01, ['0e0'] = 0.0, ['-0e5'] = -0.0, ['1.5e1'] = 15.0,
    ['0.30000000000000004'] = 0.1 + 0.2,
    ['1.7976931348623157e308'] = 1.7976931348623157e308,
    ['4.9e-324'] = 5e-324, ['2.2250738585072014e-308'] = 2.2250738585072014e-308,
    ['1e-400'] = 0.0,
    ['123456789012345.5'] = 123456789012345.5,
    ['9007199254740993.0'] = 9007199254740992.0,
    ['1.00000000000000000000000000001'] = 1.0,
    ['0.' .. ('0'):rep(300) .. '1e300'] = 0.1,
    ['1' .. ('0'):rep(400) .. 'e-400'] = 1.0,
    ['0.' .. ('0'):rep(200000) .. '1e200001'] = 1.0,
  } do
    it('reads the number ' .. text:sub(1, 40), function()
      for _, around in ipairs { '%s', '[%s]', '{"a":%s}', '[1,%s,"x"]' } do
        local value_of = { ['%s'] = function(v) return v end, ['[%s]'] = function(v) return v[1] end,
          ['{"a":%s}'] = function(v) return v.a end, ['[1,%s,"x"]'] = function(v) return v[2] end }
        local got = value_of[around](parsed(around:gsub('%%s', text)))
        assert.is_true(is_exactly(value, got), tostring(got))
      end
    end)
  end

  for text, value in pairs {
    ['""'] = '', ['"abc"'] = 'abc', ['"Grüße 😀"'] = 'Grüße 😀',
    [ [["\"\\\/\b\f\n\r\t"]] ] = '"\\/\b\f\n\r\t',
    [ [["\u00e9\u20ac\uD83D\uDE00"]] ] = 'é€😀',
    [ [["\uD834\uDD1E\uFFFF\u10FF"]] ] = '\u{1d11e}\u{ffff}\u{10ff}',
    [ [["a\u0000b"]] ] = 'a\0b', [ [["\u0000"]] ] = '\0', [ [["\u0000\u0000\u0001"]] ] = '\0\0\1',
    [ [["\u0001"]] ] = '\1', [ [["a\u0001b"]] ] = 'a\1b', [ [["\u001f\u007f"]] ] = '\31\127',
    [ [["\u0000\"\\\n\u0002é"]] ] = '\0"\\\n\2é',
    ['"\127"'] = '\127', ['"\u{2028}\u{feff}"'] = '\u{2028}\u{feff}',
  } do
    it('reads the string ' .. text, function()
      assert.equal(value, parsed(text))
      assert.same({ value }, parsed('[' .. text .. ']'))
      assert.same({ [value] = value }, parsed('{' .. text .. ':' .. text .. '}'))
    end)
  end

  it('cannot be told to read a string as a number, or as another string', function()
    for _, forged in ipairs {
      'i0000000000000007', 'f3ff0000000000000', 's0000000000000000abc', 's00000000000000000', 'i', 's', '', '0', '1',
    } do
      local text = '"\\u0001' .. forged .. '"'
      assert.equal('\1' .. forged, parsed(text))
      assert.same({ ['\1' .. forged] = '\1' .. forged }, parsed('{' .. text .. ':' .. text .. '}'))
    end
  end)

  for text, what in pairs {
    [''] = '1:1: unexpected end', [' '] = '1:2: unexpected end', ['\n '] = '2:2: unexpected end',
    ['nul'] = '1:1: unexpected character', ['nulll'] = '1:5: unexpected character',
    ['True'] = '1:1: unexpected character', ['NaN'] = '1:1: unexpected character',
    ['Infinity'] = '1:1: unexpected character', ['-Infinity'] = '1:2: unexpected character',
    ['undefined'] = '1:1: unexpected character', ["'a'"] = '1:1: unexpected character',
    ['abc'] = '1:1: unexpected character', ['\0'] = '1:1: unexpected character',
    ['1\0'] = '1:2: unexpected character', ['[1]\0'] = '1:4: unexpected character',
    ['\xef\xbb\xbf1'] = '1:1: unexpected character', ['\v1'] = '1:1: unexpected character',
    ['\f1'] = '1:1: unexpected character', ['\u{a0}1'] = '1:1: unexpected character',
    ['1 2'] = '1:3: unexpected character', ['[1]x'] = '1:4: unexpected character',
    ['[1][2]'] = '1:4: unexpected character', ['1,'] = '1:2: unexpected character',
    ['/**/1'] = '1:1: unexpected character', ['1 // x'] = '1:3: unexpected character',
    ['['] = '1:2: unexpected end', ['[1'] = '1:3: unexpected end', ['[1,'] = '1:4: unexpected end',
    ['[1,]'] = '1:4: unexpected character', ['[,1]'] = '1:2: unexpected character',
    ['[,]'] = '1:2: unexpected character', ['[1,,2]'] = '1:4: unexpected character',
    ['[1 2]'] = '1:4: unexpected character', ['[1:2]'] = '1:3: unexpected character',
    ['[1}'] = '1:3: unexpected character', [']'] = '1:1: unexpected character',
    ['{'] = '1:2: unexpected end', ['{"a"'] = '1:5: unexpected end', ['{"a":'] = '1:6: unexpected end',
    ['{"a":1'] = '1:7: unexpected end', ['{"a":1,'] = '1:8: unexpected end',
    ['{"a":1,}'] = '1:8: unexpected character', ['{,}'] = '1:2: unexpected character',
    ['{"a"}'] = '1:5: unexpected character', ['{"a",1}'] = '1:5: unexpected character',
    ['{1:2}'] = '1:2: unexpected character', ['{a:1}'] = '1:2: unexpected character',
    ['{null:1}'] = '1:2: unexpected character', ['{"a":1 "b":2}'] = '1:8: unexpected character',
    ['{"a":1]'] = '1:7: unexpected character', ['{"a"::1}'] = '1:6: unexpected character',
    ['01'] = '1:1: a number with a leading zero', ['-01'] = '1:2: a number with a leading zero',
    ['00'] = '1:1: a number with a leading zero', ['[-012]'] = '1:3: a number with a leading zero',
    ['+1'] = '1:1: unexpected character', ['-'] = '1:2: unexpected end', ['--1'] = '1:2: unexpected character',
    ['- 1'] = '1:2: unexpected character', ['.5'] = '1:1: unexpected character',
    ['-.5'] = '1:2: unexpected character', ['1.'] = '1:3: unexpected end', ['[1.]'] = '1:4: unexpected character',
    ['1.e1'] = '1:3: unexpected character', ['1e'] = '1:3: unexpected end', ['1e+'] = '1:4: unexpected end',
    ['1e1.5'] = '1:4: unexpected character', ['1ee1'] = '1:3: unexpected character',
    ['0x10'] = '1:2: unexpected character', ['1_000'] = '1:2: unexpected character',
    ['１'] = '1:1: unexpected character', ['1f'] = '1:2: unexpected character',
    ['1e400'] = '1:1: a number past the range of a double', ['[-1e309]'] = '1:2: a number past the range of a double',
    ['1' .. ('0'):rep(400) .. '.5'] = '1:1: a number past the range of a double',
    ['1e99999999999999999999'] = '1:1: a number past the range of a double',
    ['9223372036854775808'] = '1:1: an integer of more than 64 bits',
    ['-9223372036854775809'] = '1:1: an integer of more than 64 bits',
    ['18446744073709551616'] = '1:1: an integer of more than 64 bits',
    [('9'):rep(1000)] = '1:1: an integer of more than 64 bits',
    ['"'] = '1:2: unexpected end', ['"abc'] = '1:5: unexpected end', ['"\\'] = '1:3: unexpected end',
    ['"\\"'] = '1:4: unexpected end', ['"\\u12'] = '1:6: unexpected end',
    ['"\\x41"'] = '1:2: an unknown escape', ['"\\a"'] = '1:2: an unknown escape',
    ["\"\\'\""] = '1:2: an unknown escape', ['"\\U0041"'] = '1:2: an unknown escape',
    ['"\\\0"'] = '1:2: an unknown escape', ['"\\u00g0"'] = '1:6: unexpected character',
    ['"\\u 041"'] = '1:4: unexpected character', ['"\\u+041"'] = '1:4: unexpected character',
    ['"\\ud800"'] = '1:2: half of a surrogate pair', ['"\\udc00"'] = '1:2: half of a surrogate pair',
    ['"\\ud800x"'] = '1:2: half of a surrogate pair', ['"\\ud800\\n"'] = '1:2: half of a surrogate pair',
    ['"\\ud800\\ud800"'] = '1:2: half of a surrogate pair', ['"\\udfff\\ud800"'] = '1:2: half of a surrogate pair',
    ['"\\ud83d\\u0041"'] = '1:2: half of a surrogate pair',
    ['"a\nb"'] = '1:3: a control character in a string', ['"\t"'] = '1:2: a control character in a string',
    ['"\0"'] = '1:2: a control character in a string', ['"\1"'] = '1:2: a control character in a string',
    ['"12345678901234567890\31"'] = '1:22: a control character in a string',
    ['"\xff"'] = '1:2: not UTF-8', ['"\xc0\xaf"'] = '1:2: not UTF-8', ['"\xed\xa0\x80"'] = '1:2: not UTF-8',
    ['"é\xe9"'] = '1:3: not UTF-8', ['["\xf4\x90\x80\x80"]'] = '1:3: not UTF-8', ['\xff'] = '1:1: not UTF-8',
    ['{"a":1,"a":2}'] = '1:8: a key that the object has already',
    ['{"a":1,"b":2,"a":{}}'] = '1:14: a key that the object has already',
    ['{"a":1,"\\u0061":2}'] = '1:8: a key that the object has already',
    ['{"":1,"":2}'] = '1:7: a key that the object has already',
    ['{"\\u0000":1,"\\u0000":2}'] = '1:13: a key that the object has already',
    ['[{"x":{"b":1,"b":1}}]'] = '1:14: a key that the object has already',
  } do
    it(('refuses %q'):format(text:sub(1, 40)):gsub('\\\n', '\\n'), function()
      assert.same({ nil, what }, { json.parse(text) })
    end)
  end

  it('tells line and column in characters', function()
    assert.same({ nil, '3:7: unexpected character' }, { json.parse '{\n "a": 1,\n "üü" 2}' })
  end)

  it('is refused in every proper prefix of a document', function()
    local text = [[{"k\u0000ä":[1,-2.5e3,"\ud83d\ude00",true,false,null,{"":[]}],"big":9223372036854775807}]]
    parsed(text)
    for n = 0, #text - 1 do assert.is_nil((json.parse(text:sub(1, n)))) end
  end)

  it('may nest so deep and no deeper', function()
    for _, pair in ipairs { { '[', ']' }, { '{"a":', '}' } } do
      local open, close = table.unpack(pair)
      parsed(open:rep(64) .. '1' .. close:rep(64))
      local at = 64 * #open + 1
      assert.same({ nil, ('1:%d: nested too deep'):format(at) },
        { json.parse(open:rep(65) .. '1' .. close:rep(65)) })
    end
    parsed('1', 0)
    assert.same({ nil, '1:1: nested too deep' }, { json.parse('[]', 0) })
    parsed('[[],[[]],[]]', 3)
    assert.same({ nil, '1:3: nested too deep' }, { json.parse('[[[]]]', 2) })
  end)

  it('has the same key in different objects', function()
    assert.same({ { a = 1 }, { a = { a = 2 } }, { b = { a = 1 }, a = 2 } },
      parsed '[{"a":1},{"a":{"a":2}},{"b":{"a":1},"a":2}]')
  end)

  it('finds the second of two equal keys among many', function()
    local keys = {}
    for i = 1, 1000 do keys[i] = ('"key%d":%d'):format(i, i) end
    assert.equal(777, parsed('{' .. table.concat(keys, ',') .. '}').key777)
    local before = '{' .. table.concat(keys, ',') .. ','
    local text = before .. '"key500":1,"key2":1}'
    assert.same({ nil, ('1:%d: a key that the object has already'):format(#before + 1) }, { json.parse(text) })
  end)

  it('is refused within 100 ms when it is a bomb', function()
    local big = 256 * 1024
    for name, bomb in pairs {
      ['arrays'] = ('['):rep(big),
      ['objects'] = ('{"a":'):rep(big // 5),
      ['digits'] = ('9'):rep(big),
      ['fraction'] = '0.' .. ('1'):rep(big) .. 'x',
      ['exponent'] = '1e' .. ('9'):rep(big),
      ['quotes'] = '"' .. ('\\"'):rep(big // 2),
      ['NULs'] = '"' .. ('\\u0000'):rep(big // 6) .. 'x',
      ['space'] = (' '):rep(big),
    } do
      local start = now()
      assert.is_nil((json.parse(bomb)), name)
      assert.is_true(now() - start < 0.1, name .. ' took ' .. now() - start)
    end
  end)

  it('takes time linear in the size', function()
    local function time(piece, n)
      local text = '[' .. piece:rep(n, ',') .. ']'
      local best = math.huge
      for _ = 1, 3 do
        local start = now()
        parsed(text)
        best = math.min(best, now() - start)
      end
      return best
    end
    for _, piece in ipairs { '1e1', '"\\u0000"', '9223372036854775807', '{"a":1}', '"x"' } do
      assert.is_true(time(piece, 20000) < 40 * time(piece, 2000), piece)
    end
  end)

  it('fails cleanly wherever memory ends', function()
    local live = mem.live()
    local text = [[{"k\u0000":[1,"\u0001",9223372036854775807,1e3],"b":"\n","c":{"a":"x"}}]]
    local failed = 0
    for n = 1, 100 do
      mem.fail_at(n)
      local ok, why = json.parse(text)
      mem.fail_at(0)
      if ok then break end
      assert.equal('NO_MEMORY', why)
      assert.equal(live, mem.live())
      failed = n
    end
    assert.is_true(failed > 0 and failed < 100)
  end)
end)

describe('the writer of JSON', function()
  it('escapes what must be', function()
    assert.equal([["\"\\/\b\f\n\r\t\u0000\u0001\u001f]] .. '\127é😀"', json.put_string '"\\/\b\f\n\r\t\0\1\31\127é😀')
    assert.equal('""', json.put_string '')
    for n = 0, 40 do
      local text = ('x'):rep(n) .. '"' .. ('y'):rep(40 - n)
      assert.equal(text, parsed(json.put_string(text)))
    end
  end)

  it('refuses what is not UTF-8', function()
    for _, text in ipairs { '\xff', 'abc\x80', '\xed\xa0\x80' } do
      assert.same({ nil, 'INVALID' }, { json.put_string(text) })
    end
  end)

  it('writes every byte so that it reads back', function()
    for b = 0, 127 do
      local text = string.char(b)
      assert.equal(text, parsed(json.put_string(text)))
    end
  end)

  for text, v in pairs {
    ['0.1'] = 0.1, ['0.30000000000000004'] = 0.1 + 0.2, ['1.0'] = 1.0, ['-0.0'] = -0.0, ['100.0'] = 100.0,
    ['1e+20'] = 1e20, ['1e+300'] = 1e300, ['-1.5'] = -1.5, ['123456789.125'] = 123456789.125,
    ['9007199254740992.0'] = 9007199254740992.0, ['1e-07'] = 1e-7,
    ['1.7976931348623157e+308'] = 1.7976931348623157e308,
  } do
    it('writes the float ' .. text, function() assert.equal(text, json.put_float(v)) end)
  end

  it('writes floats so that they read back, as floats', function()
    math.randomseed(11)
    for _ = 1, 20000 do
      local v = ('>d'):unpack(('>I8'):pack(math.random(0)))
      if v == v and v ~= math.huge and v ~= -math.huge then
        local back = parsed(json.put_float(v))
        if not is_exactly(v, back) then error(('%a became %a'):format(v, back)) end
      end
    end
    for exponent = -1074, 1023 do
      local v = 2.0 ^ exponent
      assert.is_true(is_exactly(v, parsed(json.put_float(v))))
    end
  end)

  it('refuses NaN and infinities', function()
    for _, v in ipairs { 0 / 0, math.huge, -math.huge } do
      assert.same({ nil, 'INVALID' }, { json.put_float(v) })
    end
  end)

  it('writes integers', function()
    for _, v in ipairs { 0, 7, -7, 10, 99, 1234567890123, math.maxinteger, math.mininteger } do
      assert.equal(('%d'):format(v), json.put_integer(v))
      assert.equal(v, parsed(json.put_integer(v)))
    end
  end)

  it('has no use for the locale', function()
    local before = os.setlocale(nil, 'numeric')
    for _, name in ipairs { 'de_DE.UTF-8', 'fr_FR.UTF-8', 'C.UTF-8' } do
      if os.setlocale(name, 'numeric') then
        assert.equal('1.5', json.put_float(1.5))
        assert.equal(1.5e3, parsed '1.5e3')
        assert.equal(0.25, parsed '0.25')
      end
    end
    os.setlocale(before, 'numeric')
  end)
end)
