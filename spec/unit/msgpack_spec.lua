local testing = require 'perilune.testing'
local msgpack = testing.wire.msgpack
local now = os.clock -- CPU time: other processes do not count

local function be(n, bytes) return (('>I' .. bytes):pack(n)) end

--- Every encoding of every type: bytes, then what `read` tells behind the number of bytes taken.
local ENCODINGS = {
  { '\xc0', 'nil', nil },
  { '\xc2', 'bool', false },
  { '\xc3', 'bool', true },
  { '\x00', 'int', 0 },
  { '\x7f', 'int', 127 },
  { '\xff', 'int', -1 },
  { '\xe0', 'int', -32 },
  { '\xcc\x00', 'int', 0 },
  { '\xcc\xff', 'int', 255 },
  { '\xcd\x00\x01', 'int', 1 },
  { '\xcd\xff\xff', 'int', 65535 },
  { '\xce\xff\xff\xff\xff', 'int', 4294967295 },
  { '\xcf\x7f\xff\xff\xff\xff\xff\xff\xff', 'int', math.maxinteger },
  { '\xcf\x80\x00\x00\x00\x00\x00\x00\x00', 'uint', math.mininteger },
  { '\xcf\xff\xff\xff\xff\xff\xff\xff\xff', 'uint', -1 },
  { '\xd0\x80', 'int', -128 },
  { '\xd0\x7f', 'int', 127 },
  { '\xd1\x80\x00', 'int', -32768 },
  { '\xd2\x80\x00\x00\x00', 'int', -2147483648 },
  { '\xd3\x80\x00\x00\x00\x00\x00\x00\x00', 'int', math.mininteger },
  { '\xd3\x7f\xff\xff\xff\xff\xff\xff\xff', 'int', math.maxinteger },
  { '\xca\x3f\x80\x00\x00', 'float', 1.0 },
  { '\xca\xff\x80\x00\x00', 'float', -math.huge },
  { '\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00', 'float', 1.0 },
  { '\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a', 'float', 0.1 },
  { '\xa0', 'str', '' },
  { '\xa3abc', 'str', 'abc' },
  { '\xbf' .. ('x'):rep(31), 'str', ('x'):rep(31) },
  { '\xd9\x02ab', 'str', 'ab' },
  { '\xda\x00\x02ab', 'str', 'ab' },
  { '\xdb\x00\x00\x00\x02ab', 'str', 'ab' },
  { '\xc4\x00', 'bin', '' },
  { '\xc4\x02ab', 'bin', 'ab' },
  { '\xc5\x00\x02ab', 'bin', 'ab' },
  { '\xc6\x00\x00\x00\x02ab', 'bin', 'ab' },
  { '\xc7\x03\x05abc', 'ext', 'abc', 5 },
  { '\xc7\x00\xff', 'ext', '', -1 },
  { '\xc8\x00\x01\x80a', 'ext', 'a', -128 },
  { '\xc9\x00\x00\x00\x01\x7fa', 'ext', 'a', 127 },
  { '\xd4\x01a', 'ext', 'a', 1 },
  { '\xd5\x01ab', 'ext', 'ab', 1 },
  { '\xd6\x01abcd', 'ext', 'abcd', 1 },
  { '\xd7\x01abcdefgh', 'ext', 'abcdefgh', 1 },
  { '\xd8\x01abcdefghijklmnop', 'ext', 'abcdefghijklmnop', 1 },
}

--- The heads of containers: bytes, kind, count, and what belongs to it at least.
local CONTAINERS = {
  { '\x90', 'array', 0, '' },
  { '\x9f', 'array', 15, ('\xc0'):rep(15) },
  { '\xdc\x00\x03', 'array', 3, ('\xc0'):rep(3) },
  { '\xdd\x00\x00\x00\x03', 'array', 3, ('\xc0'):rep(3) },
  { '\x80', 'map', 0, '' },
  { '\x8f', 'map', 15, ('\xc0'):rep(30) },
  { '\xde\x00\x03', 'map', 3, ('\xc0'):rep(6) },
  { '\xdf\x00\x00\x00\x03', 'map', 3, ('\xc0'):rep(6) },
}

describe('a token of MessagePack', function()
  it('is read in every encoding of every type', function()
    for _, case in ipairs(ENCODINGS) do
      local bytes = case[1]
      assert.same({ #bytes, table.unpack(case, 2, 4) }, { msgpack.read(bytes .. 'rest') })
      assert.equal(#bytes, (msgpack.skip(bytes .. 'rest')))
    end
    for _, case in ipairs(CONTAINERS) do
      local head, kind, count, content = table.unpack(case)
      assert.same({ #head, kind, count }, { msgpack.read(head .. content) })
      assert.equal(#head + #content, (msgpack.skip(head .. content .. 'rest')))
    end
  end)

  it('is refused in every proper prefix', function()
    for _, case in ipairs(ENCODINGS) do
      for n = 0, #case[1] - 1 do
        assert.same({ nil, 'PROTOCOL' }, { msgpack.read(case[1]:sub(1, n)) })
        assert.same({ nil, 'PROTOCOL' }, { msgpack.skip(case[1]:sub(1, n)) })
      end
    end
    for _, case in ipairs(CONTAINERS) do
      local bytes = case[1] .. case[4]
      for n = 0, #bytes - 1 do
        assert.same({ nil, 'PROTOCOL' }, { msgpack.read(bytes:sub(1, n)) })
        assert.same({ nil, 'PROTOCOL' }, { msgpack.skip(bytes:sub(1, n)) })
      end
    end
  end)

  it('is something for every first byte but one', function()
    for b = 0, 255 do
      local took = msgpack.read(string.char(b) .. ('\0'):rep(40))
      assert.equal(b ~= 0xc1, took ~= nil, b)
    end
    assert.same({ nil, 'PROTOCOL' }, { msgpack.read('\xc1') })
    assert.same({ nil, 'PROTOCOL' }, { msgpack.skip('\x91\xc1') })
  end)

  for name, bytes in pairs {
    ['an array of 268 million'] = '\xdd\x0f\xff\xff\xff',
    ['an array of four milliards'] = '\xdd\xff\xff\xff\xff',
    ['a map of four milliards'] = '\xdf\xff\xff\xff\xff',
    ['a string of four gigabytes'] = '\xdb\xff\xff\xff\xff',
    ['binary of four gigabytes'] = '\xc6\xff\xff\xff\xff',
    ['an extension of four gigabytes'] = '\xc9\xff\xff\xff\xff\x01',
    ['a map with one byte too few'] = '\xdf\x00\x00\x00\x14' .. ('\xc0'):rep(39),
  } do
    it('is refused when it announces what cannot come: ' .. name, function()
      assert.same({ nil, 'PROTOCOL' }, { msgpack.read(bytes) })
      assert.same({ nil, 'PROTOCOL' }, { msgpack.skip(bytes) })
      assert.same({ nil, 'PROTOCOL' }, { msgpack.skip('\x92\x00' .. bytes) })
    end)
  end
end)

describe('the writer of MessagePack', function()
  it('takes the shortest form of an integer', function()
    for _, case in ipairs {
      { 0, 1 }, { 127, 1 }, { 128, 2 }, { 255, 2 }, { 256, 3 }, { 65535, 3 }, { 65536, 5 },
      { 4294967295, 5 }, { 4294967296, 9 }, { math.maxinteger, 9 },
      { -1, 1 }, { -32, 1 }, { -33, 2 }, { -128, 2 }, { -129, 3 }, { -32768, 3 }, { -32769, 5 },
      { -2147483648, 5 }, { -2147483649, 9 }, { math.mininteger, 9 },
    } do
      local bytes = msgpack.put('int', case[1])
      assert.equal(case[2], #bytes, case[1])
      assert.same({ #bytes, 'int', case[1] }, { msgpack.read(bytes) })
    end
  end)

  it('keeps integers over 63 bits', function()
    local bytes = msgpack.put('uint', -1)
    assert.equal('\xcf' .. ('\xff'):rep(8), bytes)
    assert.same({ 9, 'uint', -1 }, { msgpack.read(bytes) })
  end)

  it('keeps every bit of a float', function()
    for _, v in ipairs { 0.0, -0.0, 0.1, math.pi, 5e-324, 1.7976931348623157e308, math.huge, -math.huge } do
      local bytes = msgpack.put('float', v)
      assert.equal('\xcb' .. ('>d'):pack(v), bytes)
      local _, kind, back = msgpack.read(bytes)
      assert.equal('float', kind)
      assert.equal(('>d'):pack(v), ('>d'):pack(back))
    end
    local _, _, nan = msgpack.read(msgpack.put('float', 0 / 0))
    assert.is_true(nan ~= nan)
  end)

  it('takes the shortest head of strings, binary and extensions', function()
    local heads = {
      str = { [0] = 1, [31] = 1, [32] = 2, [255] = 2, [256] = 3, [65535] = 3, [65536] = 5 },
      bin = { [0] = 2, [255] = 2, [256] = 3, [65535] = 3, [65536] = 5 },
      ext = { [0] = 3, [1] = 2, [2] = 2, [3] = 3, [4] = 2, [8] = 2, [16] = 2, [17] = 3, [255] = 3,
        [256] = 4, [65535] = 4, [65536] = 6 },
    }
    for kind, lens in pairs(heads) do
      for len, head in pairs(lens) do
        local content = ('x'):rep(len)
        local bytes = msgpack.put(kind, content, -7)
        assert.equal(head + len, #bytes)
        local took, got_kind, got, ext = msgpack.read(bytes)
        assert.same({ #bytes, kind, kind == 'ext' and -7 or nil }, { took, got_kind, ext })
        assert.is_true(content == got)
      end
    end
  end)

  it('takes the shortest head of containers', function()
    for n, head in pairs { [0] = '\x90', [15] = '\x9f', [16] = '\xdc\0\16', [65535] = '\xdc\xff\xff',
      [65536] = '\xdd\0\1\0\0' } do
      assert.equal(head, msgpack.put('array', n))
    end
    for n, head in pairs { [0] = '\x80', [15] = '\x8f', [16] = '\xde\0\16', [65536] = '\xdf\0\1\0\0' } do
      assert.equal(head, msgpack.put('map', n))
    end
  end)

  it('writes nil and booleans', function()
    assert.equal('\xc0\xc2\xc3', msgpack.put('nil') .. msgpack.put('bool', false) .. msgpack.put('bool', true))
  end)
end)

describe('skipping a value', function()
  it('takes nested values whole and leaves what follows', function()
    local value = '\x83\xa1a\x93\1\2\x90\x02\x81\xc0\xc3\x01\xdc' .. be(1, 2) .. '\xc4\1z'
    assert.equal(#value, (msgpack.skip(value .. value)))
    for n = 0, #value - 1 do
      assert.same({ nil, 'PROTOCOL' }, { msgpack.skip(value:sub(1, n)) })
    end
  end)

  it('allows so many levels and not one more', function()
    for _, open in ipairs { '\x91', '\x81\xc0', '\xdc\0\1' } do
      assert.truthy(msgpack.skip(open:rep(64) .. '\xc0', 64))
      assert.same({ nil, 'PROTOCOL' }, { msgpack.skip(open:rep(65) .. '\xc0', 64) })
      assert.truthy(msgpack.skip(open:rep(128) .. '\xc0', 128))
    end
    assert.truthy(msgpack.skip('\x05', 0))
    assert.same({ nil, 'PROTOCOL' }, { msgpack.skip('\x90', 0) })
    assert.truthy(msgpack.skip('\x92\x91\x90\x91\x90', 3))
  end)

  it('refuses a bomb of nesting at once', function()
    local bomb = ('\x91'):rep(4 * 1024 * 1024)
    local start = now()
    assert.same({ nil, 'PROTOCOL' }, { msgpack.skip(bomb) })
    assert.is_true(now() - start < 0.1)
  end)

  it('takes time linear in the size', function()
    local function time(n)
      local value = msgpack.put('array', n) .. ('\x91\x91\xc0'):rep(n)
      local best = math.huge
      for _ = 1, 3 do
        local start = now()
        assert.equal(#value, (msgpack.skip(value)))
        best = math.min(best, now() - start)
      end
      return best
    end
    assert.is_true(time(1600000) < 40 * time(100000))
  end)
end)
