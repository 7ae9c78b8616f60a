--- runtime/peer/heartbeat: when to ping, when to give up.

local testing = require 'perilune.testing'

local S = 1000000

describe('a heartbeat', function()
  local h
  before_each(function() h = testing.peer.heartbeat(2 * S, 3, 10 * S) end)

  --- Ticks when due, as long as it goes on; the decisions and the end.
  local function run(heard)
    local decisions = {}
    while true do
      local now = h:due()
      local decision = h:tick(now)
      decisions[#decisions + 1] = decision
      if decision == 'lost' or #decisions > 50 then return decisions, now end
      if heard and heard(now) then h:heard(now) end
    end
  end

  it('pings every interval while it hears something', function()
    for i = 1, 20 do
      assert.equal((10 + 2 * i) * S, h:due())
      h:heard(h:due() - 1000)
      assert.equal('ping', (h:tick(h:due())))
    end
  end)

  it('is lost after three silent intervals, and not before', function()
    local decisions, at = run()
    assert.same({ 'missed', 'missed', 'lost' }, decisions)
    assert.equal(16 * S, at)
  end)

  it('counts from the last byte, not from a tick', function()
    h:heard(11 * S + 5)
    local decisions, at = run()
    assert.same({ 'ping', 'missed', 'missed', 'lost' }, decisions)
    assert.equal(17 * S + 5, at)
  end)

  it('forgets misses with any sign of life', function()
    assert.equal('missed', (h:tick(12 * S)))
    assert.equal('missed', (h:tick(14 * S)))
    h:heard(15 * S)
    assert.equal('ping', (h:tick(16 * S)))
    local _, at = run()
    assert.equal(21 * S, at)
  end)

  it('does not take its own absence for silence', function()
    h:heard(11 * S)
    local decision, due = h:tick(500 * S) -- was stopped for 488 s
    assert.equal('ping', decision)
    assert.equal(502 * S, due)
    local _, at = run()
    assert.is_true(at > 504 * S and at <= 506 * S, tostring(at))
  end)

  it('does not hide a silent peer behind ticks that are a little late', function()
    for i = 1, 10 do
      local now = h:due() + 1000
      if h:tick(now) == 'lost' then
        assert.is_true(i <= 4)
        assert.is_true(now - 10 * S <= 6 * S + 10000, tostring(now))
        return
      end
    end
    error 'never lost'
  end)

  it('smooths round trips', function()
    assert.equal(800, h:measured(800))
    assert.equal(800, h:measured(800))
    assert.equal(900, h:measured(1600))
    local rtt
    for _ = 1, 100 do rtt = h:measured(100) end
    assert.is_true(rtt >= 100 and rtt <= 110, tostring(rtt))
  end)

  it('knows a measured round trip of nothing from none', function()
    assert.equal(1, h:measured(0))
  end)
end)
