local testing = require 'perilune.testing'
local judge = testing.flow.judge

local MIB = 1024 * 1024

describe('what a node holds', function()
  --- The level after each of the amounts, in tenths of the limit, one after the other.
  local function levels(...)
    local level, list = 'fine', {}
    for i, tenths in ipairs { ... } do
      level = judge(100 * MIB, math.tointeger(tenths * 10 * MIB), level)
      list[i] = level
    end
    return list
  end

  it('is fine, makes things tight, is full, and too much', function()
    assert.same({ 'fine', 'fine', 'tight', 'tight', 'full', 'full', 'over', 'over' },
      levels(0, 4.9, 5, 7.4, 7.5, 8.9, 9, 20))
    assert.same({ 'over' }, levels(9))
  end)

  it('becomes less by more than it takes to become more', function()
    assert.same({ 'over', 'over', 'full', 'full', 'full', 'tight', 'tight', 'tight', 'fine' },
      levels(9, 7.8, 7.7, 8.9, 6.3, 6.2, 7.4, 3.8, 3.7))
    assert.same({ 'over', 'fine' }, levels(10, 0))
  end)

  it('is no matter without a limit', function()
    assert.equal('fine', judge(0, 1 << 60, 'over'))
  end)
end)
