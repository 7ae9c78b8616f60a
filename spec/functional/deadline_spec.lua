local cluster = require 'spec.support.cluster'

-- luacheck: globals mesh report, ignore 211/guard 431

local ACCURACY = 0.02 -- seconds; later only where others need the processor

local function worker()
  mesh.action('hold', function(seconds)
    local guard <close> = setmetatable({}, { __close = function() report('closed', mesh.now()) end })
    report('began', mesh.now())
    mesh.sleep(seconds)
    return 'held'
  end)
  mesh.action('one', function(seconds)
    report 'one began'
    mesh.sleep(seconds)
    return 'one done'
  end, { concurrency = 1 })
  mesh.action('left', function()
    local deadline = mesh.context().deadline
    return deadline and deadline - mesh.now()
  end)
  mesh.action('nested', function(...)
    local deadline = mesh.context().deadline
    return mesh.with { timeout = 100 }.call('left'), deadline and deadline - mesh.now()
  end)
  mesh.action('quick', function(seconds)
    mesh.sleep(seconds)
    return 'quick'
  end, { timeout = 0.3 })
  mesh.action('late', function(seconds)
    pcall(mesh.sleep, seconds)
    return 'late'
  end)
end

cluster.describe('the timeout of a call', cluster.kinds, function(over)
  local a, b

  before_each(function()
    b = over.net:node('b', {}, worker)
    a = over.net:node('a', { peers = { b } })
    a:eval(function() mesh.wait 'hold' end)
  end)

  it('ends it in time and stops the handler', function()
    for _, seconds in ipairs { 0.05, 0.3 } do
      local err, took = a:eval(function(s)
        local started = mesh.now()
        local _, err = pcall(mesh.with { timeout = s }.call, 'hold', 100)
        return err, mesh.now() - started
      end, seconds)
      assert.equal('TIMEOUT', err.code)
      assert.equal('unknown', err.outcome)
      assert.equal('hold', err.action)
      assert.is_true(took >= seconds - ACCURACY and took <= seconds + over.net:within(ACCURACY), took)
    end
    over.net:settle()
    local reports = b:reports()
    assert.same({ 'began', 'closed', 'began', 'closed' }, b:reported())
    for i, seconds in ipairs { 0.05, 0.3 } do -- the handler began a little later than its caller
      local took = reports[2 * i][2] - reports[2 * i - 1][2]
      assert.is_true(took <= seconds + over.net:within(ACCURACY), took)
      if over.net.virtual then assert.is_true(took >= seconds - ACCURACY, took) end
    end
    assert.equal(0, over.net:metrics().requests_now)
  end)

  it('leaves the handler calls with which it cleans up, as long as that may take', function()
    b:eval(function()
      mesh.action('unlock', function()
        local deadline = mesh.context().deadline
        return deadline and deadline - mesh.now()
      end)
      local function unlocking(where)
        return setmetatable({}, {
          __close = function(_, err)
            local ok, left = pcall(mesh.call, 'unlock')
            report(('%s %s %s'):format(where, err.code, ok and left > 1 and left <= 2))
          end,
        })
      end
      mesh.action('lock', function()
        local cleanup <close> = unlocking 'handler' -- luacheck: ignore 211
        mesh.sleep(100)
      end)
      mesh.action('lock within', function()
        pcall(mesh.timeout, 0.05, function()
          local cleanup <close> = unlocking 'scope' -- luacheck: ignore 211
          mesh.sleep(100)
        end)
      end)
    end)
    a:eval(function()
      mesh.wait 'lock within'
      pcall(mesh.with { timeout = 0.1 }.call, 'lock')
      mesh.call 'lock within'
    end)
    b:wait_reports(2)
    assert.same({ 'handler TIMEOUT true', 'scope TIMEOUT true' }, b:reported())
  end)

  it('travels with the call and is inherited by calls in the handler', function()
    local left, outer = a:eval(function() return mesh.with { timeout = 3 }.call 'nested' end)
    local passed = over.net:within(0.1) -- by far the most that is gone meanwhile
    assert.is_true(outer > 3 - passed and outer <= 3, outer)
    assert.is_true(left <= 3 and left >= outer - 0.002, left .. ' of ' .. outer) -- which is looked at after that
  end)

  it('is never for 0, and else what the node says', function()
    assert.is_nil((a:eval(function() return mesh.with { timeout = 0 }.call 'left' end)))
    local standard = a:eval(function() return mesh.call 'left' end)
    assert.is_true(standard > 10 - over.net:within(0.1) and standard <= 10, standard)
    local c = over.net:node('c', { peers = { b }, request_timeout = 0.1 })
    assert.equal('TIMEOUT', c:fails(function() mesh.call('hold', 100) end).code)
    local d = over.net:node('d', { peers = { b }, request_timeout = 0 })
    assert.is_nil((d:eval(function() return mesh.call 'left' end)))
  end)

  it('of queued work is not_executed, and it never runs', function()
    local first = a:start(function(s) return mesh.call('one', s) end, over.net.virtual and 0.3 or 1)
    b:wait_reports(1)
    local err = a:fails(function() mesh.with { timeout = 0.1 }.call('one', 0) end)
    assert.equal('TIMEOUT', err.code)
    assert.equal('not_executed', err.outcome)
    assert.equal('one done', (first:wait()))
    over.net:advance(0.05)
    assert.same({ 'one began' }, b:reported())
    assert.equal(1, over.net:metrics().requests_expired)
  end)

  it('that is over before it starts is not_sent', function()
    local err = a:fails(function() mesh.with { timeout = 1e-7 }.call('hold', 1) end)
    assert.equal('TIMEOUT', err.code)
    assert.equal('not_sent', err.outcome)
    over.net:settle()
    assert.same({}, b:reported())
  end)

  it('discards and counts a reply that comes too late', function()
    local err = a:fails(function() mesh.with { timeout = 0.05 }.call('late', 100) end)
    assert.equal('TIMEOUT', err.code)
    over.net:wait(function() return over.net:metrics().replies_late == 1 end, 'the late reply')
    assert.equal('late', a:eval(function() return mesh.call('late', 0) end))
  end)

  it('can be the own one of an action', function()
    assert.equal('quick', a:eval(function() return mesh.call('quick', 0.05) end))
    local err, took = a:eval(function()
      local started = mesh.now()
      local _, err = pcall(mesh.call, 'quick', 5)
      return err, mesh.now() - started
    end)
    assert.equal('TIMEOUT', err.code)
    assert.equal('unknown', err.outcome)
    assert.is_true(took < over.net:within(0.35), took)
  end)

  it('leaves nothing behind for calls that end before it', function()
    a:eval(function()
      for i = 1, 200 do mesh.call('late', 0) end
    end)
    assert.equal(0, over.net:metrics().calls_now)
  end)
end)

describe('a call without a timeout', function()
  it('waits for ever', function()
    local net = cluster.new 'mem'
    local b = net:node('b', {}, worker)
    local a = net:node('a', { peers = { b } })
    local task = a:start(function() return mesh.with { timeout = 0 }.call('hold', 86400) end)
    net:advance(86399)
    assert.equal('running', task:state())
    net:advance(2)
    assert.equal('held', (task:wait()))
    net:finish()
  end)
end)
