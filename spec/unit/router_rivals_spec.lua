--- Several starts that claim one id: one after the other, with clocks that go wrong, and at the same time.

local testing = require 'perilune.testing'
local routes = require 'spec.support.routes'

local route = testing.route

local A_DAY = 86400 * 1000000

routes.describe('an id that was started twice', function(over)
  local w, known

  --- Nodes 1 to n in a line; the first was started at `epoch`.
  local function line(n, epoch)
    known = {}
    w = over.keep(route.world(n + 4, { known = known }))
    for i = 1, n do
      w:start(i, i == 1 and epoch or nil)
      w:join(i)
      if i > 1 then w:link(i - 1, i) end
    end
    w:set(1, 'action', 'first', '\x80')
    w:advance(0.2)
  end

  --- Starts node `n` with the id 1.
  local function copy(n, epoch, name)
    w:start(n, epoch, 1)
    w:join(n)
    w:set(n, 'action', name, '\x80')
  end

  local function only(name) return { ['action ' .. name] = '\x80' } end

  local function check(name, hops)
    for from, n in pairs(hops) do
      assert.equal(n, (w:route(from, 1)))
      assert.same(only(name), known[from .. ' 1'])
    end
  end

  local function taken(n) return (select(2, w:claims(n))) end

  --- What nodes do that are told to go.
  local function go(n, from)
    assert.is_true(taken(n) > 0)
    w:unlink(n, from)
    w:advance(0.1)
  end

  describe('one after the other', function()
    it('is known by its second start everywhere, also if that was earlier by the clock', function()
      line(4, 2 * A_DAY)
      w:stop(1)
      copy(1, A_DAY, 'second')
      w:link(1, 2)
      w:advance(0.05)
      check('second', { [2] = 1, [3] = 2, [4] = 3 })
      assert.is_true(w:claims(1) > 2 * A_DAY)
      assert.equal(0, taken(1))
      assert.equal(0, w:metrics().ids_claimed)
    end)

    it('is known so when it left in order before', function()
      line(4, 2 * A_DAY)
      w:leave(1)
      w:stop(1)
      w:advance(1)
      copy(1, A_DAY, 'second')
      w:link(1, 2)
      w:advance(0.05)
      check('second', { [2] = 1, [3] = 2, [4] = 3 })
    end)

    it('is known so when only those far away remember the first', function()
      line(4, 2 * A_DAY)
      w:stop(1)
      w:stop(2)
      known['2 1'] = nil
      w:start(2)
      w:join(2)
      copy(1, A_DAY, 'second')
      w:link(1, 2)
      w:advance(0.05)
      check('second', { [2] = 1 })
      w:link(2, 3)
      w:advance(0.05)
      check('second', { [2] = 1, [3] = 2, [4] = 3 })
    end)

    it('is known so when the first is remembered only, with links that are none any more', function()
      line(4, 2 * A_DAY)
      w:unlink(3, 4)
      w:stop(1)
      copy(1, A_DAY, 'second')
      for i = 5, 6 do
        w:start(i)
        w:join(i)
      end
      w:link(1, 5) -- instead of 2
      w:link(5, 6)
      w:advance(0.1)
      w:link(6, 4)
      w:advance(0.05)
      check('second', { [4] = 3, [5] = 1, [6] = 2 })
      assert.is_true(w:claims(1) > 2 * A_DAY)
    end)

    it('is known so by a leaf that was away meanwhile, and alone remembers the first', function()
      line(3, 2 * A_DAY)
      w:start(5)
      w:link(5, 3, 100, true)
      w:advance(0.1)
      check('first', { [3] = 2, [5] = 3 })
      w:unlink(5, 3)
      for i = 1, 3 do w:stop(i) end
      for i = 2, 3 do
        known[i .. ' 1'] = nil
        w:start(i)
        w:join(i)
      end
      copy(1, A_DAY, 'second')
      w:link(1, 2)
      w:link(2, 3)
      w:advance(0.1)
      assert.equal(A_DAY, (w:claims(1)))
      w:link(5, 3, 100, true)
      w:advance(0.1)
      check('second', { [2] = 1, [3] = 2, [5] = 3 })
    end)

    it('is known so when the first is still believed to be there', function()
      line(4, 2 * A_DAY)
      copy(5, A_DAY, 'second') -- the same node, in another place
      w:mute(1, 2, true)
      w:link(5, 4)
      w:advance(0.05)
      check('second', { [3] = 2, [4] = 1 })
      w:unlink(1, 2)
      w:stop(1)
      w:advance(0.05)
      check('second', { [2] = 3, [3] = 2, [4] = 1 })
      assert.equal(0, taken(5))
    end)

    it('goes on surpassing, start after start', function()
      line(3, 2 * A_DAY)
      local last = 2 * A_DAY
      for i = 1, 5 do
        w:stop(1)
        copy(1, A_DAY - i * 1000, 'start ' .. i)
        w:link(1, 2)
        w:advance(0.05)
        check('start ' .. i, { [2] = 1, [3] = 2 })
        assert.is_true(w:claims(1) > last)
        last = w:claims(1)
      end
      w:stop(1)
      copy(1, 3 * A_DAY, 'right again')
      w:link(1, 2)
      w:advance(0.05)
      check('right again', { [2] = 1, [3] = 2 })
      assert.equal(3 * A_DAY, (w:claims(1)))
    end)
  end)

  describe('at the same time', function()
    it('belongs to who was started first', function()
      line(4, A_DAY)
      copy(5, 2 * A_DAY, 'copy')
      w:link(5, 4)
      w:advance(0.05)
      assert.equal(0, taken(1))
      go(5, 4)
      check('first', { [2] = 1, [3] = 2, [4] = 3 })
      assert.equal(1, w:metrics().ids_claimed)
      assert.matches('error another node has the id of this one and was started earlier', w:log())
    end)

    it('belongs to who was started first when that comes later', function()
      line(4, 2 * A_DAY)
      copy(5, A_DAY, 'older')
      w:link(5, 4)
      w:advance(0.05)
      assert.equal(0, taken(5))
      go(1, 2)
      check('older', { [2] = 3, [3] = 2, [4] = 1 })
    end)

    it('belongs to who was started first, whatever else it was known by', function()
      line(4, 3 * A_DAY)
      w:stop(1)
      copy(1, A_DAY, 'set back')
      w:link(1, 2)
      w:advance(0.05)
      copy(5, 2 * A_DAY, 'copy')
      w:link(5, 4)
      w:advance(0.05)
      assert.equal(0, taken(1))
      go(5, 4)
      check('set back', { [2] = 1, [3] = 2, [4] = 3 })
    end)

    it('is settled when two meshes that have one each come together', function()
      line(3, A_DAY)
      for i = 4, 6 do
        if i > 4 then w:start(i) end
        if i > 4 then w:join(i) end
        if i == 4 then copy(4, 2 * A_DAY, 'copy') else w:link(i - 1, i) end
      end
      w:advance(0.1)
      assert.equal(2, (w:route(6, 1)))
      w:link(3, 6)
      w:advance(0.1)
      assert.equal(0, taken(1))
      go(4, 5)
      check('first', { [2] = 1, [3] = 2, [6] = 3, [5] = 4 })
    end)

    it('is settled when both were started in the same moment', function()
      line(4, A_DAY)
      copy(5, A_DAY, 'twin')
      w:link(5, 4)
      w:advance(3)
      assert.is_true((taken(1) > 0) ~= (taken(5) > 0))
      if taken(1) > 0 then go(1, 2) else go(5, 4) end
      check(taken(1) > 0 and 'twin' or 'first', { [3] = 2 })
    end)

    it('costs a few frames, also when nobody goes', function()
      line(4, A_DAY)
      copy(5, 2 * A_DAY, 'copy')
      local before = w:sent()
      w:link(5, 4)
      w:advance(1)
      local settled = w:sent()
      assert.is_true(settled - before < 100)
      w:advance(20)
      assert.is_true(w:sent() - settled < 10)
      for i = 1, 10 do -- and when the copy goes on telling news
        w:set(5, 'action', 'news ' .. i, '\x80')
        w:advance(1)
      end
      assert.is_true(w:sent() - settled < 200)
      assert.equal(1, (select(2, w:log():gsub('was started earlier', ''))))
    end)
  end)
end)
