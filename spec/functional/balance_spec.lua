local cluster = require 'spec.support.cluster'
local stranger = require 'spec.support.stranger'
local message = require 'perilune.testing'.wire.message

-- luacheck: globals mesh report, ignore 211/guard 431

--- An action `work` that holds its call for a while and says who did it; `who`, which is quick.
local function worker(options)
  return ([[
    local mesh = require 'perilune'
    local calls = 0
    mesh.action('work', function(seconds)
      calls = calls + 1
      mesh.sleep(seconds or 0.05)
      return mesh.self().name
    end, { %s })
    mesh.action('who', function() return mesh.self().name end, { %s })
    mesh.action('count', function() return calls end)
  ]]):format(options or '', options or '')
end

local function code(text) return assert(load(text)) end

local function workers(net, n, options)
  local list = {}
  for i = 1, n do list[i] = net:node('w' .. i, {}, code(worker(options and options(i)))) end
  return list
end

--- Makes `n` calls of `who` with options of mesh.with, given as text, and counts who answered.
local function count(node, n, options)
  return node:eval(code(([[
    local mesh = require 'perilune'
    local caller, counts = mesh.with { %s }, {}
    for i = 1, %d do
      local name = caller.call('who', i)
      counts[name] = (counts[name] or 0) + 1
    end
    return counts
  ]]):format(options, n)))
end

cluster.describe('calls to several providers', { 'mem', 'tcp' }, function(over)
  it('go to who has the fewest in flight', function()
    local a = over.net:node('a', { peers = workers(over.net, 2) })
    local counts = a:eval(function()
      local counts, tasks = {}, {}
      for i = 1, 20 do
        tasks[i] = mesh.spawn(function()
          local name = mesh.call 'work'
          counts[name] = (counts[name] or 0) + 1
        end)
      end
      for _, task in ipairs(tasks) do task:await() end
      return counts
    end)
    assert.is_true(math.abs(counts.w1 - 10) <= 1, counts.w1)
    assert.equal(20, counts.w1 + counts.w2)
  end)

  it('take turns among equals', function()
    local a = over.net:node('a', { peers = workers(over.net, 3) })
    assert.same({ w1 = 10, w2 = 10, w3 = 10 }, count(a, 30, ''))
  end)

  it('are spread as the strategy says', function()
    local a = over.net:node('a', { peers = workers(over.net, 3, function(i) return 'weight = ' .. i end) })
    assert.same({ w1 = 100, w2 = 100, w3 = 100 }, count(a, 300, "strategy = 'round_robin'"))
    assert.same({ w1 = 50, w2 = 100, w3 = 150 }, count(a, 300, "strategy = 'weighted'"))
    local drawn = count(a, 300, "strategy = 'random'")
    for _, name in ipairs { 'w1', 'w2', 'w3' } do assert.is_true(drawn[name] > 60, name) end
    local hashed = count(a, 30, "strategy = 'hash', key = 'the key'")
    assert.equal(30, select(2, next(hashed)))
    assert.is_nil(next(hashed, (next(hashed))))
    local keyless = count(a, 60, "strategy = 'hash'")
    for _, name in ipairs { 'w1', 'w2', 'w3' } do assert.is_true((keyless[name] or 0) > 5, name) end
    local two = count(a, 60, "strategy = 'p2c'")
    assert.equal(60, (two.w1 or 0) + (two.w2 or 0) + (two.w3 or 0))
  end)

  it('are spread as the action or the node says when the call does not', function()
    local by_action = workers(over.net, 2, function() return "strategy = 'local'" end)
    local a = over.net:node('a', { peers = by_action, strategy = 'round_robin' }, function()
      mesh.action('who', function() return 'a' end)
      mesh.action('mine', function() return 'a' end)
    end)
    assert.same({ a = 10 }, count(a, 10, ''))
    assert.same({ a = 10, w1 = 10, w2 = 10 }, count(a, 30, "strategy = 'round_robin'"))
    local how = a:eval(function() return { mesh.explain('who').said_by, mesh.explain('mine').strategy } end)
    assert.same({ 'action', 'round_robin' }, how)
  end)

  it('go to whom a function chooses', function()
    local a = over.net:node('a', { peers = workers(over.net, 3) })
    local seen = a:eval(function()
      local seen, answers = {}, {}
      local by_index = mesh.with {
        strategy = function(candidates, action)
          seen[#seen + 1] = { #candidates, action, candidates[1].hops, candidates[1].health }
          for i, c in ipairs(candidates) do
            if c.name == 'w2' then return i end
          end
        end,
      }
      local by_id = mesh.with { strategy = function(candidates) return candidates[1].id end }
      local by_name = mesh.with { strategy = function() return { 'w3', 'w1' } end }
      answers[1] = by_index.call 'who'
      answers[2] = by_id.call 'who':sub(1, 1)
      answers[3] = by_name.call 'who'
      local stream <close> = by_index.stream 'who'
      answers[4] = stream:result()
      return { seen, answers }
    end)
    assert.same({ { 3, 'who', 1, 'ok' }, { 3, 'who', 1, 'ok' } }, seen[1])
    assert.same({ 'w2', 'w', 'w3', 'w2' }, seen[2])
  end)

  it('fail with the error of such a function', function()
    local a = over.net:node('a', { peers = workers(over.net, 1) })
    local messages = a:eval(function()
      local messages = {}
      for i, strategy in ipairs {
        function() error('not today', 0) end, function() return 2 end, function() return 'nobody' end,
        function() end, function() return {} end, function() return { 1, true } end,
        function() mesh.sleep(1) end,
      } do
        messages[i] = tostring(select(2, pcall(mesh.with { strategy = strategy }.call, 'who')))
      end
      messages[#messages + 1] = select(2, pcall(mesh.with { strategy = print }.call, 'missing')).code
      return messages
    end)
    assert.equal('not today', messages[1])
    assert.matches('returned 2, which is no candidate', messages[2])
    assert.matches('returned nobody, which is no candidate', messages[3])
    assert.matches('returned nil, which', messages[4])
    assert.matches('empty list', messages[5])
    assert.matches('returned boolean, which', messages[6])
    assert.matches('cannot wait across a C boundary', messages[7])
    assert.equal('NOT_FOUND', messages[8])
  end)
end)

cluster.describe('a provider whose link is away', { 'mem' }, function(over)
  it('gets no calls while there is another, and its share when it is back', function()
    local w = workers(over.net, 2)
    local proxy = over.net:proxy(w[1])
    local a = over.net:node('a', { peers = { proxy:url(), w[2]:url() } })
    assert.same({ w1 = 5, w2 = 5 }, count(a, 10, ''))
    proxy:deafen(true)
    proxy:cut()
    over.net:settle()
    local before = over.net:now()
    assert.same({ w2 = 10 }, count(a, 10, ''))
    assert.is_true(over.net:now() - before < 0.1)
    local resting = a:eval(function()
      for _, c in ipairs(mesh.explain('who').candidates) do
        if c.standing == 'resting' then return c.name end
      end
    end)
    assert.equal('w1', resting)
    proxy:deafen(false)
    over.net:advance(0.5)
    assert.same({ w1 = 5, w2 = 5 }, count(a, 10, "strategy = 'round_robin'"))
    assert.equal(0, over.net:metrics().peers_lost)
  end)
end)

cluster.describe('a preference', { 'mem' }, function(over)
  it('for a region holds while it is healthy', function()
    local eu = over.net:node('eu', { region = 'eu' }, code(worker()))
    local us = over.net:node('us', { region = 'us' }, code(worker()))
    local nowhere = over.net:node('nowhere', {}, code(worker()))
    local a = over.net:node('a', { peers = { eu, us, nowhere } })
    assert.same({ eu = 10 }, count(a, 10, "prefer = { region = 'eu' }"))
    assert.same({ us = 10 }, count(a, 10, "prefer = { region = { 'us', 'eu' } }"))
    local found = count(a, 10, "prefer = { region = 'asia' }")
    assert.equal(10, (found.eu or 0) + (found.us or 0) + (found.nowhere or 0))
    us:finish()
    over.net:settle()
    assert.same({ eu = 10 }, count(a, 10, "prefer = { region = { 'us', 'eu' } }"))
    eu:finish()
    over.net:settle()
    assert.same({ nowhere = 10 }, count(a, 10, "prefer = { region = { 'us', 'eu' } }"))
  end)

  it('for providers goes along the list, and knows patterns', function()
    local main = over.net:node('main', {}, code(worker()))
    local b1, b2 = over.net:node('backup-1', {}, code(worker())), over.net:node('backup-2', {}, code(worker()))
    local other = over.net:node('other', {}, code(worker()))
    local a = over.net:node('a', { peers = { main, b1, b2, other } })
    local list = "providers = { 'main', 'backup-*' }"
    assert.same({ main = 10 }, count(a, 10, list))
    assert.same({ other = 3 }, count(a, 3, ("providers = '%s'"):format(other:id())))
    main:finish()
    over.net:settle()
    assert.same({ ['backup-1'] = 5, ['backup-2'] = 5 }, count(a, 10, list))
    b1:finish()
    b2:finish()
    over.net:settle()
    local err = a:fails(function() mesh.with { providers = { 'main', 'backup-*' } }.call 'who' end)
    assert.same({ 'NOT_FOUND', 'not_sent' }, { err.code, err.outcome })
    assert.matches("none of the nodes that are wanted provides the action 'who'", err.message)
  end)

  it('may depend on the action', function()
    local w = workers(over.net, 2)
    local a = over.net:node('a', { peers = w })
    local answers = a:eval(function()
      local caller = mesh.with { providers = { ['w*'] = 'w1', ['who'] = { 'w2' } } }
      return { caller.call 'who', caller.call 'work', caller.call 'count', (caller.stream 'who':result()),
        caller.explain('work').choice }
    end)
    assert.same({ 'w2', 'w1' }, { answers[1], answers[2] })
    assert.same({ 'w2', w[1]:id() }, { answers[4], answers[5] })
  end)

  it('lets a named node be called only if it is on the list', function()
    local a = over.net:node('a', { peers = workers(over.net, 2) })
    assert.equal('w1', a:eval(function()
      return mesh.with { node = 'w1', providers = { 'w2', 'w1' } }.call 'who'
    end))
    local err = a:fails(function() mesh.with { node = 'w1', providers = { 'w2' } }.call 'who' end)
    assert.same({ 'NO_ROUTE', 'not_sent' }, { err.code, err.outcome })
  end)

  it('is waited for', function()
    local a = over.net:node('a', { peers = workers(over.net, 1) })
    local list = a:start(function() return mesh.with { wait = 5, providers = { 'late-*' } }.call 'who' end)
    local named = a:start(function() return mesh.with { wait = 5, node = 'late-2' }.call 'who' end)
    assert.equal('TIMEOUT', a:fails(function()
      mesh.with { wait = 0.1, providers = { 'never' } }.call 'who'
    end).code)
    over.net:node('late-1', { peers = { a } }, code(worker()))
    assert.equal('late-1', (list:wait()))
    assert.equal('running', named:state())
    over.net:node('late-2', { peers = { a } }, code(worker()))
    assert.equal('late-2', (named:wait()))
  end)

  it('is refused when it makes no sense', function()
    local a = over.net:node('a')
    local messages = a:eval(function()
      local messages = {}
      for i, options in ipairs {
        { strategy = 'fastest' }, { strategy = 1 }, { providers = {} }, { providers = 5 }, { providers = { 1 } },
        { providers = { [true] = 'x' } }, { providers = { x = {} } }, { prefer = { colour = 'red' } },
        { prefer = { region = {} } }, { prefer = 'eu' }, { retries = -1 }, { retries = 17 }, { key = true },
      } do
        messages[i] = select(2, pcall(mesh.with, options))
      end
      messages[#messages + 1] = select(2, pcall(mesh.action, 'x', print, { strategy = 'fastest' }))
      messages[#messages + 1] = select(2, pcall(mesh.action, 'x', print, { weight = 0 }))
      messages[#messages + 1] = select(2, pcall(mesh.action, 'x', print, { weight = 10001 }))
      return messages
    end)
    for i, pattern in ipairs {
      '"fastest" is none of least, round_robin', 'strategy', 'lists by patterns', 'providers', '%[1%] is a number',
      'names of actions', 'the list is empty', "unknown preference 'colour'", 'the list is empty', 'table expected',
      'whole number', 'more than 16', 'string or number', '"fastest" is none of', 'not between 1 and 10000',
      'not between 1 and 10000',
    } do
      assert.matches(pattern, messages[i], i)
    end
  end)
end)

cluster.describe('the load of others', { 'mem' }, function(over)
  local function candidates(node)
    return node:eval(function()
      local of = {}
      for _, c in ipairs(mesh.explain('who').candidates) do of[c.name] = c end
      return of
    end)
  end

  it('is told, and counts', function()
    local w = workers(over.net, 2)
    local a = over.net:node('a', { peers = w })
    local b = over.net:node('b', { peers = w })
    for _ = 1, 12 do
      b:start(function() return mesh.with { node = 'w1', timeout = 0 }.call('work', 10) end)
    end
    over.net:advance(2)
    local of = candidates(a)
    assert.is_true(of.w1.load >= 8 and of.w1.load <= 12, of.w1.load) -- told coarsely
    assert.equal(0, of.w2.load)
    assert.same({ 0, 12 }, { candidates(b).w1.load, candidates(b).w1.outstanding })
    assert.same({ w2 = 10 }, count(a, 10, ''))
    assert.same({ w1 = 5, w2 = 5 }, count(a, 10, "strategy = 'round_robin'"))
    over.net:advance(10)
    of = candidates(a)
    assert.same({ 0, 0 }, { of.w1.load, of.w2.load })
  end)

  it('is told at most four times a second', function()
    local w = over.net:node('w', {}, code(worker()))
    local a = over.net:node('a', { peers = { w } })
    local s = stranger.greet(over.net, w)
    local work = a:start(function()
      for i = 1, 50 do
        local tasks = {}
        for n = 1, i % 4 * 10 do tasks[n] = mesh.spawn(mesh.call, 'work', 0.05) end
        mesh.sleep(0.1)
        for _, task in ipairs(tasks) do task:await() end
      end
    end)
    s:receive(stranger.ADVERT)
    over.net:advance(6)
    work:wait()
    local adverts = s:take_all(stranger.ADVERT)
    assert.is_true(adverts > 3 and adverts <= 25, adverts)
  end)

  it('is told the less often the more nodes there are', function()
    local w = over.net:node('w', {}, code(worker()))
    local a = over.net:node('a', { peers = { w } })
    local s = stranger.greet(over.net, w)
    local function tell(origin)
      s:send(stranger.ADVERT, message.encode('advert', {
        version = 1, epoch = origin and 1 or nil, snapshot = true, complete = true, origin = origin, items = '\x90',
      }))
    end
    tell()
    for i = 1, 78 do tell(('x'):rep(15) .. string.char(i)) end -- as many as are known then: 2 s
    over.net:advance(1)
    s:take_all(stranger.ADVERT)
    local work = a:start(function()
      for i = 1, 50 do
        local tasks = {}
        for n = 1, i % 4 * 10 do tasks[n] = mesh.spawn(mesh.call, 'work', 0.05) end
        mesh.sleep(0.1)
        for _, task in ipairs(tasks) do task:await() end
      end
    end)
    over.net:advance(7)
    work:wait()
    local adverts = s:take_all(stranger.ADVERT)
    assert.is_true(adverts >= 2 and adverts <= 5, adverts)
    over.net:advance(5)
    assert.equal(0, candidates(a).w.load) -- it has calmed down, and said so
  end)

  it('of this node itself is known exactly', function()
    local a = over.net:node('a', {}, code(worker()))
    local b = over.net:node('b', { peers = { a } })
    for _ = 1, 3 do b:start(function() mesh.call('work', 1) end) end
    over.net:advance(0.1)
    assert.equal(3, candidates(a).a.load)
    over.net:advance(2)
  end)
end)

cluster.describe('slots that are taken', { 'mem' }, function(over)
  --- Starts `n` calls of `work` for a second, with options of mesh.with, given as text.
  local function occupy(node, n, options)
    return node:start(code(([[
      local mesh = require 'perilune'
      local caller, counts, tasks = mesh.with { timeout = 30, %s }, {}, {}
      for i = 1, %d do
        tasks[i] = mesh.spawn(function()
          local name = caller.call('work', 1)
          counts[name] = (counts[name] or 0) + 1
        end)
      end
      mesh.all(tasks)
      return counts
    ]]):format(options, n)))
  end

  local strategies = { "'round_robin'", "'random'", "'weighted'", "'p2c'", "'hash', key = 'k'", "'local'", "'least'" }

  for _, of in ipairs { 'node', 'action' } do
    it('are avoided while another provider has some, of the ' .. of, function()
      local w = {}
      for i, slots in ipairs { 2, 6 } do
        w[i] = over.net:node('w' .. i, of == 'node' and { max_concurrency = slots } or {},
          code(worker(of == 'action' and 'concurrency = ' .. slots or '')))
      end
      local a = over.net:node('a', { peers = w })
      a:eval(function() mesh.wait 'count' end)
      for _, strategy in ipairs(strategies) do
        local calls = occupy(a, 8, 'strategy = ' .. strategy)
        over.net:advance(0.5)
        assert.equal(0, over.net:metrics().requests_queued_now, strategy)
        assert.same({ w1 = 2, w2 = 6 }, calls:wait())
      end
      -- There are no more: the strategy decides again.
      local calls = occupy(a, 20, "strategy = 'round_robin'")
      assert.equal(20, (function(c) return c.w1 + c.w2 end)(calls:wait()))
    end)
  end

  it('by others are known, too', function()
    local w = {}
    for i = 1, 2 do w[i] = over.net:node('w' .. i, { max_concurrency = 3 }, code(worker())) end
    local a = over.net:node('a', { peers = w })
    local b = over.net:node('b', { peers = w })
    for _, node in ipairs { a, b } do node:eval(function() mesh.wait 'count' end) end
    local others = occupy(b, 9, "node = 'w1'")
    over.net:advance(2)
    local standing = a:eval(function()
      local of = {}
      for _, c in ipairs(mesh.explain('who').candidates) do of[c.name] = c.standing end
      return of
    end)
    assert.same({ w1 = 'full', w2 = 'fit' }, standing)
    assert.same({ w2 = 3 }, occupy(a, 3, "strategy = 'hash', key = 'k'"):wait())
    others:wait()
    over.net:advance(2)
    assert.same({ w1 = 3, w2 = 3 }, count(a, 6, "strategy = 'round_robin'"))
  end)

  it('of this node itself are known exactly', function()
    local w = over.net:node('w', {}, code(worker()))
    local a = over.net:node('a', { peers = { w }, max_concurrency = 1 }, code(worker()))
    a:eval(function() mesh.wait 'count' end)
    over.net:advance(0.1)
    local calls = occupy(a, 2, "strategy = 'local'")
    assert.same({ a = 1, w = 1 }, calls:wait())
  end)
end)

cluster.describe('explaining', { 'mem' }, function(over)
  it('shows the choice that a call makes, without making it', function()
    local a = over.net:node('a', { peers = workers(over.net, 2) })
    local same = a:eval(function()
      local same = 0
      for _ = 1, 10 do
        mesh.explain 'who'
        local choice = mesh.explain('who').choice
        mesh.call 'who'
        for _, c in ipairs(mesh.explain('who').candidates) do
          if c.chosen and c.id ~= choice then same = same + 1 end
        end
      end
      return same
    end)
    assert.equal(10, same) -- turns are taken by calls only
    for _, strategy in ipairs { 'least', 'round_robin', 'random', 'weighted', 'p2c', 'hash', 'local' } do
      local right = a:eval(function(name)
        local caller, right = mesh.with { strategy = name }, 0
        for i = 1, 10 do
          local how = caller.explain('who', i)
          local answer = caller.call('who', i)
          for _, c in ipairs(how.candidates) do
            if c.chosen and c.name == answer then right = right + 1 end
          end
          if #how.reason < 5 or how.said_by ~= 'call' or how.strategy ~= name then return how end
        end
        return right
      end, strategy)
      assert.equal(10, right, strategy)
    end
  end)

  it('says how each provider stands', function()
    local w = workers(over.net, 3)
    local a = over.net:node('a', { peers = w })
    a:start(function() mesh.with { node = 'w1' }.call('work', 1) end)
    over.net:settle()
    w[1]:stop(10)
    over.net:advance(0.05)
    local how = a:eval(function() return mesh.with { providers = { 'w1', 'w2' } }.explain 'work' end)
    local standing = {}
    for _, c in ipairs(how.candidates) do standing[c.name] = c.standing end
    assert.same({ w1 = 'draining', w2 = 'fit', w3 = 'unlisted' }, standing)
    assert.equal(w[2]:id(), how.choice)
    assert.equal('it is the only one that can take the call', how.reason)
    assert.equal('w2', how.candidates[1].name)
    local none = a:eval(function() return mesh.explain 'nothing' end)
    assert.same({ {}, "no reachable node provides the action 'nothing'" }, { none.candidates, none.reason })
    assert.is_nil(none.choice)
    local chosen = a:eval(function()
      return mesh.with { strategy = function(c) return c[1].id end }.explain('work').strategy
    end)
    assert.equal('function', chosen)
  end)
end)
