local testing = require 'perilune.testing'
local flow, wire, mem = testing.flow, testing.wire, testing.base.mem

local DATA, BODY, RESULT, MORE = 34, 33, 36, 1
local KIB, MIB = 1024, 1024 * 1024
local ITEMS, FIRST, MOST, LEAST = 1024, 256 * KIB, 8 * MIB, 16 * KIB

local function item(size) return wire.item.put_len(size) .. ('x'):rep(size) end

--- A producer and a consumer with a link between them, in virtual time by steps of `tick` microseconds.
--- `rate`: bytes a tick that the link takes. `delay`: microseconds each way. `size`: of an item. `late(now)`: more
--- delay of a grant. `take`: items that the consumer takes in a tick, nil: all. `make(now)`: whether the producer has
--- something.
---@return table bytes, windows: what was consumed, and the window, at the end of each tenth of a second
local function run(path, seconds)
  local tick, now = path.tick or 1000, 1000000
  local first = select(2, path.windows:info())
  local intake = flow.intake(ITEMS, first, MIB, path.windows, now)
  local credit = { items = ITEMS, bytes = first }
  local under_way, grants, consumed = {}, {}, 0
  local head, tail, ghead, gtail = 1, 0, 1, 0
  local body = item(path.size)
  local log = { bytes = {}, windows = {}, promised = {} }

  local function grant()
    local items, bytes = intake:grant(now)
    if items == nil then return end
    gtail = gtail + 1
    local late = path.late and path.late(now) or 0
    grants[gtail] = { at = now + path.delay + late, items = items, bytes = bytes }
  end

  -- An item that is longer than the credit is split, as flows do it.
  local rest = 0 -- of the item that is under way
  local function write()
    if rest > 0 then
      local n = math.min(rest, credit.bytes)
      if n == 0 then return 0 end
      rest = rest - n
      if rest == 0 then credit.items = credit.items - 1 end
      return n, { type = BODY, flags = rest > 0 and MORE or 0, aux = rest > 0 and 0 or 1, body = ('x'):rep(n) }
    end
    if credit.items == 0 or credit.bytes < 5 then return 0 end
    if path.make and not path.make(now) then return 0 end
    if credit.bytes >= #body then
      credit.items = credit.items - 1
      return #body, { type = DATA, aux = 1, body = body }
    end
    rest = #body - credit.bytes
    return credit.bytes, { type = DATA, flags = MORE, body = body:sub(1, credit.bytes) }
  end

  local room = 0
  for step = 1, seconds * 1000000 // tick do
    now = now + tick
    while ghead <= gtail and grants[ghead].at <= now do
      credit.items, credit.bytes = credit.items + grants[ghead].items, credit.bytes + grants[ghead].bytes
      grants[ghead], ghead = nil, ghead + 1
    end
    room = math.min(room + path.rate, path.rate * 2)
    while room >= #body do
      local n, frame = write()
      if n == 0 then break end
      room, credit.bytes = room - n, credit.bytes - n
      tail, frame.at = tail + 1, now + path.delay
      under_way[tail] = frame
    end
    while head <= tail and under_way[head].at <= now do
      under_way[head].now = now
      assert.is_truthy((intake:frame(under_way[head])))
      under_way[head], head = nil, head + 1
      grant()
      while not path.take and intake:next() do
        consumed = consumed + #body
        grant()
      end
    end
    for _ = 1, path.take or 0 do
      if not intake:next() then break end
      consumed = consumed + #body
      grant()
    end
    if step * tick % 100000 == 0 then
      log.bytes[#log.bytes + 1] = consumed
      log.items, log.windows[#log.windows + 1] = intake:window()
      log.promised[#log.promised + 1] = path.windows:info()
    end
  end
  log.rtt = select(3, intake:window())
  intake:close()
  return log
end

--- A producer, a consumer and what is between them take turns on one processor: in each round the producer writes all
--- that it may, and the consumer takes all of it and grants more, once. A round takes `idle` microseconds, and one more
--- for `rate` bytes. With their length, items are of a power of two, so that a window holds a number of them.
---@return table log `windows` at the end of each round, and how long that `took`
local function turns(path, seconds)
  local now, stop = 1000000, 1000000 + seconds * 1000000
  local first = select(2, path.windows:info())
  local intake = flow.intake(ITEMS, first, MIB, path.windows, now)
  local body = item(path.size)
  local items, bytes = ITEMS, first
  local log = { windows = {}, took = {} }
  while now < stop do
    local count = math.min(items, bytes // #body)
    local took = path.idle + count * #body // path.rate
    items, bytes, now = items - count, bytes - count * #body, now + took
    for _ = 1, count do
      assert.is_truthy((intake:frame { type = DATA, aux = 1, body = body, now = now }))
      intake:next()
    end
    local more_items, more_bytes = intake:grant(now)
    items, bytes = items + (more_items or 0), bytes + (more_bytes or 0)
    log.windows[#log.windows + 1] = select(2, intake:window())
    log.took[#log.took + 1] = took
  end
  intake:close()
  return log
end

describe('the window of a stream', function()
  local live, windows

  before_each(function()
    live = mem.live()
    windows = flow.windows(64 * MIB)
  end)

  after_each(function()
    assert.equal(0, (windows:info()), 'everything is given back')
    collectgarbage()
    assert.equal(live, mem.live())
  end)

  it('grows until a path with 50 ms each way is full', function()
    local log = run({ delay = 50000, tick = 2000, rate = 20000, size = 10000, windows = windows }, 4) -- 10 MB/s
    local last_two = log.bytes[40] - log.bytes[20]
    assert.is_true(last_two > 0.9 * 2 * 10e6, last_two)
    assert.is_true(log.windows[40] <= 4 * MIB, log.windows[40])
    assert.is_true(log.rtt >= 100000 and log.rtt < 120000, log.rtt)
    assert.equal(log.windows[20], log.windows[40], 'and no further')
  end)

  it('grows as far where the delay varies', function()
    local log = run({
      delay = 50000, tick = 2000, rate = 20000, size = 10000, windows = windows,
      late = function(now) return now // 2000 * 7919 % 60000 end, -- 0 to 60 ms
    }, 8)
    local last_four = log.bytes[80] - log.bytes[40]
    assert.is_true(last_four > 0.9 * 4 * 10e6, last_four)
    assert.is_true(log.windows[80] <= 4 * MIB, log.windows[80])
  end)

  it('grows in items where they are small', function()
    local log = run({ delay = 50000, rate = 200, size = 9, windows = windows }, 3) -- 20 000 a second
    local last = log.bytes[30] - log.bytes[20]
    assert.is_true(last > 0.9 * 2e5, last)
    assert.is_true(log.items > 2000 and log.items <= 64 * KIB, log.items)
    assert.equal(FIRST, log.windows[30])
  end)

  it('stays as it is where the round trip is short', function()
    local log = run({ delay = 50, tick = 50, rate = 50000, size = 4000, windows = windows }, 0.2) -- 1 GB/s
    assert.equal(FIRST, log.windows[#log.windows])
    assert.equal(ITEMS, log.items)
  end)

  it('stays as it is where the round trip is short now and then, and else long for want of a processor', function()
    local log = run({
      delay = 50, tick = 50, rate = 50000, size = 16000, windows = windows,
      late = function(now) return now // 100000 % 10 ~= 0 and 2000 or 0 end,
    }, 0.5)
    assert.equal(FIRST, log.windows[#log.windows])
    assert.is_true(log.rtt < 500, log.rtt)
  end)

  it('stays as it is where the producer, the link or the consumer is what is slow', function()
    local n = 0
    local slow = {
      producer = { make = function() n = n + 1; return n % 3 == 0 end, rate = 100000 },
      link = { rate = 1000 },
      consumer = { take = 1, rate = 100000 },
    }
    for who, path in pairs(slow) do
      path.delay, path.size, path.windows = 20000, 2000, windows
      local log = run(path, 2)
      assert.equal(FIRST, log.windows[#log.windows], who)
      assert.equal(ITEMS, log.items, who)
    end
  end)

  it('grows little where nodes take turns on a processor, which needs as long for more', function()
    local log = turns({ idle = 600, rate = 600, size = 16382, windows = windows }, 0.5) -- at most 600 MB/s
    local last = #log.windows
    assert.is_true(log.windows[last] <= MIB, log.windows[last])
    assert.is_true(log.took[last] > 1000 and log.took[last] < 3000, log.took[last])
  end)

  it('does not grow there in the long run', function()
    local log = turns({ idle = 12000, rate = 30, size = 32765, windows = windows }, 60)
    for n, window in ipairs(log.windows) do assert.is_true(window <= MIB, n) end
  end)

  it('grows where they take turns that are long because of others', function()
    local log = turns({ idle = 10000, rate = 10000, size = 16382, windows = windows }, 1) -- 0.8 of 10 ms
    assert.equal(MOST, log.windows[#log.windows])
  end)

  it('is back at once after looking whether the path has become shorter', function()
    local log = run({ delay = 50000, tick = 2000, rate = 20000, size = 10000, windows = windows }, 40) -- 10 MB/s
    local last_thirty = log.bytes[400] - log.bytes[100]
    assert.is_true(last_thirty > 0.95 * 30 * 10e6, last_thirty)
    assert.is_true(log.windows[400] <= 4 * MIB, log.windows[400])
    assert.is_true(log.rtt >= 100000 and log.rtt < 120000, log.rtt)
  end)

  it('is bounded', function()
    local log = run({ delay = 200000, tick = 10000, rate = 1000000, size = 16000, windows = windows }, 6)
    assert.equal(MOST, log.windows[#log.windows])
    assert.equal(MOST, log.promised[#log.promised])
  end)

  it('goes back to what it was when nothing has come for a while', function()
    local quiet = false
    local log = run({
      delay = 50000, tick = 2000, rate = 20000, size = 10000, windows = windows,
      make = function(now)
        local since = now - 1000000
        quiet = since > 1500000 and since < 9000000
        return not quiet and (since < 1500000 or since % 500000 == 0)
      end,
    }, 10)
    assert.is_true(log.windows[15] > 2 * FIRST)
    assert.equal(FIRST, log.windows[#log.windows])
  end)

  it('takes its part of what the node has left, and no more', function()
    local small = flow.windows(2 * MIB)
    local log = run({ delay = 50000, tick = 2000, rate = 100000, size = 10000, windows = small }, 2)
    local promised = log.promised[#log.promised]
    assert.is_true(log.windows[#log.windows] > LEAST)
    assert.is_true(promised <= 2 * MIB, promised)
  end)

  it('begins smaller, the more there are', function()
    local intakes, sum = {}, 0
    for i = 1, 1000 do
      local _, first = windows:info()
      assert.is_true(first <= FIRST and first >= LEAST)
      if i == 1 then assert.equal(FIRST, first) end
      intakes[i] = flow.intake(ITEMS, first, MIB, windows)
      sum = sum + first
    end
    assert.equal(LEAST, (select(2, windows:info())))
    assert.equal(sum, (windows:info()))
    assert.is_true(sum <= 64 * MIB + MIB, sum)
    for _, one in ipairs(intakes) do one:close() end
  end)

  it('becomes small when the node is short of memory, as what was granted is used up', function()
    local intake = flow.intake(ITEMS, FIRST, MIB, windows, 1)
    windows:info(true)
    assert.equal(LEAST, (select(2, windows:info())))
    local granted, size = 0, #item(4000)
    for n = 1, 300 do
      local _, _, open = intake:info()
      if open < size then break end
      assert.equal('items', (intake:frame { type = DATA, aux = 1, body = item(4000), now = n }))
      intake:next()
      local _, bytes = intake:grant(n)
      granted = granted + (bytes or 0)
      if n == 50 then assert.equal(0, granted, 'more than the window is still open') end
    end
    assert.is_true(granted > 0, 'it goes on')
    assert.equal(LEAST, (select(2, intake:window())))
    assert.is_true((select(3, intake:info())) <= LEAST)
    windows:info(false)
    intake:close()
  end)

  it('of a long result grows, too', function()
    local now, total = 0, 8 * MIB
    local intake = flow.intake(0, 64 * KIB, 64 * MIB, windows, now)
    intake:frame { type = RESULT, flags = MORE, body = string.pack('>I4', total) .. ('x'):rep(16000), now = 0 }
    local sent, trips, credit = 16000, 0, 64 * KIB
    while sent < total do -- all credit at once, then a round trip of 20 ms
      now, trips = now + 20000, trips + 1
      local more = 0
      while credit > 0 and sent < total do
        local n = math.min(16384, credit, total - sent)
        sent, credit = sent + n, credit - n
        intake:frame { type = BODY, flags = sent < total and MORE or 0, body = ('x'):rep(n), now = now }
        local _, bytes = intake:grant(now)
        more = more + (bytes or 0)
      end
      credit = credit + more
    end
    assert.is_true(trips < 30, trips) -- 128 with one window
    intake:close()
  end)
end)
