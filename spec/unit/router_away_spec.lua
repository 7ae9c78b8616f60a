--- Links that have broken and may come back: who goes round them, and who does not.

local routes = require 'spec.support.routes'

local world, line, check_tables = routes.world, routes.line, routes.check_tables

local function ring(n)
  local w = line(n)
  w:link(n, 1)
  w:advance(0.2)
  return w
end

local TOLD = 0.07 -- by then the mesh has been told
local MAX = 60000000

routes.describe('a link that is away', function(over)
  local w

  it('is gone round at once where a neighbour has another way', function()
    w = over.keep(ring(3))
    assert.same({ 2 }, w:next(1, 2))
    w:away(1, 2, true)
    assert.same({ 3 }, w:next(1, 2))
    assert.same({ 3 }, w:next(2, 1))
    w:away(1, 2, false)
    assert.same({ 2 }, w:next(1, 2))
  end)

  it('is gone round at once by a neighbour whose own best way it was', function()
    w = over.keep(world(3))
    w:link(1, 2, 500)
    w:link(1, 3, 500)
    w:link(2, 3, 4000)
    w:advance(5)
    assert.same({ 1 }, w:next(3, 2))
    w:away(1, 2, true)
    assert.same({ 3 }, w:next(1, 2))
    assert.same({ 2 }, w:next(3, 2, 1))
    w:away(2, 3, true)
    assert.same({}, w:next(3, 2, 1))
  end)

  it('is what remains when there is no other', function()
    w = over.keep(line(3))
    w:away(1, 2, true)
    for _ = 1, 10 do
      assert.same({ 2 }, w:next(1, 2))
      assert.same({ 2 }, w:next(1, 3))
      assert.same({ 2 }, w:next(3, 1))
      w:advance(TOLD)
    end
    w:away(1, 2, false)
    w:advance(0.2)
    check_tables(w, 3, { { 1, 2 }, { 2, 3 } })
  end)

  for _, n in ipairs { 4, 5, 8, 16 } do
    it(('is gone round by all of a ring of %d once they know, and not before'):format(n), function()
      w = over.keep(ring(n))
      local rows = { { n, 1 } }
      for i = 2, n do rows[i] = { i - 1, i } end
      w:away(1, 2, true)
      w:advance(0.04)
      assert.same({ 2 }, w:next(1, 2))
      w:advance(TOLD)
      assert.same({ n }, w:next(1, 2))
      assert.same({ 3 }, w:next(2, 1))
      assert.equal(n - 1, (w:route(1, 2)))
      rows[2][3] = MAX
      check_tables(w, n, rows)

      w:away(1, 2, false)
      assert.same({ n }, w:next(1, 2))
      w:advance(0.2)
      rows[2][3] = nil
      check_tables(w, n, rows)
    end)
  end

  it('never leads a call to where it came from, while the news spreads', function()
    -- every node's next step is followed, at any time; nobody is passed twice
    w = over.keep(ring(9))
    w:away(1, 2, true)
    local arrived = 0
    for _ = 1, 200 do
      local at, before, seen = 1, nil, {}
      while at and at ~= 2 do
        assert.is_nil(seen[at])
        seen[at] = true
        local next_hop = w:next(at, 2, before)[1]
        at, before = next_hop, at
      end
      arrived = arrived + (at == 2 and 1 or 0)
      w:advance(0.0005)
    end
    assert.equal(200, arrived)
  end)

  it('makes no loop before the news of it spreads, whatever links cost', function()
    local passed, n, draw = 0, 8, math.random
    for seed = 1, 60 do
      math.randomseed(seed)
      w = over.keep(world(n))
      local linked = {}
      local function link(x, y)
        if x == y or linked[x * n + y] then return end
        linked[x * n + y], linked[y * n + x] = true, true
        w:link(x, y, draw(40) * 500)
      end
      for i = 2, n do link(draw(i - 1), i) end
      for _ = 1, 5 do link(draw(n), draw(n)) end
      link(1, n)
      w:advance(5)
      w:away(1, n, true)
      for from = 1, n do
        for to = 1, n do
          local at, before, seen = from, nil, {}
          while at and at ~= to do
            assert.is_nil(seen[at], ('seed %d: from %d to %d'):format(seed, from, to))
            seen[at] = true
            at, before = w:next(at, to, before)[1], at
          end
          passed = passed + 1
        end
      end
    end
    assert.equal(60 * 64, passed)
  end)

  it('is no news when it is back soon', function()
    w = over.keep(ring(4))
    local before = w:sent()
    for _ = 1, 20 do
      w:away(1, 2, true)
      w:advance(0.04)
      w:away(1, 2, false)
      w:advance(0.04)
    end
    assert.equal(before, (w:sent()))
  end)

  it('may be lost for good', function()
    w = over.keep(ring(4))
    w:away(1, 2, true)
    w:advance(TOLD)
    w:unlink(1, 2)
    w:advance(0.2)
    check_tables(w, 4, { { 2, 3 }, { 3, 4 }, { 4, 1 } })
    w:link(1, 2)
    w:away(1, 2, true)
    w:unlink(1, 2)
    w:advance(0.2)
    check_tables(w, 4, { { 2, 3 }, { 3, 4 }, { 4, 1 } })
  end)

  it('costs a node in the middle of many a few computations at most', function()
    w = over.keep(world(60))
    for i = 2, 60 do w:link(1, i) end
    for i = 3, 60 do w:link(i - 1, i) end
    w:advance(1)
    w:away(1, 2, true)
    assert.same({ 3 }, w:next(1, 2))
  end)
end)
