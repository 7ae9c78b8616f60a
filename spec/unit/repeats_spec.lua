local testing = require 'perilune.testing'
local balance, mem = testing.balance, testing.base.mem

local S = 1000000
local KEPT = 30 * S

describe('the memory for repeats', function()
  local live, dedup

  before_each(function()
    live = mem.live()
    dedup = balance.dedup()
  end)

  after_each(function()
    dedup:free()
    assert.equal(live, mem.live())
  end)

  it('knows calls by caller, id and action', function()
    assert.is_true(dedup:open('a', 1, 7))
    assert.equal('running', (dedup:find('a', 1, 7)))
    assert.is_nil((dedup:find('b', 1, 7)))
    assert.is_nil((dedup:find('a', 2, 7)))
    assert.is_nil((dedup:find('a', 1, 8)))
    assert.is_false(dedup:open('a', 1, 8))
    dedup:forget('a', 1, 7)
    assert.is_nil((dedup:find('a', 1, 7)))
  end)

  it('keeps answers for a time', function()
    dedup:open('a', 1, 7)
    dedup:open('a', 2, 7)
    dedup:finish('a', 1, 7, 'sum', nil, 0)
    dedup:finish('a', 2, 7, nil, 'boom', 5 * S)
    assert.same({ 'result', 'sum' }, { dedup:find('a', 1, 7) })
    assert.same({ 'failure', 'boom' }, { dedup:find('a', 2, 7) })
    assert.equal(KEPT, (dedup:expire(KEPT - 1)))
    assert.equal(KEPT + 5 * S, (dedup:expire(KEPT)))
    assert.is_nil((dedup:find('a', 1, 7)))
    assert.same({ nil, 0 }, { dedup:expire(KEPT + 5 * S) })
  end)

  it('forgets the oldest when it is full', function()
    local answer = ('x'):rep(60 * 1024)
    for id = 1, 100 do
      dedup:open('a', id, 7)
      dedup:finish('a', id, 7, answer, nil, id)
    end
    assert.is_nil((dedup:find('a', 30, 7)))
    assert.equal('result', (dedup:find('a', 40, 7)))
    assert.is_true(select(2, dedup:expire(0)) <= 4 << 20)
  end)

  it('does not keep a large answer', function()
    dedup:open('a', 1, 7)
    dedup:finish('a', 1, 7, ('x'):rep(64 * 1024 + 1), nil, 0)
    assert.is_nil((dedup:find('a', 1, 7)))
  end)
end)
