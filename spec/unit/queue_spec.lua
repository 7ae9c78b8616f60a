local admission = require('perilune.testing').admission

local INTERVAL = admission.INTERVAL

describe('a line of requests', function()
  --- Serves one every `gap` microseconds while `per_turn(i)` come, spread over the gap, for `turns` turns.
  --- Returns who was served, the line, the time, and the number of the last that came.
  local function run(line, turns, gap, per_turn, at, number)
    local served, waited = {}, {}
    at, number = at or 0, number or 0
    local came = {}
    for turn = 1, turns do
      local n = per_turn(turn)
      for i = 1, n do
        number = number + 1
        came[number] = at + i * gap // (n + 1)
        line:push(number, came[number])
      end
      at = at + gap
      if line:state() > 0 then
        local who = line:take(at)
        served[#served + 1] = who
        waited[#waited + 1] = came[who] and at - came[who]
      end
    end
    return served, line, at, number, waited
  end

  it('is served in the order in which they came', function()
    local line = admission.line()
    for i = 1, 100 do line:push(i, i) end
    for i = 1, 100 do assert.equal(i, line:take(1000 + i)) end
    assert.equal(0, (line:state()))
  end)

  it('gets shorter by those who give up', function()
    local line = admission.line()
    for i = 1, 4 do line:push(i, i) end
    line:remove(1)
    line:remove(3)
    assert.equal(2, line:take(10))
    assert.equal(4, line:take(11))
  end)

  it('is not overloaded by a burst, however long that takes', function()
    local line = admission.line()
    for i = 1, 500 do line:push(i, 1) end
    for i = 1, 500 do
      assert.equal(i, line:take(i * INTERVAL))
      assert.is_false((select(2, line:state())))
      assert.is_nil(line:overdue(i * INTERVAL, 1))
    end
  end)

  it('is not overloaded by a few who come while a burst is worked off', function()
    local line = admission.line()
    for i = 1, 400 do line:push(i, 1) end
    local served = run(line, 400, INTERVAL // 2, function(turn) return turn % 4 == 0 and 1 or 0 end, 1, 400)
    for i = 1, 400 do assert.equal(i, served[i]) end
  end)

  it('is not overloaded while it runs empty now and then', function()
    local line = admission.line()
    run(line, 1000, INTERVAL, function(turn) return turn % 7 == 0 and 6 or 0 end)
    assert.is_false((select(2, line:state())))
  end)

  it('is not overloaded by what comes while nobody is served', function()
    local line = admission.line()
    for i = 1, 1000 do line:push(i, i * INTERVAL) end
    assert.is_false((select(2, line:state())))
  end)

  it('is overloaded within two intervals, or eight turns, by ten times what it takes', function()
    for _, gap in ipairs { INTERVAL // 100, INTERVAL // 4, INTERVAL, INTERVAL * 10 } do
      local line = admission.line()
      local turns = math.max(2 * INTERVAL // gap, 2 * admission.TURNS) + 2
      run(line, turns, gap, function() return 10 end)
      assert.is_true((select(2, line:state())), gap .. ' us a turn')
    end
  end)

  it('for the processor is not overloaded by those who come back, unless they wait for very long', function()
    local line = admission.line 'unbounded'
    for i = 1, 40 do line:push(i, 1) end
    local served, _, at, number = run(line, 400, INTERVAL, function() return 1 end, 1, 40)
    for i = 1, 400 do assert.equal(i, served[i]) end
    assert.is_false((select(2, line:state())))
    run(line, 20, 100 * INTERVAL, function() return 1 end, at, number)
    assert.is_true((select(2, line:state())))
  end)

  it('for the processor is overloaded by ten times what it takes, until no more comes than goes', function()
    local line = admission.line 'unbounded'
    local _, _, at, number = run(line, 60, INTERVAL // 4, function() return 10 end)
    assert.is_true((select(2, line:state())))
    run(line, 60, INTERVAL // 4, function() return 1 end, at, number)
    assert.same({ 540, false }, { line:state() })
  end)

  it('for the processor bears a burst, however long it takes to work it off', function()
    local line = admission.line 'unbounded'
    local _, _, at, number = run(line, 32, INTERVAL // 4, function() return 10 end)
    local served = run(line, 280, INTERVAL // 4, function() return 0 end, at, number)
    for i = 1, 280 do assert.equal(32 + i, served[i]) end
    assert.same({ 8, false }, { line:state() })
  end)

  it('is overloaded by those who come back as soon as they are served', function()
    local line = admission.line()
    for i = 1, 40 do line:push(i, 1) end
    run(line, 20, INTERVAL, function() return 1 end, 1, 40)
    assert.is_true((select(2, line:state())))
  end)

  it('serves the newest first while it is overloaded and until it is short, then the oldest', function()
    local line = admission.line()
    local gap = INTERVAL // 2
    local _, _, at, number = run(line, 50, gap, function() return 3 end)
    local served
    served, _, at, number = run(line, 20, gap, function() return 3 end, at, number)
    for i = 1, 20 do assert.equal(number - 3 * (20 - i), served[i]) end
    assert.is_true((select(2, line:state())))
    local left = line:state()
    served = run(line, left, gap, function() return 0 end, at, number)
    for i = 2, left - 10 do assert.is_true(served[i] < served[i - 1]) end
    assert.equal(served[left - 1] + 1, served[left])
    assert.same({ 0, false }, { line:state() })
    for i = 1, 20 do line:push(i, at) end
    for i = 1, 20 do assert.equal(i, line:take(at + i * gap)) end
  end)

  it('leaves nobody below those who go on coming, as long as it is short', function()
    local line = admission.line()
    local _, _, at, number = run(line, 20, INTERVAL, function() return 10 end)
    while line:overdue(at, 0) do line:remove(line:overdue(at, 0)) end
    local left = line:state()
    local from, came, longest = number, {}, 0
    for _ = 1, 100 do -- as many as are served
      at = at + INTERVAL
      local who = line:take(at)
      if who > from then longest = math.max(longest, at - came[who]) end
      number = number + 1
      came[number] = at
      line:push(number, at)
      assert.is_true((select(2, line:state())))
    end
    assert.equal(left, line:state())
    assert.equal(number, line:last())
    assert.is_true(longest <= 2 * left * INTERVAL, longest)
  end)

  it('is not overloaded as long as it is short, however often somebody comes back', function()
    local line = admission.line()
    for i = 1, 7 do line:push(i, 1) end
    local served = run(line, 300, INTERVAL, function() return 1 end, 1, 7)
    for i = 1, 300 do assert.equal(i, served[i]) end
  end)

  it('is not overloaded as long as nobody waits for long', function()
    local line = admission.line()
    for i = 1, 40 do line:push(i, 1) end
    local served = run(line, 4000, 100, function() return 1 end, 1, 40)
    for i = 1, 4000 do assert.equal(i, served[i]) end
  end)

  it('keeps those short that it serves, under ten times what it takes', function()
    local line = admission.line()
    local _, _, _, _, waited = run(line, 400, 2500, function() return 10 end)
    local long = 0
    for i = 1, 400 do
      if waited[i] > 2500 then long = long + 1 end
    end
    assert.is_true(long <= 16, long)
  end)

  it('tells who has waited too long only while it is overloaded', function()
    local line = admission.line()
    local _, _, at = run(line, 50, INTERVAL, function() return 10 end)
    local oldest = line:overdue(at, 100000)
    assert.is_true(oldest < 40)
    assert.is_nil(line:overdue(at, 10 * at))
    line:remove(oldest)
    assert.is_true(line:overdue(at, 100000) > oldest)
  end)

  it('keeps a few, however long they wait', function()
    local line = admission.line()
    local _, _, at = run(line, 50, INTERVAL, function() return 10 end)
    local left = line:state()
    while line:overdue(at, 0) do
      line:remove(line:overdue(at, 0))
      left = left - 1
    end
    assert.equal(8, left)
    assert.equal(left, (line:state()))
  end)

  it('names the one who would be served last', function()
    local line = admission.line()
    for i = 1, 3 do line:push(i, i) end
    assert.equal(3, line:last())
    run(line, 50, INTERVAL, function() return 2 end, 10, 3)
    assert.is_true(line:last() < 50)
  end)

  it('serves those first for whom others wait, and sheds none of them', function()
    local line = admission.line()
    local _, _, at = run(line, 50, INTERVAL, function() return 10 end)
    assert.is_true((select(2, line:state())))
    for i = 1001, 1020 do line:push(i, 1, true) end
    assert.is_true(line:overdue(at, 0) < 1000)
    assert.is_true(line:last() < 1000)
    for i = 1001, 1019 do assert.equal(i, line:take(at)) end
    line:remove(1020)
    assert.is_true(line:take(at) < 1000)
  end)

  it('is not overloaded by calls that its own calls make', function()
    local line = admission.line()
    for i = 1, 200 do line:push(i, 1) end
    local at = 1
    for i = 1, 200 do
      at = at + INTERVAL
      assert.equal(i, line:take(at))
      line:push(1000 + i, at, true)
      assert.equal(1000 + i, line:take(at))
      assert.is_false((select(2, line:state())))
    end
  end)

  it('that was promised is served in order whatever comes, and nobody waits too long', function()
    local line = admission.line 'promised'
    local served, _, at = run(line, 300, INTERVAL, function() return 10 end)
    for i = 1, 300 do assert.equal(i, served[i]) end
    assert.is_nil(line:overdue(at, 1))
  end)
end)

describe('turns of priorities', function()
  local function count(turns, n, ...)
    local counts = { 0, 0, 0 }
    for _ = 1, n do
      local rank = turns:step(...)
      counts[rank] = counts[rank] + 1
    end
    return counts
  end

  it('go to the highest that is there', function()
    assert.equal(1, admission.turns():step(true, true, true))
    assert.equal(2, admission.turns():step(false, true, true))
    assert.equal(3, admission.turns():step(false, false, true))
  end)

  it('pass nobody over for ever', function()
    local counts = count(admission.turns(), 850, true, true, true)
    assert.is_true(counts[1] > 600 and counts[2] > 140 and counts[3] >= 45, table.concat(counts, ' '))
    counts = count(admission.turns(), 170, true, false, true)
    assert.same({ 160, 0, 10 }, counts)
    counts = count(admission.turns(), 170, false, true, true)
    assert.same({ 0, 160, 10 }, counts)
  end)

  it('are not saved up by who is not there', function()
    local turns = admission.turns()
    count(turns, 100, true, false, false)
    for _ = 1, 16 do assert.equal(1, turns:step(true, false, true)) end
    assert.equal(3, turns:step(true, false, true))
    assert.equal(1, turns:step(true, false, true))
  end)

  it('take a priority that is not known for a normal one', function()
    assert.same({ 2, 1, 2, 3, 2, 2 }, {
      admission.rank(0), admission.rank(1), admission.rank(2), admission.rank(3), admission.rank(4), admission.rank(-1),
    })
  end)
end)

describe('the pace of a queue', function()
  it('is how long a handler takes, before anybody has waited', function()
    local pace = admission.pace()
    for i = 1, 100 do pace:ended(i * 1000000, 80000, 0) end
    local wait = pace:wait(4, 0)
    assert.is_true(wait > 19000 and wait <= 20000, wait)
  end)

  it('is the time between two ends, once somebody waits', function()
    local pace = admission.pace()
    for i = 1, 100 do pace:ended(i * 2500, 10000, 7) end
    local wait = pace:wait(4, 100)
    assert.is_true(math.abs(wait - 101 * 2500) <= 101, wait)
  end)

  it('does not count the time in which nobody waited', function()
    local pace = admission.pace()
    for i = 1, 100 do pace:ended(i * 2500, 10000, 1) end
    pace:ended(260000, 10000, 0)
    pace:ended(900000000, 10000, 1)
    pace:ended(900002500, 10000, 1)
    assert.is_true(pace:wait(4, 0) < 4000, pace:wait(4, 0))
  end)

  it('is nothing at first', function() assert.equal(0, admission.pace():wait(0, 100)) end)
end)

describe('what a call computes', function()
  it('is told by how many end while one tick after the other hits them', function()
    assert.equal(0, admission.cost {})
    assert.equal(1000000, admission.cost { 4, 5000, 4, 5000 })
    assert.equal(5000000, admission.cost { 0, 5000, 0, 5000, 0, 5000 })
    assert.is_true(admission.cost { 20000, 5000 } < 1000)
    assert.equal(1000000, admission.cost({ 4, 5000, 4, 5000 }, true)) -- that wait, and have not ended
  end)

  it('follows a handler that changes within some ticks', function()
    local hits = { 20000, 5000 }
    for _ = 1, 4 do table.move({ 0, 5000 }, 1, 2, #hits + 1, hits) end
    assert.is_true(admission.cost(hits) > 4000000)
    for _ = 1, 12 do table.move({ 20000, 5000 }, 1, 2, #hits + 1, hits) end
    assert.is_true(admission.cost(hits) < 10000)
  end)
end)
