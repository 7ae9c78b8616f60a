--- The nodes that have refused a call, as its caller tells a relay: key 22 of CALL.

local testing = require 'perilune.testing'
local message, put = testing.wire.message, testing.wire.msgpack.put

local A, B = ('a'):rep(16), ('b'):rep(16)

local function ids(n)
  local list = {}
  for i = 1, n do list[i] = ('%016d'):format(i) end
  return list
end

describe('a list of nodes that have refused', function()
  it('is an array of ids', function()
    local raw = put('array', 2) .. put('bin', A) .. put('bin', B)
    assert.equal(raw, message.exclude { A, B })
    assert.same({ A, B }, message.read_exclude(raw))
  end)

  it('reads back as it was written, up to its bound', function()
    for n = 0, 32 do assert.same(ids(n), message.read_exclude(message.exclude(ids(n)))) end
  end)

  it('may be absent', function() assert.same({}, message.read_exclude '') end)

  it('is refused in part', function()
    local raw = message.exclude(ids(20))
    for n = 1, #raw - 1 do assert.is_nil((message.read_exclude(raw:sub(1, n))), n) end
  end)

  it('is refused beyond its bound, whatever it says it holds', function()
    local one = put('bin', A)
    assert.is_nil((message.read_exclude(put('array', 33) .. one:rep(33))))
    assert.is_nil((message.read_exclude(put('array', 4000000000))))
  end)

  it('is refused when it holds anything else', function()
    for _, element in ipairs {
      put('str', A), put('bin', A .. 'x'), put('bin', 'short'), put('int', 1), put('nil'), put('array', 0),
      put('map', 0),
    } do
      assert.is_nil((message.read_exclude(put('array', 2) .. put('bin', B) .. element)))
      assert.is_nil((message.read_exclude(put('array', 1) .. put('bin', B) .. element)), 'behind it')
    end
    for _, raw in ipairs { put('nil'), put('bin', A), put('map', 0), put('int', 0) } do
      assert.is_nil((message.read_exclude(raw)))
    end
  end)

  it('takes any bytes', function()
    for seed = 1, 2000 do
      math.randomseed(seed)
      local bytes = { string.char(0x90 + math.random(0, 4)) }
      for i = 2, math.random(1, 60) do bytes[i] = string.char(math.random(0, 255)) end
      local list = message.read_exclude(table.concat(bytes))
      assert.is_true(list == nil or #list <= 4)
    end
  end)
end)
