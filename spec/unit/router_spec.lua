--- Routers that tell each other of the mesh, in virtual time.

local routes = require 'spec.support.routes'

local world, line, check_tables = routes.world, routes.line, routes.check_tables
local ADVERT = 7

routes.describe('routers', function(over)
  local w

  it('in a line know each other and the way', function()
    w = over.keep(line(5))
    check_tables(w, 5, { { 1, 2 }, { 2, 3 }, { 3, 4 }, { 4, 5 } })
  end)

  it('agree with another computation on a graph of seven nodes, and again when a cost changes', function()
    w = over.keep(world(7))
    local rows = {
      { 1, 2, 2250 }, { 1, 3, 5062 }, { 2, 3, 1500 }, { 2, 4, 3375 }, { 3, 5, 1000 }, { 4, 6, 1000 }, { 5, 6, 7593 },
      { 6, 7, 2250 },
    }
    for _, row in ipairs(rows) do w:link(row[1], row[2], row[3] // 2) end
    w:advance(5)
    check_tables(w, 7, rows)
    w:delay(2, 4, 11390 // 2 + 1) -- the scale has steps of one half
    rows[4][3] = 11389
    w:advance(5)
    check_tables(w, 7, rows)
    assert.equal(4, (w:route(1, 6)))
  end)

  it('do not follow every little change of a round trip, in either direction', function()
    w = over.keep(world(3))
    w:link(1, 2, 1870 // 2)
    w:link(2, 3, 5062 // 2)
    w:advance(5)
    local function cost() return (select(2, w:route(1, 2))) end
    assert.equal(1500, cost())
    local told = w:tape()
    for i = 1, 60 do -- where another cost would be nearer, and back
      w:delay(1, 2, (i % 2 == 0 and 1870 or 2490) // 2)
      w:advance(1)
      assert.equal(1500, cost())
    end
    for _, frame in ipairs(told) do assert.not_equal(ADVERT, frame.type) end
    w:delay(1, 2, 2600 // 2)
    w:advance(5)
    assert.equal(2250, cost())
    w:delay(1, 2, 1870 // 2) -- as before
    w:advance(60)
    assert.equal(2250, cost())
    w:delay(1, 2, 1300 // 2)
    w:advance(5)
    assert.equal(1500, cost())
  end)

  it('do not reach farther than sixteen hops', function()
    w = over.keep(line(18))
    assert.equal(16, (w:route(1, 17)))
    assert.is_nil(w:route(1, 18))
    assert.equal(16, (w:route(2, 18)))
    assert.equal(17, #w:nodes(1))
  end)

  it('go by a dear link where the cheap way is too long', function()
    local rows = { { 20, 1, 57654 } }
    w = over.keep(line(20))
    w:link(20, 1, 57654 // 2)
    for i = 2, 20 do rows[i] = { i - 1, i } end
    w:advance(2)
    check_tables(w, 20, rows)
    assert.equal(1, (w:route(1, 20)))
    assert.equal(2, (w:route(2, 20)))
    assert.equal(15, (w:route(5, 20))) -- not those over the dear link
    for a = 1, 20 do
      for b = 1, 20 do assert.is_truthy(a == b or w:route(a, b)) end
    end
  end)

  it('leave of the longest way one link to a leaf that goes through them', function()
    w = over.keep(routes.partly(21, 20))
    for i = 2, 20 do w:link(i - 1, i) end
    w:link(20, 1, 57654 // 2)
    w:link(21, 4)
    w:link(21, 5)
    w:advance(2)
    assert.same({ 4 }, w:next(21, 1))
    assert.equal(4, (w:route(4, 20))) -- the cheap way has 16
    assert.equal(16, (w:route(21, 20)))
    assert.same({ 5 }, w:next(21, 20))
    w:unlink(21, 5)
    w:advance(2)
    assert.equal(5, (w:route(21, 20)))
  end)

  it('tell what they provide, and what has changed, within 100 ms over ten hops', function()
    local known = {}
    w = over.keep(line(11, { known = known }))
    w:set(1, 'action', 'sum', '\x80')
    w:advance(0.1)
    for i = 2, 11 do assert.equal('\x80', known[i .. ' 1']['action sum']) end
    w:set(1, 'action', 'sum', '\x81\xa1a\x01')
    w:set(1, 'room', 'of a later version', '\x80')
    w:advance(0.1)
    for i = 2, 11 do
      assert.equal('\x81\xa1a\x01', known[i .. ' 1']['action sum'])
      assert.equal('\x80', known[i .. ' 1']['room of a later version'])
    end
    w:unset(1, 'action', 'sum')
    w:advance(0.1)
    for i = 2, 11 do assert.is_nil(known[i .. ' 1']['action sum']) end
  end)

  it('tell changes of 10 ms together, but for the first few', function()
    w = over.keep(line(2))
    local frames = w:sent()
    for i = 1, 100 do
      w:set(1, 'action', 'number ' .. i, '\x80')
      w:advance(0.0001)
    end
    w:advance(0.1)
    assert.is_true(w:sent() - frames <= 6, w:sent() - frames)
  end)

  it('tell a record of many frames', function()
    local known = {}
    w = over.keep(line(3, { known = known }))
    for i = 1, 3000 do w:set(1, 'action', ('action %d'):format(i), '\x81\xa1x\xd9\x40' .. ('x'):rep(64)) end
    w:advance(0.1)
    local count = 0
    for _ in pairs(known['3 1']) do count = count + 1 end
    assert.equal(3000, count)
  end)

  it('hold what was told while they had no link', function()
    local known = {}
    w = over.keep(world(3, { known = known }))
    w:set(1, 'action', 'early', '\x80')
    w:link(1, 2)
    w:advance(0.1)
    w:link(2, 3)
    w:advance(0.1)
    assert.equal('\x80', known['3 1']['action early'])
  end)

  describe('that lose a link', function()
    it('find the other way, and none when there is none', function()
      w = over.keep(line(5))
      w:link(5, 1)
      w:advance(0.1)
      check_tables(w, 5, { { 1, 2 }, { 2, 3 }, { 3, 4 }, { 4, 5 }, { 5, 1 } })
      w:unlink(1, 2)
      w:advance(0.1)
      check_tables(w, 5, { { 2, 3 }, { 3, 4 }, { 4, 5 }, { 5, 1 } })
      w:unlink(3, 4)
      w:advance(0.1)
      check_tables(w, 5, { { 2, 3 }, { 4, 5 }, { 5, 1 } })
      assert.is_nil(w:route(1, 2))
    end)

    it('know another way at once, before any news', function()
      w = over.keep(world(4))
      for _, row in ipairs { { 1, 2 }, { 1, 3 }, { 2, 4 }, { 3, 4 } } do w:link(row[1], row[2]) end
      w:advance(0.1)
      assert.same({ 2, 3 }, w:next(1, 4))
      assert.same({ 3 }, w:next(1, 4, 2))
      w:unlink(1, 2)
      assert.same({ 3 }, w:next(1, 4))
      assert.same({ 3 }, w:next(1, 2)) -- not one of the best before
    end)

    it('do not send back through a neighbour that would send it here', function()
      w = over.keep(line(4))
      assert.same({ 3 }, w:next(2, 4))
      assert.same({}, w:next(2, 4, 3))
      w:unlink(2, 3)
      assert.same({}, w:next(2, 4))
    end)
  end)

  it('learn of a node that could not be told when they came, as soon as there is a way to it', function()
    w = over.keep(world(4))
    w:link(2, 3)
    w:link(3, 4)
    w:advance(0.2)
    w:unlink(2, 3)
    w:advance(0.1)
    w:link(1, 2)
    w:advance(0.1)
    assert.is_nil(w:route(1, 4))
    w:link(2, 3) -- about 4 itself there is nothing new
    w:advance(0.2)
    assert.equal(3, (w:route(1, 4)))
    assert.equal(0, w:metrics().databases_differed)
  end)

  it('forget a node that cannot be reached, after a while', function()
    local known = {}
    w = over.keep(line(3, { known = known }))
    w:set(1, 'action', 'a', '\x80')
    w:advance(0.1)
    w:stop(1)
    w:advance(0.1)
    assert.is_nil(w:route(3, 1))
    assert.same({ 1, 2 }, w:nodes(3))
    w:advance(29)
    assert.same({ 1, 2 }, w:nodes(3))
    w:advance(2)
    assert.same({ 2 }, w:nodes(3))
    assert.same({}, known['3 1'])
  end)

  it('drop what a node provides as soon as it leaves', function()
    local known = {}
    w = over.keep(line(4, { known = known }))
    w:set(1, 'action', 'a', '\x80')
    w:advance(0.1)
    w:leave(1)
    w:advance(0.01)
    assert.same({}, known['4 1'])
    assert.is_nil(w:route(4, 1))
  end)

  it('take a node that was started again for another', function()
    local known = {}
    w = over.keep(line(3, { known = known }))
    w:set(1, 'action', 'old', '\x80')
    w:advance(0.1)
    w:stop(1)
    w:start(1)
    w:join(1)
    w:set(1, 'action', 'new', '\x80')
    w:link(1, 2)
    w:advance(0.1)
    assert.same({ ['action new'] = '\x80' }, known['3 1'])
    check_tables(w, 3, { { 1, 2 }, { 2, 3 } })
  end)

  describe('in a mesh that was parted', function()
    it('find each other again', function()
      for _, pause in ipairs { 1, 100 } do
        local known = {}
        w = over.keep(line(8, { known = known }))
        w:set(1, 'action', 'left', '\x80')
        w:set(8, 'action', 'right', '\x80')
        w:advance(0.1)
        w:unlink(4, 5)
        w:advance(0.1)
        assert.is_nil(w:route(1, 8))
        w:unset(8, 'action', 'right')
        w:set(8, 'action', 'righter', '\x80')
        w:advance(pause)
        w:link(4, 5)
        w:advance(0.2)
        assert.equal(7, (w:route(1, 8)))
        assert.same({ ['action righter'] = '\x80' }, known['1 8'])
        assert.same({ ['action left'] = '\x80' }, known['8 1'])
      end
    end)
  end)

  it('agree in less than a second after the last of a thousand changes at random', function()
    math.randomseed(7)
    local n = 12
    w = over.keep(world(n))
    local linked, up = {}, {}
    for i = 1, n do up[i] = true end
    local function key(a, b) return a < b and a .. ' ' .. b or b .. ' ' .. a end
    for _ = 1, 1000 do
      local a, b = math.random(n), math.random(n)
      local what = math.random()
      if what < 0.05 then
        if up[a] then
          w:stop(a)
          for i = 1, n do linked[key(a, i)] = nil end
        else
          w:start(a)
          w:join(a)
        end
        up[a] = not up[a]
      elseif a ~= b and up[a] and up[b] then
        if linked[key(a, b)] then w:unlink(a, b) else w:link(a, b, math.random(300)) end
        linked[key(a, b)] = not linked[key(a, b)] and { math.min(a, b), math.max(a, b) } or nil
      end
      w:advance(math.random() * 0.01)
    end
    w:advance(0.9)
    local rows = {}
    for _, row in pairs(linked) do rows[#rows + 1] = row end
    check_tables(w, n, rows, up)
    assert.equal(0, w:metrics().adverts_refused)
  end)
end)
