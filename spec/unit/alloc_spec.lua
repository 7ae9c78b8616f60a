local new_alloc = require('perilune.testing').lua.new_alloc

local MIB = 1024 * 1024
local BLOCK = 1024
local PER_MIB = MIB // BLOCK -- about

local function is_pooled()
  local a <close> = new_alloc()
  a:take(1, BLOCK)
  return a:mapped() > 0
end

-- The address sanitizer sees single blocks.
if not is_pooled() then return end

describe('the allocator of a state', function()
  local a

  before_each(function()
    a = new_alloc()
    a:take(1, BLOCK)
  end)

  after_each(function()
    a:give(math.maxinteger)
    a:trim()
    assert.equal(0, a:mapped())
  end)

  it('asks the system for nothing while garbage comes and goes', function()
    local count = PER_MIB * 3 // 2
    a:take(count, BLOCK)
    local most = a:mapped()
    for _ = 1, 10 do
      a:give(count)
      assert.equal(most, a:mapped())
      a:take(count, BLOCK)
      assert.equal(most, a:mapped())
    end
  end)

  it('keeps as much as it has in use, for blocks of any size', function()
    a:take(8 * PER_MIB, BLOCK)
    a:take(8 * PER_MIB, BLOCK)
    local most = a:mapped()
    a:give(8 * PER_MIB)
    assert.is_true(a:mapped() > most - MIB // 2)
    a:take(8 * PER_MIB // 2, BLOCK // 2)
    assert.is_true(a:mapped() <= most)
  end)

  it('gives back what is more than that', function()
    a:take(16 * PER_MIB, BLOCK)
    a:give(12 * PER_MIB)
    assert.is_true(a:mapped() < 9 * MIB)
    a:give(4 * PER_MIB)
    assert.is_true(a:mapped() < 3 * MIB)
  end)

  it('gives back all of what is free when it is told to', function()
    a:take(16 * PER_MIB, BLOCK)
    a:give(15 * PER_MIB)
    a:trim()
    assert.is_true(a:mapped() < 1.5 * MIB)
  end)
end)
