local base = require('perilune.testing').base
local labels, mem = base.labels, base.mem

describe('a table of labels', function()
  it('finds what was put, and no longer what was removed', function()
    local t = labels.new()
    t:put(1, 10)
    t:put(3, 30)
    t:put(0xffffffff, 99)
    assert.same({ 10, 30, 99 }, { t:find(1), t:find(3), t:find(0xffffffff) })
    assert.is_nil(t:find(5))
    assert.equal(30, t:remove(3))
    assert.is_nil(t:remove(3))
    assert.is_nil(t:find(3))
    assert.equal(2, (t:count()))
  end)

  it('is empty before its first entry', function()
    local t = labels.new()
    assert.is_nil(t:find(1))
    assert.is_nil(t:remove(1))
    assert.equal(0, (t:count()))
  end)

  it('gives labels in sequence a place each, however many there are', function()
    local t = labels.new()
    for i = 1, 5000 do t:put(2 * i, i) end
    local count, others = t:count()
    assert.same({ 5000, 0 }, { count, others })
    for i = 1, 5000 do assert.equal(i, t:find(2 * i)) end
    for i = 1, 4990 do assert.equal(i, t:remove(2 * i)) end
    for i = 5001, 20000 do
      t:put(2 * i, i)
      assert.equal(i - 10, t:remove(2 * (i - 10)))
    end
    count, others = t:count()
    assert.same({ 10, 0 }, { count, others })
  end)

  it('keeps labels that were chosen for one place, and finds each', function()
    local t = labels.new()
    local step = 1 << 20
    for i = 1, 1000 do t:put(i * step + 1, i) end
    local count, others = t:count()
    assert.equal(1000, count)
    assert.is_true(others > 900)
    for i = 1, 1000 do assert.equal(i, t:find(i * step + 1)) end
    for i = 1, 1000, 2 do assert.equal(i, t:remove(i * step + 1)) end
    for i = 1, 1000 do
      local found = t:find(i * step + 1)
      assert.equal(i % 2 == 0 and i or nil, found)
    end
    assert.equal(500, (t:count()))
  end)

  it('frees its memory', function()
    local before = mem.live()
    local t = labels.new()
    for i = 1, 100 do t:put(i << 20 | 1, i) end
    t:fini()
    assert.equal(before, mem.live())
  end)
end)
