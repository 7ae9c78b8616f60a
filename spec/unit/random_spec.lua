local random = require('perilune.testing').base.random

describe('a generator', function()
  it('replays from the same seed', function()
    local a, b = random.new(42), random.new(42)
    for _ = 1, 100 do
      assert.equal(a:u64(), b:u64())
    end
  end)

  it('is another from another seed, also from neighbours and from 0', function()
    local seen = {}
    for seed = 0, 1000 do
      local first = random.new(seed):u64()
      assert.is_nil(seen[first])
      seen[first] = true
    end
  end)

  it('is xoshiro256** on a state from splitmix64', function()
    -- The known first value of that pair of algorithms for the seed 0.
    assert.equal('99ec5f36cb75f2b4', ('%016x'):format(random.new(0):u64()))
  end)

  it('draws all numbers below a bound, and as often', function()
    for _, bound in ipairs { 1, 2, 3, 7, 10, 100 } do
      local r, counts = random.new(1), {}
      for _ = 1, bound * 1000 do
        local x = r:below(bound)
        counts[x] = (counts[x] or 0) + 1
      end
      for x = 0, bound - 1 do
        assert.is_true(counts[x] > 800 and counts[x] <= 1200 or bound == 1)
        counts[x] = nil
      end
      assert.is_nil(next(counts))
    end
  end)

  it('stays below bounds of any size', function()
    local r = random.new(1)
    for bits = 1, 63 do
      for _ = 1, 100 do
        assert.is_true(math.ult(r:below((1 << bits) - 1 | 1), (1 << bits) - 1 | 1))
      end
    end
  end)
end)

describe('a secret', function()
  it('has the length asked for and does not repeat', function()
    for len = 0, 300, 50 do
      assert.equal(len, #random.secret(len))
    end
    assert.not_equal(random.secret(16), random.secret(16))
  end)

  it('as a number does not repeat, across many blocks of the kernel', function()
    local seen, ones = {}, 0
    for _ = 1, 5000 do
      local x = random.secret_u64()
      assert.is_nil(seen[x])
      seen[x] = true
      ones = ones + (x & 1)
    end
    assert.is_true(ones > 2200 and ones < 2800)
  end)
end)
