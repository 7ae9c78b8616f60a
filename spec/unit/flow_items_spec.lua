-- Items of a flow: their end, what becomes of those that are not wanted or not sent, and how much of them waits.

local flows = require 'spec.support.flows'

local types, payload = flows.types, flows.payload

local CALL, DATA, END, INFO = 32, 34, 35, 42
local MORE = 1

flows.describe('the items of a flow', function(over)
  local world

  before_each(function() world = over.world end)

  local function arrived()
    world:turn()
    return world:frames()
  end

  it('end behind the last of them, and an info stands in front, without credit', function()
    local f = world:flow(1)
    assert.is_true(f:finish '\x91\x05')
    f:grant(1, 100)
    f:item 'a'
    assert.is_false(f:item 'b')
    assert.is_false(f:finish())
    assert.same({ INFO, DATA }, types(arrived()))
    f:grant(1, 0)
    local frames = arrived()
    assert.same({ DATA, END }, types(frames))
    assert.equal('', frames[2].body)
    assert.is_true(f:finish())
    f:close()
  end)

  it('are dropped, begun or not, and what else waits is kept', function()
    local f = world:flow(1)
    f:grant(10, 100)
    f:item(('x'):rep(1000))
    f:item 'y'
    f:finish()
    assert.same({ DATA }, types(arrived()))
    f:drop()
    assert.is_true(f:info().idle)
    assert.same({ 0, 0 }, { f:info().queued, f:info().waiting })
    f:grant(10, 10000)
    assert.same({}, arrived())

    local g = world:flow(3)
    g:call('big', ('z'):rep(100000))
    g:item 'y'
    g:drop()
    g:grant(0, 1 << 20)
    local frames = arrived()
    assert.equal(CALL, frames[1].type)
    assert.equal(0, frames[#frames].flags & MORE)
    f:close()
    g:close()
  end)

  it('that have not begun go to another flow, in their order', function()
    local f, g = world:flow(1), world:flow(3)
    f:item 'a'
    f:item 'bc'
    f:finish()
    assert.equal(2 + 3 + 2 + 3 * 128, f:move(g, 'd'))
    f:grant(10, 1000)
    g:grant(10, 1000)
    local frames = arrived()
    assert.equal('\1a\2bc\1d', payload(frames, 3))
    assert.equal('', payload(frames, 1))
    assert.equal(END, frames[1].label == 1 and frames[1].type or frames[#frames].type)
    f:close()
    g:close()
  end)

  it('that wait tell once when they have fallen to a mark, whatever is left', function()
    local f = world:flow(1)
    f:watch(2 * (1001 + 128))
    for _ = 1, 5 do f:item(('x'):rep(999)) end
    assert.equal(5 * (1001 + 128), f:info().waiting)
    f:grant(2, 1 << 20)
    arrived()
    assert.equal(0, f:info().lows)
    f:grant(1, 0)
    arrived()
    assert.equal(1, f:info().lows)
    f:grant(2, 0)
    arrived()
    assert.same({ 1, 0 }, { f:info().lows, f:info().waiting })
    f:close()
  end)
end)
