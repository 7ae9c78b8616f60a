local clock = require('perilune.testing').base.clock

local MS, S, DAY = 1000, 1000000, 86400 * 1000000

-- A clock at `now`, and a function that starts a timer which notes its name when it fires.
local function recorder(now)
  local c, fired, timers = clock.new(now), {}, {}
  local function start(name, delay)
    timers[name] = timers[name] or c:timer(function() fired[#fired + 1] = name end)
    return timers[name]:start(delay)
  end
  return c, start, fired
end

describe('a timer', function()
  it('fires at its microsecond and not before', function()
    for _, delay in ipairs { 1, 999, 1024, 100 * MS, 5 * S, 3 * DAY } do
      local c, start, fired = recorder(1234567)
      start('t', delay)
      c:advance(1234567 + delay - 1)
      assert.same({}, fired)
      c:advance(1234567 + delay)
      assert.same({ 't' }, fired)
    end
  end)

  it('fires once', function()
    local c, start, fired = recorder(0)
    start('t', 5)
    c:advance(10)
    c:advance(20)
    assert.same({ 't' }, fired)
    assert.equal(0, c:active())
  end)

  it('never fires inside the call that starts it', function()
    local _, start, fired = recorder(0)
    start('t', 0)
    assert.same({}, fired)
  end)

  it('without a delay fires in the next advance', function()
    local c, start, fired = recorder(77)
    start('t', 0)
    c:advance(77)
    assert.same({ 't' }, fired)
  end)

  it('does not fire once it is stopped, and may be stopped twice', function()
    local c, start, fired = recorder(0)
    local t = start('t', 5)
    t:stop()
    t:stop()
    assert.is_false(t:active())
    assert.is_nil(c:next())
    c:advance(10)
    assert.same({}, fired)
  end)

  it('that is started again fires at the new time only', function()
    local c, start, fired = recorder(0)
    start('t', 5 * MS)
    start('t', 90 * S)
    c:advance(5 * MS)
    assert.same({}, fired)
    start('t', 1 * MS)
    assert.equal(1, c:active())
    c:advance(6 * MS)
    assert.same({ 't' }, fired)
  end)

  it('that was never started may be stopped', function()
    local t = clock.new(0):timer(function() end)
    t:stop()
    assert.is_false(t:active())
  end)

  it('of an unlimited delay waits for ever', function()
    local c, start, fired = recorder(5)
    start('t', -1)
    assert.equal(1, c:active())
    c:advance(1000 * 365 * DAY)
    assert.same({}, fired)
  end)
end)

describe('a callback', function()
  it('that starts a timer without delay does not loop', function()
    local c, n = clock.new(0), 0
    local t
    t = c:timer(function()
      n = n + 1
      t:start(0)
    end)
    t:start(0)
    for i = 1, 5 do
      c:advance(7)
      assert.equal(i, n)
    end
  end)

  it('may stop a timer that is due in the same advance', function()
    local c, fired = clock.new(0), {}
    local second = c:timer(function() fired[#fired + 1] = 'second' end)
    local first = c:timer(function()
      fired[#fired + 1] = 'first'
      second:stop()
    end)
    first:start(1)
    second:start(2)
    c:advance(3)
    assert.same({ 'first' }, fired)
    assert.equal(0, c:active())
  end)

  it('may postpone a timer that is due in the same advance', function()
    local c, fired = clock.new(0), {}
    local second = c:timer(function() fired[#fired + 1] = 'second' end)
    local first = c:timer(function() second:start(10) end)
    first:start(1)
    second:start(2)
    c:advance(3)
    assert.same({}, fired)
    assert.equal(13, c:next())
    c:advance(13)
    assert.same({ 'second' }, fired)
  end)

  it('sees the time of the advance, not of the timer', function()
    local c = clock.new(0)
    local seen
    c:timer(function() seen = c:now() end):start(5)
    c:advance(99)
    assert.equal(99, seen)
  end)
end)

describe('a clock', function()
  it('fires in order of time, up to a tick', function()
    local c, start, fired = recorder(0)
    for _, name in ipairs { 'e', 'b', 'd', 'a', 'c' } do
      start(name, (name:byte() - 96) * 40 * MS)
    end
    c:advance(S)
    assert.same({ 'a', 'b', 'c', 'd', 'e' }, fired)
  end)

  it('crosses years without looking at every tick', function()
    local c, start, fired = recorder(0)
    start('t', 100 * 365 * DAY)
    local before = os.clock()
    c:advance(100 * 365 * DAY - 1)
    assert.same({}, fired)
    c:advance(100 * 365 * DAY)
    assert.same({ 't' }, fired)
    assert.is_true(os.clock() - before < 0.01)
  end)

  it('reaches any timer in few steps by advancing to what it says is next', function()
    for _, delay in ipairs { 0, 1, 1023, 65535, 4 * S + 1, DAY, 365 * DAY } do
      local c, start, fired = recorder(987654321)
      start('t', delay)
      local steps = 0
      while #fired == 0 do
        assert.is_true(c:next() <= 987654321 + delay)
        c:advance(c:next())
        steps = steps + 1
      end
      assert.equal(987654321 + delay, c:now())
      assert.is_true(steps <= 8, steps .. ' steps')
    end
  end)

  it('does not go back', function()
    local c, start, fired = recorder(1000)
    start('t', 10)
    c:advance(500)
    assert.equal(1000, c:now())
    c:advance(1010)
    assert.same({ 't' }, fired)
  end)

  it('has nothing next without timers', function() assert.is_nil(clock.new(0):next()) end)

  it('takes a timer that is collected off the wheel', function()
    local c = clock.new(0)
    c:timer(function() end):start(5)
    collectgarbage()
    collectgarbage()
    assert.equal(0, c:active())
    c:advance(10)
  end)
end)

describe('the wheel against a list', function()
  -- Delays of all sizes, often on the edges of slots.
  local function any_delay()
    local bits = math.random(0, 36)
    local delay = math.random(0, (1 << bits) - 1)
    if math.random(4) == 1 then delay = delay & ~1023 end
    if math.random(8) == 1 then delay = delay & ~65535 end
    return delay
  end

  local function run_model(seed)
    math.randomseed(seed)
    local c = clock.new(math.random(0, 1 << 40))
    local timers, due = {}, {} -- due: name -> when, of those that are active
    local fired

    for name = 1, 200 do
      timers[name] = c:timer(function()
        fired[#fired + 1] = name
        if math.random(3) > 1 then return end
        local other, delay = math.random(200), any_delay()
        timers[other]:start(delay)
        due[other] = nil
        fired[#fired + 1] = { other, c:now() + delay }
      end)
    end

    local function advance(now)
      fired = {}
      local expected = {}
      for name, at in pairs(due) do
        if at <= now then expected[name] = at end
      end
      c:advance(now)
      local last_tick = 0
      for _, event in ipairs(fired) do
        if type(event) == 'table' then
          expected[event[1]] = nil -- postponed before it fired, or fired and started anew
          due[event[1]] = event[2]
        else
          local at = assert(expected[event], 'fired what was not due')
          assert(at >> 10 >= last_tick, 'fired out of order')
          last_tick = at >> 10
          expected[event] = nil
          if due[event] == at then due[event] = nil end
        end
      end
      assert(next(expected) == nil, 'did not fire what was due')
    end

    for _ = 1, 2000 do
      local name = math.random(200)
      local what = math.random(10)
      if what <= 6 then
        local delay = any_delay()
        timers[name]:start(delay)
        due[name] = c:now() + delay
      elseif what <= 8 then
        timers[name]:stop()
        due[name] = nil
      elseif what == 9 then
        advance(c:now() + any_delay())
      elseif c:next() then
        advance(math.max(c:next(), c:now()))
      end

      local count, first = 0, math.huge
      for _, at in pairs(due) do
        count = count + 1
        first = math.min(first, at)
      end
      assert(count == c:active())
      assert(count == 0 or c:next() <= first)
    end
  end

  it('fires the same timers at the same times', function()
    for seed = 1, 20 do
      run_model(seed)
    end
  end)
end)
