local trace = require('perilune.testing').base.trace

local SOURCE = '\0\1\2\3\4\5\6\7\8\9\10\11\12\13\14\15'
local SPREAD = 0x9e3779b97f4a7c15

--- The bytes from `at` on XOR the number, as docs/protocol.md has it.
local function xor(bytes, at, number)
  return ('>I8'):pack(('>I8'):unpack(bytes, at) ~ number)
end

describe('a trace', function()
  it('of a first call follows from who calls and the id of the call', function()
    for _, id in ipairs { 0, 1, 2, 1 << 40, -1, math.mininteger } do
      local want = xor(SOURCE, 1, id * SPREAD) .. xor(SOURCE, 9, id) .. xor(SOURCE, 9, id * SPREAD) .. '\0'
      assert.equal(want, trace.of(SOURCE, id))
    end
  end)

  it('goes on in the calls that are made within, each with its own span', function()
    local outer = ('t'):rep(16) .. ('s'):rep(8) .. '\3'
    local inner = trace.of(SOURCE, 7, outer)
    assert.equal(('t'):rep(16) .. xor(SOURCE, 9, 7 * SPREAD) .. '\3', inner)
    assert.equal(inner:sub(1, 16), trace.of(SOURCE, 8, inner):sub(1, 16))
    assert.not_equal(inner, trace.of(SOURCE, 8, inner))
  end)

  it('does not come twice', function()
    local seen = {}
    for id = 1, 10000 do
      local t = trace.of(SOURCE, id)
      for _, part in ipairs { t:sub(1, 16), 'span ' .. t:sub(17, 24) } do
        assert.is_nil(seen[part])
        seen[part] = true
      end
    end
  end)
end)
