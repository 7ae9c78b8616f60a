local on_loop = require 'spec.support.on_loop'

describe('a histogram of scripts', function()
  it('knows durations to a sixteenth, in memory that does not grow', function()
    local at, count, longest, mean, grown = on_loop.run [[
      local h = require('perilune.core.histogram').new()
      local before = collectgarbage 'count'
      for i = 1, 1000 do h:add(i / 1000) end
      collectgarbage()
      return { h:at(0), h:at(0.5), h:at(0.9), h:at(0.99), h:at(1) }, h:count(), h:longest(), h:mean(),
        collectgarbage 'count' - before
    ]]
    for i, exact in ipairs { 0.001, 0.5, 0.9, 0.99, 1 } do
      assert.is_true(at[i] >= exact * 0.999 and at[i] <= exact * 1.07, ('%g for %g'):format(at[i], exact))
    end
    assert.equal(1, at[5])
    assert.equal(1000, count)
    assert.equal(1, longest)
    assert.is_true(math.abs(mean - 0.5005) < 1e-6)
    assert.is_true(grown < 16)
  end)

  it('takes any number, and is empty at first', function()
    assert.same({ 0, 0, 0, 0 }, (on_loop.run [[
      local h = require('perilune.core.histogram').new()
      return { h:at(0.5), h:count(), h:longest(), h:mean() }
    ]]))
    assert.is_true(on_loop.run [[
      local h = require('perilune.core.histogram').new()
      for _, s in ipairs { -1, 0, 0/0, 1/0, -1/0, 1e300 } do h:add(s) end
      return h:count() == 6 and h:at(0.5) == 0 and h:longest() > 60000 and not pcall(h.at, h, 2)
        and not pcall(h.add, h, 'x') and not pcall(h.add, {}, 1)
    ]])
  end)
end)
