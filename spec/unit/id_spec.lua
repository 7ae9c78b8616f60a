local id = require('perilune.testing').base.id

local HEX = '000102030405060708090a0b0c0d0eff'
local BYTES = '\0\1\2\3\4\5\6\7\8\9\10\11\12\13\14\255'
local NOW_MS = 1767225600000 -- 2026-01-01

describe('an id', function()
  it('is written as 32 lower-case hexadecimal digits, and read back', function()
    assert.equal(HEX, id.format(BYTES))
    assert.equal(BYTES, id.parse(HEX))
    assert.equal(BYTES, id.parse(HEX:upper()))
  end)

  it('is not read from anything else', function()
    for n = 0, 31 do
      assert.is_nil(id.parse(HEX:sub(1, n)))
    end
    assert.is_nil(id.parse(HEX .. '0'))
    for _, bad in ipairs { 'g', ' ', '\0', '-', '/', ':', '@', '`', '\255' } do
      for at = 1, 32 do
        assert.is_nil(id.parse(HEX:sub(1, at - 1) .. bad .. HEX:sub(at + 1)))
      end
    end
  end)

  it('is ordered by its bytes', function()
    local less = BYTES:sub(1, 15) .. '\254'
    assert.is_true((id.compare(less, BYTES)) < 0)
    assert.is_true((id.compare(BYTES, less)) > 0)
    assert.same({ 0, true }, { id.compare(BYTES, BYTES) })
  end)

  it('is zero only with all bytes', function()
    assert.is_true(id.is_zero(('\0'):rep(16)))
    assert.is_false(id.is_zero(('\0'):rep(15) .. '\1'))
    assert.is_false(id.is_zero('\1' .. ('\0'):rep(15)))
  end)

  it('at random does not repeat', function() assert.not_equal(id.random(), id.random()) end)
end)

describe('a time-ordered id', function()
  it('is a UUID of version 7 that carries the time', function()
    for _ = 1, 100 do
      local text = id.uuid_text(id.uuids():next(NOW_MS))
      assert.is_truthy(text:match '^%x+%-%x+%-7%x%x%x%-[89ab]%x%x%x%-%x+$', text)
      assert.equal(36, #text)
      local high, low = text:match '^(%x+)%-(%x+)'
      assert.equal(NOW_MS, tonumber(high .. low, 16))
    end
  end)

  it('is greater than the one before, ten million times', function()
    assert.equal(10000000, id.uuids():count_rising(10000000, 2000))
  end)

  it('is greater than the one before when a million are drawn in one millisecond', function()
    assert.equal(1000000, id.uuids():count_rising(1000000, 1000000))
  end)

  it('is greater than the one before when the clock was set back', function()
    local uuids = id.uuids()
    local last = uuids:next(NOW_MS)
    for i = 1, 10000 do
      local next_id = uuids:next(NOW_MS - i * 1000)
      assert.is_true(last < next_id)
      last = next_id
    end
  end)

  it('does not repeat between generators, and one does not tell the next', function()
    local seen = {}
    for _ = 1, 10000 do
      local tail = id.uuids():next(NOW_MS):sub(9)
      assert.is_nil(seen[tail])
      seen[tail] = true
    end
  end)
end)
