--- Calls and streams on links that are cut and come back.

local cluster = require 'spec.support.cluster'

-- luacheck: globals mesh report counts stopping

--- How long links are cut at random; a longer run: PERILUNE_SPEC_CUTS=60 ./dev test spec/functional/resume_spec.lua
local SECONDS = tonumber(os.getenv 'PERILUNE_SPEC_CUTS') or 1.5

local function worker()
  counts = {}
  mesh.action('once', function(id)
    counts[id] = (counts[id] or 0) + 1
    return id
  end)
  mesh.action('echo', function(...) return ... end)
  mesh.action('size', function(text) return #text end, { concurrency = 1000, queue = 1000 }) -- sheds none
  mesh.action('make', function(n) return ('r'):rep(n) end)
  mesh.action('count', function(n)
    for i = 1, n do coroutine.yield(i) end
    return 'done'
  end)
  mesh.action('chunks', function(n, size)
    for i = 1, n do coroutine.yield(string.char(i % 256):rep(size)) end
  end)
  mesh.action('hold', function()
    local guard <close> = setmetatable({}, { __close = function() report 'closed' end }) -- luacheck: ignore guard
    report 'began'
    mesh.sleep(1000)
  end)
end

--- Lets calls of `a` go on for a while, and until each proxy has cut a few links; then lets them end.
local function go_on(over, a, proxies)
  over.net:advance(over.kind == 'mem' and SECONDS / 20 or SECONDS) -- time that stands still is full of work
  over.net:wait(function()
    for _, proxy in ipairs(proxies) do
      if proxy:cuts() < 2 then return false end
    end
    return true
  end, 'links that are cut')
  for _, proxy in ipairs(proxies) do proxy:cut_every(0) end
  a:eval(function() stopping = true end)
end

cluster.describe('links of a relay that are cut', cluster.kinds, function(over)
  it('lose and repeat nothing of what passes it', function()
    local b = over.net:node('b', {}, worker)
    local to_b = over.net:proxy(b)
    local r = over.net:node('r', { peers = { to_b:url() } }, function() mesh.action('own', print) end)
    local to_r = over.net:proxy(r)
    local a = over.net:node('a', { peers = { to_r:url() } })
    a:eval(function() mesh.wait('once', 5) end)
    local calls = a:start(function()
      local ids, failed, tasks = 0, {}, {}
      for i = 1, 12 do
        tasks[i] = mesh.spawn(function()
          while not stopping do
            ids = ids + 1
            local id = ids
            local ok, err = pcall(function()
              assert(mesh.call('once', id) == id, 'another result')
              if i % 4 == 0 then assert(mesh.call('size', ('x'):rep(90000)) == 90000, 'another size') end
              if i % 4 ~= 1 then return end
              local last = 0
              for n in mesh.stream('count', 500) do
                assert(n == last + 1, 'a gap')
                last = n
              end
              assert(last == 500, 'a short stream')
            end)
            if not ok then failed[#failed + 1] = tostring(err) end
            mesh.sleep(0.002)
          end
        end)
      end
      mesh.all(tasks)
      return ids, failed
    end)
    for _, proxy in ipairs { to_b, to_r } do proxy:cut_every(200000) end
    go_on(over, a, { to_b, to_r })
    local ids, failed = calls:wait()
    assert.same({}, failed)
    local counts = b:eval(function() return counts end)
    assert.equal(ids, #counts)
    for i = 1, ids do assert.equal(1, counts[i]) end
    assert.equal(0, over.net:metrics().peers_lost)
  end)
end)

cluster.describe('a link that is cut and comes back', cluster.kinds, function(over)
  local function pair(options_a, options_b)
    local b = over.net:node('b', options_b or {}, worker)
    local proxy = over.net:proxy(b)
    options_a = options_a or {}
    options_a.peers = { proxy:url() }
    local a = over.net:node('a', options_a)
    a:eval(function() mesh.wait 'once' end)
    return a, b, proxy
  end

  local function nothing_lost()
    local metrics = over.net:metrics()
    assert.equal(0, metrics.peers_lost)
    assert.equal(0, metrics.calls_failed)
    assert.equal(0, metrics.protocol_errors)
    return metrics
  end

  it('carries on the call that runs', function()
    local a, b, proxy = pair()
    local call = a:start(function() return mesh.call 'hold' end)
    b:wait_reports(1)
    for i = 1, 3 do
      proxy:cut()
      over.net:wait(function() return over.net:metrics().links_resumed == 2 * i end, 'the link')
    end
    assert.equal('running', call:state())
    assert.equal(7, a:eval(function() return mesh.call('echo', 7) end))
    call:cancel()
    b:wait_reports(2)
    assert.equal(0, over.net:metrics().peers_lost)
  end)

  it('executes every call once, under calls, bodies and streams without end', function()
    local a, b, proxy = pair()
    local calls = a:start(function()
      local ids, failed = 0, {}
      local function try(f, ...)
        local ok, err = pcall(f, ...)
        if not ok then failed[#failed + 1] = tostring(err) end
      end
      local tasks = {}
      for _ = 1, 8 do
        tasks[#tasks + 1] = mesh.spawn(function()
          while not stopping do
            ids = ids + 1
            local id = ids
            try(function() assert(mesh.call('once', id) == id, 'another result') end)
            mesh.sleep(0.001)
          end
        end)
      end
      for size = 1, 3 do
        tasks[#tasks + 1] = mesh.spawn(function()
          local text = ('x'):rep(size * 45001)
          while not stopping do
            try(function()
              assert(mesh.call('size', text) == #text, 'another size')
              assert(#mesh.call('make', #text) == #text, 'another body')
            end)
            mesh.sleep(0.003)
          end
        end)
      end
      for n = 1, 4 do
        tasks[#tasks + 1] = mesh.spawn(function()
          while not stopping do
            try(function()
              local last = 0
              for i in mesh.stream('count', n * 1000) do
                assert(i == last + 1, 'a gap')
                last = i
              end
              assert(last == n * 1000, 'a short stream')
              last = 0
              for chunk in mesh.stream('chunks', 40, 5000 * n) do
                last = last + 1
                assert(chunk == string.char(last % 256):rep(5000 * n), 'another chunk')
              end
              assert(last == 40, 'a short stream')
            end)
            mesh.sleep(0.002)
          end
        end)
      end
      for _, task in ipairs(tasks) do task:await() end
      return ids, failed
    end)
    proxy:cut_every(over.kind == 'mem' and 200000 or 500000)
    go_on(over, a, { proxy })
    local ids, failed = calls:wait()
    assert.same({}, failed)
    local counts = b:eval(function() return counts end)
    assert.equal(ids, #counts)
    for i = 1, ids do assert.equal(1, counts[i]) end
    assert.is_true(nothing_lost().links_resumed > 0)
  end)

  it('lets deadlines pass while it is away, and cancels what they end', function()
    local a, b, proxy = pair({ resume_window = 2 }, { resume_window = 2 })
    local call = a:start(function() return mesh.with { timeout = 0.3 }.call 'hold' end)
    b:wait_reports(1)
    proxy:deafen(true)
    proxy:cut()
    over.net:settle()
    local late = a:start(function() return mesh.with { timeout = 0.2 }.call 'hold' end)
    assert.equal('TIMEOUT', call:failure().code)
    local err = late:failure()
    assert.equal('TIMEOUT', err.code)
    assert.equal('not_sent', err.outcome)
    proxy:deafen(false)
    b:wait_reports(2)
    assert.same({ 'began', 'closed' }, b:reported())
    assert.equal(0, over.net:metrics().peers_lost)
  end)

  it('answers a ping that was under way', function()
    local a, b, proxy = pair()
    proxy:stall(true)
    local ping = a:start(function(id) return mesh.ping(id) end, b:id())
    over.net:settle()
    proxy:stall(false)
    proxy:cut()
    assert.is_true(ping:wait() > 0)
  end)

  it('fails its calls at both ends when it does not come back', function()
    local a, b, proxy = pair()
    local call = a:start(function() return mesh.call 'hold' end)
    b:wait_reports(1)
    proxy:deafen(true)
    proxy:cut()
    local cut = over.net:now()
    over.net:settle()
    local unsent = a:start(function() return mesh.call('echo', 1) end)
    local err = call:failure()
    assert.equal('PEER_LOST', err.code)
    assert.equal('unknown', err.outcome)
    local away = over.net:now() - cut
    assert.is_true(away > 0.7 and away <= over.net:within(0.75 + 0.1), away)
    b:wait_reports(2)
    err = unsent:failure()
    assert.equal('PEER_LOST', err.code)
    assert.equal('not_sent', err.outcome)
    assert.equal(2, over.net:metrics().peers_lost)
  end)

  it('makes senders wait, and lets them go on', function()
    local a, b, proxy = pair({ resume_window = 10 }, { resume_window = 10 })
    proxy:deafen(true)
    proxy:cut()
    local calls = a:start(function()
      local tasks = {}
      for i = 1, 500 do tasks[i] = mesh.spawn(mesh.with { timeout = 0 }.call, 'size', ('y'):rep(60000)) end
      local sum = 0
      for _, n in ipairs(mesh.all(tasks)) do sum = sum + n end
      return sum
    end)
    over.net:advance(0.3)
    assert.equal('running', calls:state())
    proxy:deafen(false)
    assert.equal(500 * 60000, calls:wait())
    assert.is_false(b:over())
    assert.equal(0, nothing_lost().links_cut)
  end)
end)
