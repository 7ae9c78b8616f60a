local base = require('perilune.testing').base
local loop, mem = base.loop, base.mem

local function recorder(l)
  local ran = {}
  return ran, function(name) return l:work(function() ran[#ran + 1] = name end) end
end

describe('queued work', function()
  local l, ran, work
  before_each(function()
    l = loop.virtual()
    ran, work = recorder(l)
  end)
  after_each(function() l:free() end)

  it('runs in a turn, in the order it was queued', function()
    for _, name in ipairs { 'a', 'b', 'c' } do
      work(name):defer()
    end
    assert.same({}, ran)
    assert.is_false(l:turn())
    assert.same({ 'a', 'b', 'c' }, ran)
  end)

  it('that is queued twice runs once', function()
    local w = work('a'):defer():defer()
    assert.is_true(w:queued())
    l:turn()
    assert.same({ 'a' }, ran)
    assert.is_false(w:queued())
    w:defer()
    l:turn()
    assert.same({ 'a', 'a' }, ran)
  end)

  it('that was cancelled does not run', function()
    local w = work('a'):defer()
    w:cancel()
    w:cancel()
    l:turn()
    assert.same({}, ran)
  end)

  it('that was never queued may be cancelled', function() work('a'):cancel() end)

  it('may queue more for the same turn', function()
    local b = work('b')
    l:work(function() b:defer() end):defer()
    l:turn()
    assert.same({ 'b' }, ran)
  end)

  it('may cancel what is queued behind it', function()
    local b = work('b')
    l:work(function() b:cancel() end):defer()
    b:defer()
    l:turn()
    assert.same({}, ran)
  end)

  it('may end the turn: the network comes first, then what is queued behind it', function()
    l:work(function()
      ran[#ran + 1] = 'long'
      l:end_turn()
    end):defer()
    work('behind'):defer()
    work('flush'):flush_later()
    assert.is_true(l:turn())
    assert.same({ 'long', 'flush' }, ran)
    assert.is_false(l:turn()) -- only that turn was over
    assert.same({ 'long', 'flush', 'behind' }, ran)
  end)

  it('runs before the flushes of the turn, also what it queues', function()
    local b = work('b')
    work('flush'):flush_later()
    l:work(function() b:defer() end):defer()
    l:turn()
    assert.same({ 'b', 'flush' }, ran)
  end)

  it('of a flush is left for the next turn', function()
    local a = work('a')
    l:work(function() a:defer() end):flush_later()
    assert.is_true(l:turn())
    assert.same({}, ran)
    assert.is_false(l:turn())
    assert.same({ 'a' }, ran)
  end)

  it('stays in the queue it is in', function()
    local w = work('w'):defer():flush_later()
    work('flush'):flush_later()
    l:turn()
    assert.same({ 'w', 'flush' }, ran)
    w:cancel()
  end)

  it('behind all other runs after the flushes of a turn, one in each, and what it wrote leaves', function()
    work('one'):defer_behind()
    work('two'):defer_behind()
    work('other'):defer()
    work('flush'):flush_later()
    assert.is_true(l:turn())
    assert.same({ 'other', 'flush', 'one' }, ran)
    local again
    again = l:work(function()
      table.insert(ran, 'again')
      work('its flush'):flush_later()
      again:defer_behind()
    end)
    again:defer_behind()
    assert.is_true(l:turn())
    assert.is_true(l:turn())
    assert.same({ 'other', 'flush', 'one', 'two', 'again', 'its flush' }, ran)
    again:cancel()
    assert.is_false(l:turn())
  end)

  it('behind all other waits for a turn that is not used up', function()
    l:work(function()
      table.insert(ran, 'long')
      l:end_turn()
    end):defer()
    work('behind'):defer_behind()
    work('flush'):flush_later()
    assert.is_true(l:turn())
    assert.same({ 'long', 'flush' }, ran)
    assert.is_false(l:turn())
    assert.same({ 'long', 'flush', 'behind' }, ran)
  end)

  it('behind all other waits no longer than 20 ms where all turns are used up', function()
    local long
    long = l:work(function()
      table.insert(ran, l:now() // 1000)
      l:end_turn()
      long:defer()
    end)
    long:defer()
    local began = l:now() // 1000
    for i = 1, 2 do work('behind ' .. i):defer_behind() end
    for _ = 1, 5 do
      l:turn()
      l:pass_to(l:now() + 10000)
    end
    for i, name in ipairs(ran) do ran[i] = math.type(name) and name - began or name end
    assert.same({ 0, 10, 20, 'behind 1', 30, 40, 'behind 2' }, ran)
    long:cancel()
  end)
end)

describe('a flush', function()
  it('that is queued during the flushes runs with them', function()
    local l = loop.virtual()
    local ran, work = recorder(l)
    local second = work('second')
    local first = l:work(function() second:flush_later() end)
    first:flush_later()
    l:turn()
    assert.same({ 'second' }, ran)
    l:free()
  end)
end)

describe('a loop in virtual time', function()
  it('starts at one second', function()
    local l = loop.virtual()
    assert.equal(1000000, l:now())
    assert.equal(1000000, l:precise())
    l:free()
  end)

  it('fires timers at their very time, and no others', function()
    local l = loop.virtual()
    local seen = {}
    local timers = {} -- a timer that is collected does not fire
    for i, delay in ipairs { 100000, 250, 100001, 99999, 7000000 } do
      timers[i] = l:timer(function() seen[#seen + 1] = l:now() - 1000000 end):start(delay)
    end
    l:advance(100000)
    assert.same({ 250, 99999, 100000 }, seen)
    assert.equal(1100000, l:now())
    l:advance(6900000)
    assert.same({ 250, 99999, 100000, 100001, 7000000 }, seen)
    assert.equal(5, #timers)
    l:free()
  end)

  it('runs the work that a timer queued before time goes on', function()
    local l = loop.virtual()
    local seen = {}
    local w = l:work(function() seen[#seen + 1] = l:now() - 1000000 end)
    local first = l:timer(function() w:defer() end):start(10)
    local second = l:timer(function() seen[#seen + 1] = 'second' end):start(20)
    l:advance(30)
    assert.same({ 10, 'second' }, seen)
    assert.is_false(first:active() or second:active())
    l:free()
  end)

  it('has the randomness of its seed, also in the order of maps', function()
    local function sample(seed)
      local l = loop.virtual(seed)
      local m, order = base.map.new(), { l:random() }
      l:free()
      for i = 1, 50 do
        m:put(i, i)
      end
      for _, entry in ipairs(m:entries()) do
        order[#order + 1] = entry[1]
      end
      return table.concat(order, ' ')
    end
    assert.equal(sample(7), sample(7))
    assert.not_equal(sample(7), sample(8))
  end)

  it('frees all its memory', function()
    local live = mem.live()
    loop.virtual():free()
    assert.equal(live, mem.live())
  end)
end)

-- Real time, but of a few milliseconds: what libuv does cannot be seen otherwise.
describe('a loop on libuv', function()
  local l
  before_each(function() l = loop.new() end)
  after_each(function() l:free() end)

  it('ends at once when nothing keeps it alive', function() l:run() end)

  it('stays for queued work, and for what that queues', function()
    local ran, work = recorder(l)
    local c = work('c')
    local b = l:work(function() c:flush_later() end)
    l:work(function() b:defer() end):flush_later()
    l:run()
    assert.same({ 'c' }, ran)
  end)

  it('stays for timers, and fires them neither early nor much too late', function()
    local late, timers = {}, {}
    for i, delay in ipairs { 0, 300, 1000, 2500, 5000 } do
      local from = l:now() -- that of the turn
      timers[i] = l:timer(function() late[#late + 1] = l:precise() - from - delay end):start(delay)
    end
    l:run()
    assert.equal(#timers, #late)
    for _, us in ipairs(late) do
      assert.is_true(us >= 0 and us < 100000, us .. ' us')
    end
  end)

  it('stays for a timer that is started by another', function()
    local rounds, t = 0, nil
    t = l:timer(function()
      rounds = rounds + 1
      if rounds < 3 then t:start(500) end
    end):start(500)
    l:run()
    assert.equal(3, rounds)
  end)

  it('does not stay for a timer that was stopped', function()
    local t = l:timer(function() end):start(60 * 1000000)
    local other = l:timer(function() t:stop() end):start(1000)
    local from = l:precise()
    l:run()
    assert.is_true(l:precise() - from < 1000000)
    assert.is_false(other:active())
  end)

  it('wakes for a timer that is earlier than the one it sleeps for', function()
    local ran, timers = {}, {}
    timers.far = l:timer(function() ran[#ran + 1] = 'far' end):start(60 * 1000000)
    timers.near = l:timer(function()
      ran[#ran + 1] = 'near'
      timers.far:stop()
    end)
    timers.first = l:timer(function() timers.near:start(1000) end):start(1000)
    l:run()
    assert.same({ 'near' }, ran)
  end)

  it('stops when told to, and can be run again', function()
    local ran, work = recorder(l)
    local t = l:timer(function() end):start(60 * 1000000)
    l:work(function() l:stop() end):defer()
    l:run()
    t:stop()
    work('again'):defer()
    l:run()
    assert.same({ 'again' }, ran)
  end)

  it('runs work that a close callback queued, though nothing else is left', function()
    local ran, work = recorder(l)
    local w = work('after close')
    l:close_handle(function() w:defer() end)
    l:run()
    assert.same({ 'after close' }, ran)
  end)

  it('starts a timer from a close callback, though nothing else is left', function()
    local fired = false
    local t = l:timer(function() fired = true end)
    l:close_handle(function() t:start(1000) end)
    l:run()
    assert.is_true(fired)
  end)

  it('goes back to the network while there is always more work', function()
    local turns, w = 0, nil
    w = l:work(function()
      turns = turns + 1
      w:defer()
    end):defer()
    local from = l:precise()
    assert.is_true(l:turn())
    assert.is_true(turns > 10)
    assert.is_true(l:precise() - from < 500000)

    local t = l:timer(function() l:stop() end):start(1000)
    l:run() -- ends only if the clock is looked at in between
    assert.is_false(t:active())
    w:cancel()
  end)

  it('goes back to the network after each turn that is used up', function()
    local order, w = {}, nil
    w = l:work(function()
      table.insert(order, 'turn')
      l:end_turn()
      if #order < 12 then w:defer() end
    end):defer()
    local function look() -- libuv closes handles once between two polls
      table.insert(order, 'network')
      if #order < 12 then l:close_handle(look) end
    end
    l:close_handle(look)
    l:run()
    for i = 3, 10 do assert.not_equal(order[i - 1], order[i], i) end
  end)

  it('gives all work of a long queue its time', function()
    local ran, works = 0, {}
    for i = 1, 1000 do
      works[i] = l:work(function()
        ran = ran + 1
        local until_us = l:precise() + 50
        while l:precise() < until_us do
        end
      end):defer()
    end
    l:run()
    assert.equal(#works, ran)
  end)

  it('frees all its memory', function()
    local live = mem.live()
    loop.new():free()
    assert.equal(live, mem.live())
  end)
end)

describe('the wall clock', function()
  it('counts microseconds since 1970', function()
    assert.is_true(math.abs(loop.wall() // 1000000 - os.time()) <= 1)
  end)
end)
