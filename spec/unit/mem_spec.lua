local mem = require('perilune.testing').base.mem

describe('memory', function()
  after_each(function() mem.fail_at(0) end)

  it('is counted while it lives', function()
    local live = mem.live()
    assert.is_true(mem.try(100))
    assert.same({ 'kept', true }, { mem.try_grow(100000) })
    assert.equal(live, mem.live())
  end)

  it('is counted when one thread frees what another allocated', function()
    local live = mem.live()
    mem.cross_threads(50)
    assert.equal(live, mem.live())
  end)

  it('is zeroed where it cannot fail', function() assert.equal(0, mem.sum_of_new(100000)) end)

  it('may have no size', function()
    assert.is_true(mem.try(0))
    assert.equal(0, mem.sum_of_new(0))
  end)

  it('fails where a spec says, once', function()
    mem.fail_at(3)
    assert.same({ true, true, false, true }, { mem.try(1), mem.try(1), mem.try(1), mem.try(1) })
  end)

  it('stays with its owner when growing fails', function()
    mem.fail_at(1)
    assert.same({ 'kept', false }, { mem.try_grow(100) })
  end)

  it('does not fail once disarmed', function()
    mem.fail_at(1)
    mem.fail_at(0)
    assert.is_true(mem.try(1))
  end)
end)
