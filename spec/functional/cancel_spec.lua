local cluster = require 'spec.support.cluster'

-- luacheck: globals mesh report, ignore 211/guard 431

cluster.describe('a cancelled call', cluster.kinds, function(over)
  local function worker(options)
    return over.net:node('b', options or {}, function()
      mesh.action('work', function(...)
        local guard <close> = setmetatable({}, { __close = function() report('closed', mesh.now()) end })
        report('began', ...)
        mesh.sleep(1000)
        report 'finished'
      end, { concurrency = 1 })
      mesh.action('echo', function(...) return ... end)
    end)
  end

  it('stops the handler and frees its slot', function()
    local b = worker()
    local a = over.net:node('a', { peers = { b } })
    local task = a:start(function() return mesh.call('work', 1) end)
    b:wait_reports(1)
    local cancelled = over.net:now()
    task:cancel()
    local err = task:failure()
    assert.same({ 'CANCELLED', 'cancelled' }, { err.code, task:state() })
    b:wait_reports(2)
    assert.same({ 'began', 'closed' }, b:reported())
    assert.is_true(b:reports()[2][2] - cancelled <= over.net:within(0.05))
    over.net:settle()
    local m = over.net:metrics()
    assert.same({ 0, 0 }, { m.requests_now, m.calls_now })

    local again = a:start(function() return mesh.call('work', 2) end) -- the slot is free
    b:wait_reports(3)
    again:cancel()
    assert.not_matches('handler failed', over.net:log())
  end)

  it('that waits for a slot never runs', function()
    local b = worker()
    local a = over.net:node('a', { peers = { b } })
    local first = a:start(function() return mesh.call('work', 'first') end)
    b:wait_reports(1)
    local second = a:start(function() return mesh.call('work', 'second') end)
    over.net:wait(function() return over.net:metrics().requests_queued_now == 1 end)
    second:cancel()
    over.net:wait(function() return over.net:metrics().requests_queued_now == 0 end)
    first:cancel()
    over.net:advance(0.05)
    assert.same({ 'began', 'closed' }, b:reported())
    assert.equal(0, over.net:metrics().requests_now)
  end)

  it('is cancelled with a race, a timeout or a scope around it', function()
    local b = worker()
    local a = over.net:node('a', { peers = { b } })
    assert.equal('quick', a:eval(function()
      return mesh.race { mesh.spawn(mesh.call, 'work'), mesh.spawn(function()
        mesh.sleep(0.05)
        return 'quick'
      end) }
    end))
    local err = a:fails(function()
      mesh.timeout(0.05, function() mesh.call 'work' end)
    end)
    assert.equal('TIMEOUT', err.code)
    assert.matches('out', a:fails(function()
      mesh.scope(function(scope)
        scope:spawn(mesh.call, 'work')
        mesh.sleep(0.05)
        error 'out'
      end)
    end))
    over.net:advance(0.05)
    assert.same({ 'began', 'closed', 'began', 'closed', 'began', 'closed' }, b:reported())
    assert.equal(0, over.net:metrics().calls_now)
  end)

  it('lets the handler clean up with waits of its own, for a while', function()
    local b = over.net:node('b', { cleanup_grace = 0.2 }, function()
      mesh.action('tidy', function(seconds)
        local guard <close> = setmetatable({}, {
          __close = function()
            report 'tidying'
            mesh.sleep(seconds)
            report 'tidy'
          end,
        })
        report 'began'
        mesh.sleep(1000)
      end)
    end)
    local a = over.net:node('a', { peers = { b } })
    for i, seconds in ipairs { 0.05, 5 } do
      local task = a:start(function(s) mesh.call('tidy', s) end, seconds)
      b:wait_reports(i == 1 and 1 or 4)
      task:cancel()
      over.net:advance(0.3)
    end
    assert.same({ 'began', 'tidying', 'tidy', 'began', 'tidying' }, b:reported())
    assert.equal(0, over.net:metrics().requests_now)
  end)

  it('reaches a handler that catches it at its next wait', function()
    local b = over.net:node('b', {}, function()
      mesh.action('stubborn', function()
        report 'began'
        for i = 1, 5 do
          local ok, err = pcall(mesh.sleep, 1000)
          report(ok, err.code)
        end
        return 'never mind'
      end)
    end)
    local a = over.net:node('a', { peers = { b } })
    local task = a:start(function() mesh.call 'stubborn' end)
    b:wait_reports(1)
    task:cancel()
    over.net:advance(0.05)
    assert.same({ 'began', false, false, false, false, false }, b:reported())
    assert.equal('CANCELLED', b:reports()[6][2])
    over.net:settle()
    assert.equal(0, over.net:metrics().requests_now)
    assert.equal(1, over.net:metrics().replies_late)
  end)

  it('of a large body stops its bytes', function()
    if over.net.virtual then return end -- there no time passes while bytes move
    local b = worker()
    local a = over.net:node('a', { peers = { b } })
    a:eval(function() mesh.wait 'echo' end)
    over.net:settle()
    local before = over.net:metrics().bytes_written
    a:eval(function()
      local task = mesh.spawn(mesh.call, 'echo', ('x'):rep(30000000))
      while mesh.metrics().calls_now == 0 do mesh.sleep(0) end
      task:cancel()
    end)
    over.net:advance(0.05)
    assert.is_true(over.net:metrics().bytes_written - before < 3000000)
    assert.equal(0, over.net:metrics().requests_now)
    assert.equal(1, a:eval(function() return mesh.call('echo', 1) end))
  end)
end)

describe('a task that is cancelled', function()
  local net
  before_each(function() net = cluster.new 'mem' end)
  after_each(function() net:finish() end)

  for what, code in pairs {
    ['mesh.sleep'] = function() mesh.sleep(1000) end,
    ['mesh.wait'] = function() mesh.wait 'nothing' end,
    ['mesh.ping'] = function() mesh.ping('silent', 1000) end,
    ['mesh.connect'] = function() mesh.connect 'mem://mute' end,
    ['a stream'] = function() (mesh.stream 'hold'):next() end,
    ['a result'] = function() (mesh.stream 'hold'):result() end,
    ['await'] = function() mesh.spawn(mesh.sleep, 5):await() end,
  } do
    it('leaves ' .. what, function()
      local b = net:node('silent', {}, function()
        mesh.action('hold', function() mesh.sleep(1000) end)
      end)
      local a = net:node('a', { peers = { b } })
      a:eval(function() mesh.wait 'hold' end)
      local task = a:start(code)
      net:settle()
      task:cancel 'not wanted'
      net:settle()
      if not task:ended() then -- answered within the turn
        net:advance(0.01)
      end
      assert.is_true(task:ended())
    end)
  end
end)
