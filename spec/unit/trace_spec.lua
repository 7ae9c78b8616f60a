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

  local PARENT = '00-' .. ('4b'):rep(16) .. '-' .. ('0f'):rep(8) .. '-01'

  it('is read from a traceparent, of whose flags only the one that it is sampled counts', function()
    local want = ('\x4b'):rep(16) .. ('\x0f'):rep(8)
    assert.equal(want .. '\1', trace.parse(PARENT))
    assert.equal(want .. '\0', trace.parse((PARENT:gsub('01$', '00'))))
    assert.equal(want .. '\1', trace.parse((PARENT:gsub('01$', 'ff'))))
    assert.equal(want .. '\1', trace.parse('01' .. PARENT:sub(3) .. '-what a later version adds'))
  end)

  it('is not read from any part of a traceparent, nor from one that is malformed', function()
    for n = 0, #PARENT - 1 do assert.is_nil(trace.parse(PARENT:sub(1, n))) end
    for at = 1, #PARENT do
      for _, byte in ipairs { 'g', ' ', '\0', '\255', 'A' } do
        assert.is_nil(trace.parse(PARENT:sub(1, at - 1) .. byte .. PARENT:sub(at + 1)))
      end
    end
    for _, text in ipairs { PARENT .. '0', PARENT .. '-0', 'ff' .. PARENT:sub(3), '01' .. PARENT:sub(3) .. 'x',
      (PARENT:gsub('4b', '00')), (PARENT:gsub('0f', '00')) } do
      assert.is_nil(trace.parse(text))
    end
  end)

  it('has calls with ids of 16 hexadecimal digits, no more and no less', function()
    assert.same({ '\1\35\69\103\137\171\205\239', '0123456789abcdef' }, { trace.span '0123456789abcdef' })
    for _, text in ipairs { '', '0', '0123456789abcde', '0123456789abcdef0', '0123456789ABCDEF', '0123456789abcde ' } do
      assert.is_nil((trace.span(text)))
    end
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
