local testing = require 'perilune.testing'
local meters = testing.meters

local LONGEST = (1 << 36) - 1

describe('a histogram', function()
  it('knows short durations exactly', function()
    local h = meters.histogram()
    for us = 0, 31 do h:add(us) end
    for us = 0, 31 do assert.equal(us + 1, h:within(us)) end
    assert.same({ 32, 31 * 16 }, { h:count(), h:sum() })
  end)

  it('knows any duration to a sixteenth of itself', function()
    for bits = 5, 35 do
      for _, us in ipairs { 1 << bits, (1 << bits) + 1, (3 << bits) // 2, (2 << bits) - 1 } do
        local h = meters.histogram()
        h:add(us)
        local told = h:at(0.5)
        assert.is_true(told >= us and told - us <= us // 16, us .. ' is told as ' .. told)
        assert.same({ 0, 1 }, { h:within(us - us // 16 - 1), h:within(us) })
      end
    end
  end)

  it('counts what is longer than anything as the longest', function()
    local h = meters.histogram()
    h:add(LONGEST + 1)
    h:add(1 << 62)
    assert.same({ 2, LONGEST, 0 }, { h:count(), h:at(0), h:within(LONGEST // 2) })
  end)

  it('has ranges without a gap, in order', function()
    local last = -1
    for range = 0, meters.ranges - 1 do
      local top = meters.top(range)
      assert.equal(range, meters.range(top))
      assert.equal(range, meters.range(last + 1))
      last = top
    end
    assert.equal(LONGEST, last)
  end)

  it('has the percentiles of what was added', function()
    local h = meters.histogram()
    assert.equal(0, h:at(0.99))
    for us = 1, 10000 do h:add(us) end
    for _, share in ipairs { 0.01, 0.5, 0.9, 0.99, 0.999 } do
      local exact = share * 10000
      assert.is_true(h:at(share) >= exact and h:at(share) <= exact * 17 / 16, share)
    end
    assert.is_true(h:at(1) >= 10000 and h:at(1) <= 10625)
  end)
end)

describe('figures of actions', function()
  it('are one for each name, also when nobody holds them for a while', function()
    local set = meters.set()
    local a = set:hold 'a'
    meters.count(a, 3, 2, 1)
    assert.is_true(a == set:hold 'a')
    set:drop(a)
    set:drop(a)
    assert.same({ 3, 2, 1 }, { meters.counts(set:hold 'a') })
  end)

  it('that nobody holds make room for new ones, the oldest first', function()
    local set = meters.set()
    for i = 1, meters.max do
      local m = set:hold('a' .. i)
      if i <= 2 then set:drop(m) end
    end
    set:hold 'new'
    local names = set:names()
    assert.same({ false, true, true }, { names.a1 or false, names.a2, names.new })
    assert.equal(meters.max, names[1])
  end)

  it('stay while a call counts there', function()
    local set = meters.set()
    for i = 1, meters.max do
      local m = set:hold('a' .. i)
      if i <= 2 then set:drop(m) end
      if i == 1 then meters.count(m, 2, 1, 0) end
    end
    set:hold 'new'
    local names = set:names()
    assert.same({ true, false }, { names.a1, names.a2 or false })
  end)

  it('are shared by all for which there is no room', function()
    local set = meters.set()
    for i = 1, meters.max do set:hold('a' .. i) end
    local one, other = set:hold 'one', set:hold 'other'
    assert.is_true(one == other)
    meters.count(one, 1, 1, 0)
    set:drop(one)
    set:drop(other)
    assert.is_true(set:names()[''])
    assert.same({ 1, 1, 0 }, { meters.counts(other) })
  end)

  it('get the ends of a turn when it ends', function()
    local set = meters.set()
    local m = set:hold 'a'
    for _ = 1, 1000 do set:lap(m) end
    set:advance(0.005)
    assert.equal(1000, meters.latency(m):count())
    set:lap(m)
    set:settle()
    assert.equal(1001, meters.latency(m):count())
  end)
end)
