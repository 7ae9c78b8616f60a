--- A new version of a script takes the place of the old one while calls go on.

local cluster = require 'spec.support.cluster'

-- luacheck: globals mesh report, ignore 111 112 113 211/cleanup

local function v1()
  mesh.action('v', function() return 1 end)
  mesh.action('slow', function(seconds)
    report 'began'
    mesh.sleep(seconds)
    return 1
  end)
  mesh.action('stream', function(n)
    for i = 1, n do
      coroutine.yield(1, i)
      mesh.sleep(0.1)
    end
    return 'ended by 1'
  end)
  mesh.action('old only', function() return 1 end)
  mesh.action('reload', function() return mesh.reload(), 1 end)
  mesh.action('generation', function() return mesh.self().generation end)
end

local function v2()
  mesh.action('v', function() return 2 end)
  mesh.action('slow', function() return 2 end)
  mesh.action('stream', function() return 'ended by 2' end)
  mesh.action('new only', function() return 2 end)
  mesh.action('reload', function() return mesh.reload(), 2 end)
  mesh.action('generation', function() return mesh.self().generation end)
end

local DIFFERENCE = '+new only -old only ~generation ~reload ~slow ~stream ~v'

cluster.describe('a reload', { 'mem', 'tcp' }, function(over)
  local function pair(main)
    local b = over.net:node('b', {}, main or v1)
    local a = over.net:node('a', { peers = { b } })
    return a, b
  end

  local function call(a, name, ...)
    return a:eval(function(action, ...) return mesh.call(action, ...) end, name, ...)
  end

  it('puts the new version in the place of the old one, and says what is different', function()
    local a, b = pair()
    assert.equal(1, call(a, 'v'))
    assert.equal(1, call(a, 'generation'))
    assert.same({ generation = 2, text = DIFFERENCE }, b:reloaded(v2))
    assert.equal(2, call(a, 'v'))
    assert.equal(2, call(a, 'generation'))
    assert.matches('reloaded.*generation=2.*' .. DIFFERENCE:gsub('[+-]', '%%%0'), over.net:log())
  end)

  it('tells others of new actions, and that old ones are gone', function()
    local a, b = pair()
    b:reloaded(v2)
    assert.equal(2, a:eval(function()
      mesh.wait('new only', 5)
      return mesh.call 'new only'
    end))
    local err = a:fails(function() return mesh.call 'old only' end)
    assert.equal('NOT_FOUND', err.code)
    assert.equal('not_sent', err.outcome)
  end)

  it('lets calls and streams in flight finish in the version in which they began', function()
    local a, b = pair()
    local slow = a:start(function() return mesh.call('slow', 0.5) end)
    local stream = a:start(function()
      local s, sum = mesh.stream('stream', 10), 0
      for version, i in s do
        assert(version == 1)
        sum = sum + i
      end
      return sum, s:result()
    end)
    b:wait_reports(1)
    b:reloaded(v2)
    assert.equal(2, call(a, 'slow', 0))
    assert.equal(1, (slow:wait()))
    assert.same({ 55, 'ended by 1' }, { stream:wait() })
  end)

  it('is asked for by a handler, whose call it does not disturb', function()
    local a = pair()
    local report, version = a:eval(function() return mesh.call 'reload' end)
    assert.equal(1, version)
    assert.equal(2, report.generation)
    assert.same({}, report.added)
    assert.same({}, report.removed)
    assert.same({ 'generation', 'old only', 'reload', 'slow', 'stream', 'v' }, report.replaced)
    assert.is_true(report.took >= 0)
  end)

  it('is followed by another, and each counts', function()
    local a, b = pair()
    for i = 2, 20 do
      assert.equal(i, b:reloaded(i % 2 == 0 and v2 or v1).generation)
      assert.equal(i % 2 == 0 and 2 or 1, call(a, 'v'))
    end
    assert.equal(20, call(a, 'generation'))
  end)
end)

cluster.describe('generations', { 'mem' }, function(over)
  local function pair(main, options)
    local b = over.net:node('b', options or {}, main or v1)
    local a = over.net:node('a', { peers = { b } })
    return a, b
  end

  local function call(a, name)
    return a:eval(function(action) return mesh.call(action) end, name)
  end

  it('are joined: what waits for its turn is served by the new one', function()
    local a, b = pair(function()
      mesh.action('one', function()
        report 'began'
        mesh.sleep(0.1)
        return 1
      end, { concurrency = 1 })
    end)
    local answers = a:start(function()
      local tasks = {}
      for i = 1, 4 do tasks[i] = mesh.spawn(mesh.call, 'one') end
      return mesh.all(tasks)
    end)
    b:wait_reports(1)
    b:reloaded(function()
      mesh.action('one', function() return 2 end, { concurrency = 1 })
    end)
    assert.same({ 1, 2, 2, 2 }, (answers:wait()))
  end)

  it('serve what waits for an action that is no more, before they go', function()
    local a, b = pair(function()
      mesh.action('gone', function()
        report 'began'
        mesh.sleep(0.1)
        return 1
      end, { concurrency = 1 })
    end)
    local answers = a:start(function()
      return mesh.all { mesh.spawn(mesh.call, 'gone'), mesh.spawn(mesh.call, 'gone') }
    end)
    b:wait_reports(1)
    b:reloaded(function() mesh.action('other', function() end) end)
    assert.same({ 1, 1 }, (answers:wait()))
  end)

  it('end their timers and background tasks before those of the next begin', function()
    local _, b = pair(function()
      mesh.action('v', function() end)
      mesh.every(0.1, function() report 'old tick' end)
      mesh.after(0.35, function() report 'old after' end)
      mesh.spawn(function()
        local cleanup <close> = setmetatable({}, { __close = function()
          mesh.sleep(0.05)
          report 'old ended'
        end })
        mesh.sleep(1000)
      end)
    end)
    over.net:advance(0.25)
    b:reloaded(function()
      mesh.action('v', function() end)
      mesh.spawn(function() report 'new began' end)
      mesh.every(0.1, function() report 'new tick' end)
    end)
    over.net:advance(0.2)
    assert.same({ 'old tick', 'old tick', 'old ended', 'new began', 'new tick' }, b:reported())
  end)

  it('keep what a call has spawned until it is over', function()
    local a, b = pair(function()
      mesh.action('v', function()
        local helper = mesh.spawn(function()
          mesh.sleep(0.2)
          return 'helped'
        end)
        mesh.spawn(function()
          mesh.sleep(1000)
        end)
        report 'began'
        return helper:await()
      end)
    end)
    local answer = a:start(function() return mesh.call 'v' end)
    b:wait_reports(1)
    b:reloaded(v2)
    assert.equal('helped', (answer:wait()))
    over.net:advance(3)
    assert.equal(0, over.net:metrics().tasks_now)
  end)

  it('hand values over, and clean up when they are drained', function()
    local a, b = pair(function()
      local count = 0
      mesh.action('count', function()
        count = count + 1
        return count
      end)
      mesh.action('slow', function()
        report 'slow began'
        mesh.sleep(1)
      end)
      mesh.on_unload(function() return count, { list = { 1, 2.5, 'x' } } end)
      mesh.on_close(function() report 'closed first' end)
      mesh.on_close(function() report 'closed' end)
    end)
    for _ = 1, 3 do a:eval(function() return mesh.call 'count' end) end
    local slow = a:start(function() return mesh.call 'slow' end)
    b:wait_reports(1)
    b:reloaded(function()
      local count
      mesh.action('count', function()
        count = count + 1
        return count
      end)
      mesh.on_load(function(previous, more)
        count = previous
        report('got', more)
      end)
    end)
    assert.equal(4, a:eval(function() return mesh.call 'count' end))
    assert.same({ 'got', { list = { 1, 2.5, 'x' } }, n = 2 }, b:reports()[2])
    assert.equal(2, #b:reports())
    slow:wait()
    over.net:advance(0.1)
    assert.same({ 'slow began', 'got', 'closed', 'closed first' }, b:reported())
  end)

  it('pass nothing to on_load where there is no on_unload, and do not call it at the start', function()
    local function main()
      mesh.action('v', function() end)
      mesh.on_load(function(...) report(select('#', ...)) end)
    end
    local _, b = pair(main)
    assert.same({}, b:reported())
    b:reloaded(main)
    assert.same({ 0 }, b:reported())
  end)

  it('go when their last call is over: no task, no memory is left', function()
    local a, b = pair()
    local function use() return b:memory() end
    for _ = 1, 10 do b:reloaded(v1) end
    over.net:advance(0.1)
    local before, live = use(), over.net:metrics()
    local slow = a:start(function() return mesh.call('slow', 1) end)
    b:wait_reports(1)
    for _ = 1, 5 do b:reloaded(v1) end
    slow:wait()
    over.net:advance(0.1)
    assert.equal(live.tasks_now, over.net:metrics().tasks_now)
    assert.is_true(use() < before * 1.2)
  end)

  it('are bounded: a reload waits until one has drained, and the newest text wins', function()
    local a, b = pair()
    local calls = {}
    for i = 1, 7 do
      calls[i] = a:start(function() return mesh.call('slow', 1) end)
      b:wait_reports(i)
      b:reloaded(v1)
    end
    b:reload(v1)
    over.net:advance(0.1)
    b:reload(v2)
    over.net:advance(0.1)
    assert.equal(7, #b:reloads())
    assert.matches('a reload waits', over.net:log())
    over.net:advance(2)
    for i = 1, 7 do assert.equal(1, (calls[i]:wait())) end
    assert.equal(8, #b:reloads())
    assert.equal(DIFFERENCE, b:reloads()[8].text)
  end)

  it('are cancelled when their calls last too long', function()
    local a, b = pair(nil, { reload_drain = 1 })
    local slow = a:start(function() return mesh.call('slow', 8) end)
    b:wait_reports(1)
    b:reloaded(v2)
    over.net:advance(0.9)
    assert.is_false(slow:ended())
    over.net:advance(0.2)
    local err = slow:failure()
    assert.equal('CANCELLED', err.code)
    assert.equal('unknown', err.outcome)
    assert.matches('another generation', err.message)
    assert.matches('calls last too long', over.net:log())
  end)

  it('end at their bound, too, when their calls last too long, and the reload goes on', function()
    local a, b = pair(nil, { reload_drain = 1 })
    local calls = {}
    for i = 1, 7 do
      calls[i] = a:start(function() return mesh.with { timeout = 0 }.call('slow', 1e6) end)
      b:wait_reports(i)
      b:reloaded(v1)
    end
    b:reload(v2)
    over.net:advance(0.5)
    assert.equal(7, #b:reloads())
    assert.equal(1, call(a, 'v'))
    over.net:advance(1)
    assert.equal(DIFFERENCE, b:reloads()[8].text)
    assert.equal(2, call(a, 'v'))
    for i = 1, 7 do assert.equal('CANCELLED', calls[i]:failure().code) end
  end)

  it('cannot register once another serves, nor take away what that one has', function()
    local a, b = pair(function()
      mesh.action('v', function()
        report 'began'
        mesh.sleep(0.1)
        local ok, err = pcall(mesh.action, 'v', function() end)
        return ok, err.code, mesh.remove 'v'
      end)
    end)
    local answer = a:start(function() return mesh.call 'v' end)
    b:wait_reports(1)
    b:reloaded(v2)
    assert.same({ false, 'DRAINING', false }, { answer:wait() })
    assert.equal(2, a:eval(function() return mesh.call 'v' end))
  end)

  it('may change what they register while they load', function()
    local a, b = pair()
    b:reloaded(function()
      mesh.action('v', function() return 'first' end)
      mesh.action('w', function() return 'never' end)
      mesh.action('v', function() return 'second' end)
      report(mesh.remove 'w', mesh.remove 'old only')
    end)
    assert.same({ true, false, n = 2 }, b:reports()[1])
    assert.equal('second', a:eval(function() return mesh.call 'v' end))
  end)

  it('use the mesh while they load, and the old one answers', function()
    local _, b = pair()
    b:reloaded(function()
      report(mesh.call 'v')
      mesh.action('v', function() return 2 end)
    end)
    assert.same({ 1 }, b:reported())
  end)

  it('may say again how the node is to be, which goes on as it is', function()
    local a, b = pair(function()
      mesh.action('v', function() end)
    end)
    b:reloaded(function()
      mesh.node { name = 'other', drain = 3 }
      mesh.action('v', function() return mesh.self().name end)
    end)
    assert.equal('b', a:eval(function() return mesh.call 'v' end))
    assert.matches('unknown option', b:reloaded(function()
      mesh.node { nonsense = 1 }
      mesh.action('v', function() end)
    end).failure)
  end)

  it('are made one after the other when many reloads are asked for at once', function()
    local _, b = pair()
    for _ = 1, 50 do b:reload(v2) end
    over.net:advance(1)
    assert.is_true(#b:reloads() >= 1 and #b:reloads() <= 2, #b:reloads() .. ' reloads')
  end)
end)
