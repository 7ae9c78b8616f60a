local balance = require('perilune.testing').balance

--- Candidates named a, b, c, …, each with what it is given.
local function candidates(...)
  local list = {}
  for i, fields in ipairs { ... } do
    local c = { id = string.char(96 + i):rep(16), name = string.char(96 + i) }
    for key, value in pairs(fields) do c[key] = value end
    list[i] = c
  end
  return list
end

local clock = 0

--- Chooses and notes the choice, as the owner of the candidates does. Returns the name of the chosen.
local function choose(strategy, list, policy, random)
  local index, rated = balance.choose(strategy, list, policy or {}, random or balance.random(1))
  if index == 0 then return nil, rated end
  local chosen = list[index]
  clock = clock + 1
  chosen.used = clock
  chosen.pass = (chosen.pass or 0) + balance.stride(chosen.weight or 1)
  return chosen.name, rated
end

local function count(strategy, list, n, policy)
  local counts, random = {}, balance.random(7)
  for _ = 1, n do
    local name = choose(strategy, list, policy, random)
    counts[name] = (counts[name] or 0) + 1
  end
  return counts
end

local function fitness(rated)
  local list = {}
  for i, r in ipairs(rated) do list[i] = r.fitness end
  return list
end

describe('the strategy', function()
  it('least takes who has the fewest calls in flight, those of others included', function()
    assert.equal('b', (choose('least', candidates({ outstanding = 3 }, { outstanding = 1 }, { outstanding = 2 }))))
    assert.equal('c', (choose('least', candidates({ outstanding = 3 }, { outstanding = 1, load = 5 },
      { outstanding = 2 }))))
  end)

  it('least lets equals take turns', function()
    assert.same({ a = 100, b = 100, c = 100 }, count('least', candidates({}, {}, {}), 300))
  end)

  it('does not lead all who call for the first time to the same one', function()
    for _, strategy in ipairs { 'least', 'round_robin', 'weighted', 'local' } do
      local counts = {}
      for seed = 1, 300 do
        local name = choose(strategy, candidates({}, {}, {}), nil, balance.random(seed))
        counts[name] = (counts[name] or 0) + 1
      end
      for _, name in ipairs { 'a', 'b', 'c' } do assert.is_true(counts[name] > 60, strategy) end
    end
  end)

  it('round_robin gives each the same, however busy', function()
    assert.same({ a = 100, b = 100, c = 100 }, count('round_robin', candidates({ outstanding = 50 }, {}, {}), 300))
  end)

  it('round_robin gives a newcomer its turn and no more', function()
    local list = candidates({}, {})
    count('round_robin', list, 10)
    list[3] = { id = 'c', name = 'c' }
    assert.equal('c', (choose('round_robin', list)))
    assert.same({ a = 3, b = 3, c = 3 }, count('round_robin', list, 9))
  end)

  it('random is even in the long run', function()
    for _, n in pairs(count('random', candidates({}, {}, {}), 3000)) do assert.is_true(n > 850 and n < 1150, n) end
  end)

  it('weighted is exact, and spreads the heavy ones out', function()
    local list = candidates({ weight = 1 }, { weight = 2 }, { weight = 3 })
    assert.same({ a = 100, b = 200, c = 300 }, count('weighted', list, 600))
    local order = {}
    for i = 1, 6 do order[i] = choose('weighted', list) end
    assert.is_nil(table.concat(order):find 'ccc')
  end)

  it('weighted takes no weight for 1', function()
    assert.same({ a = 50, b = 50 }, count('weighted', candidates({ weight = 0 }, { weight = 1 }), 100))
  end)

  it('p2c takes the better of two by calls in flight times latency', function()
    local list = candidates({ outstanding = 1, latency = 1000 }, { outstanding = 9, latency = 100 })
    assert.equal('b', (choose('p2c', list)))
    list[2].outstanding = 30
    assert.equal('a', (choose('p2c', list)))
  end)

  it('p2c never takes the worst of three', function()
    local counts = count('p2c', candidates({ latency = 10 }, { latency = 20 }, { latency = 30 }), 300)
    assert.is_nil(counts.c)
    assert.is_true(counts.a > counts.b and counts.b > 50)
  end)

  it('p2c tries one that it knows nothing of', function()
    assert.equal('b', (choose('p2c', candidates({ latency = 500, cost = 1000 }, { cost = 100 }))))
    assert.equal('a', (choose('p2c', candidates({}))))
  end)

  it('hash gives a key to the same provider, and others to others', function()
    local list, seen = candidates({}, {}, {}, {}), {}
    for key = 1, 100 do
      local policy = { key = 'key ' .. key }
      local first = choose('hash', list, policy)
      assert.equal(first, (choose('hash', list, policy)))
      seen[first] = (seen[first] or 0) + 1
    end
    for _, name in ipairs { 'a', 'b', 'c', 'd' } do assert.is_true(seen[name] > 10, name) end
  end)

  it('hash moves only the keys of the provider that leaves', function()
    local list, moved = candidates({}, {}, {}, {}), 0
    for key = 1, 100 do
      local policy = { key = tostring(key) }
      list[2].draining = nil
      local before = choose('hash', list, policy)
      list[2].draining = true
      local after = choose('hash', list, policy)
      if before == 'b' then moved = moved + 1 else assert.equal(before, after) end
    end
    assert.is_true(moved > 10)
  end)

  it('local takes this node, else the nearest', function()
    assert.equal('b', (choose('local', candidates({ hops = 1, cost = 5 }, { hops = 0 }, { hops = 1, cost = 0 }))))
    assert.equal('c', (choose('local', candidates({ hops = 2, cost = 9 }, { hops = 1, cost = 7 },
      { hops = 3, cost = 2 }))))
    assert.same({ a = 5, b = 5 }, count('local', candidates({ hops = 1, cost = 3 }, { hops = 2, cost = 3 }), 10))
  end)

  it('has a name', function()
    for _, name in ipairs { 'least', 'round_robin', 'random', 'weighted', 'p2c', 'hash', 'local' } do
      assert.equal(name, balance.strategy(name))
    end
    assert.is_nil(balance.strategy '')
    assert.is_nil(balance.strategy 'leas')
    assert.is_nil(balance.strategy 'least ')
  end)

  it('chooses nobody where there is nobody', function()
    for _, name in ipairs { 'least', 'round_robin', 'random', 'weighted', 'p2c', 'hash', 'local' } do
      assert.is_nil((choose(name, {})))
      assert.is_nil((choose(name, candidates({ draining = true }, { unreachable = true }, { refused = true }))))
      assert.equal('b', (choose(name, candidates({ draining = true }, {}))))
    end
  end)
end)

describe('a preference', function()
  it('for a region holds while somebody there is healthy', function()
    local list = candidates({ region = 'us' }, { region = 'eu', outstanding = 100 }, { region = 'eu' }, {})
    local policy = { regions = { 'eu', 'us' } }
    assert.equal('c', (choose('least', list, policy)))
    list[3].draining = true
    assert.equal('b', (choose('least', list, policy)))
    list[2].health = 'ejected'
    assert.equal('a', (choose('least', list, policy)))
    list[1].unreachable = true
    assert.equal('d', (choose('least', list, policy)))
  end)

  it('for providers goes along the list', function()
    local list = candidates({}, {}, { name = 'backup-1' }, { name = 'backup-2' })
    local policy = { providers = { 'b', 'backup-*' } }
    assert.equal('b', (choose('least', list, policy)))
    list[2].refused = true
    assert.same({ ['backup-1'] = 5, ['backup-2'] = 5 }, count('least', list, 10, policy))
    list[3].draining, list[4].draining = true, true
    local nobody, rated = choose('least', list, policy)
    assert.is_nil(nobody)
    assert.same({ 'unlisted', 'refused', 'draining', 'draining' }, fitness(rated))
  end)

  it('names providers by id, too', function()
    local list = candidates({}, {})
    assert.equal('b', (choose('least', list, { providers = { ('62'):rep(16), '*' } })))
    assert.equal('a', (choose('least', list, { providers = { ('61'):rep(16):upper() } })))
    assert.is_nil((choose('least', list, { providers = { ('63'):rep(16) } })))
  end)

  it('for providers comes before that for regions, and after health', function()
    local list = candidates({ region = 'us' }, { region = 'eu' }, { region = 'eu', health = 'ejected' })
    assert.equal('a', (choose('least', list, { providers = { 'a', '*' }, regions = { 'eu' } })))
    assert.equal('b', (choose('least', list, { providers = { 'c', 'b', 'a' }, regions = { 'us' } })))
  end)

  it('understands patterns', function()
    for _, case in ipairs {
      { '*', '', true }, { '*', 'abc', true }, { '', '', true }, { '', 'a', false }, { 'svc*', 'svc-1', true },
      { 'svc*', 'svc', true }, { 'svc*', 'a-svc', false }, { '*svc', 'a-svc', true }, { 'a*b*c', 'a-b-b-c', true },
      { 'a*b*c', 'a-b-b', false }, { 'abc', 'abcd', false }, { 'abcd', 'abc', false }, { '**', 'x', true },
      { 'a.c', 'abc', false }, { 'a\0*', 'a\0b', true }, { '*a*a*a*b', ('a'):rep(255), false },
    } do
      assert.equal(case[3], balance.matches(case[1], case[2]), case[1] .. ' ' .. case[2])
    end
  end)
end)

describe('health in a choice', function()
  it('keeps the ejected out, at most half of them', function()
    local list = candidates({ health = 'ejected', ejected_us = 30 }, { health = 'ejected', ejected_us = 10 },
      { health = 'ejected', ejected_us = 20 }, {})
    local _, rated = choose('least', list)
    assert.same({ 'ejected', 'fit', 'ejected', 'fit' }, fitness(rated))
    assert.same({ b = 5, d = 5 }, count('least', list, 10))
  end)

  it('never keeps the only one out', function()
    assert.equal('a', (choose('least', candidates({ health = 'ejected' }))))
    local name, rated = choose('least', candidates({ health = 'ejected' }, { draining = true }))
    assert.equal('a', name)
    assert.same({ 'fit', 'draining' }, fitness(rated))
  end)

  it('lets the degraded take part, and those that probe with one call', function()
    assert.same({ a = 5, b = 5 }, count('least', candidates({ health = 'degraded' }, {}), 10))
    assert.same({ a = 5, b = 5 }, count('least', candidates({ health = 'probing' }, {}), 10))
    assert.same({ b = 10 }, count('least', candidates({ health = 'probing', probed = true }, {}), 10))
  end)

  it('leaves the full ones alone while there are others, whatever the strategy', function()
    for _, strategy in ipairs { 'least', 'round_robin', 'random', 'weighted', 'p2c', 'hash', 'local' } do
      assert.same({ b = 5 }, count(strategy, candidates({ full = true }, { outstanding = 9 }, { full = true }), 5))
      local counts = count(strategy, candidates({ full = true }, { full = true }), 6)
      assert.equal(6, (counts.a or 0) + (counts.b or 0))
    end
    local list = candidates({ full = true }, { resting = true })
    assert.same({ a = 3 }, count('least', list, 3))
    local _, rated = choose('least', list)
    assert.same({ 'full', 'resting' }, fitness(rated))
  end)

  it('leaves those alone that rest or have been tried, while there are others', function()
    local list = candidates({ tried = true }, { resting = true }, {})
    assert.same({ c = 3 }, count('least', list, 3))
    list[3].unreachable = true
    assert.same({ b = 3 }, count('least', list, 3))
    list[2].refused = true
    assert.same({ a = 3 }, count('least', list, 3))
  end)
end)

describe('the health of a provider', function()
  local S = 1000000
  local h

  before_each(function() h = balance.health() end)

  local function finish(verdict, at, probe, retry) h:finish(at or 0, probe, verdict, retry) end

  it('is degraded by a failure and ejected by three in a row', function()
    assert.equal('ok', (h:now(0)))
    finish 'failure'
    assert.equal('degraded', (h:now(0)))
    finish 'failure'
    finish 'good'
    finish 'failure'
    finish 'failure'
    assert.equal('degraded', (h:now(0)))
    finish 'failure'
    assert.equal('ejected', (h:now(0)))
  end)

  it('is good again after two successes in a row', function()
    finish 'failure'
    finish 'good'
    assert.equal('degraded', (h:now(0)))
    finish 'none'
    finish 'good'
    assert.equal('ok', (h:now(0)))
  end)

  it('probes with one call at a time once the ejection is over', function()
    for _ = 1, 3 do finish 'failure' end
    assert.is_false(h:begin(S - 1))
    assert.equal('probing', (h:now(S)))
    assert.is_true(h:begin(S))
    assert.is_false(h:begin(S))
    finish('good', S, true)
    assert.equal('probing', (h:now(S)))
    assert.is_true(h:begin(S))
    finish('good', S, true)
    assert.equal('ok', (h:now(S)))
  end)

  it('is ejected for twice as long by a probe that fails, up to a bound', function()
    for _ = 1, 3 do finish 'failure' end
    local at = S
    for _, seconds in ipairs { 2, 4, 8, 16, 32, 32, 32 } do
      assert.is_true(h:begin(at))
      finish('failure', at, true)
      assert.equal('ejected', (h:now(at + seconds * S - 1)))
      assert.equal('probing', (h:now(at + seconds * S)))
      at = at + seconds * S
    end
    for _ = 1, 2 do
      h:begin(at)
      finish('good', at, true)
    end
    for _ = 1, 3 do finish('failure', at) end
    assert.equal('probing', (h:now(at + S)))
  end)

  it('does not care for calls from before its ejection', function()
    for _ = 1, 5 do finish 'failure' end
    finish 'good'
    assert.equal('ejected', (h:now(S - 1)))
    assert.equal('probing', (h:now(S)))
  end)

  it('lets another probe go when one said nothing', function()
    for _ = 1, 3 do finish 'failure' end
    assert.is_true(h:begin(S))
    finish('none', S, true)
    assert.is_true(h:begin(S))
  end)

  it('rests when it was busy, as long as it said', function()
    finish('busy', 0, false, 300)
    assert.same({ 'ok', true }, { h:now(299999) })
    assert.same({ 'ok', false }, { h:now(300000) })
    finish('busy', S, false, 0)
    assert.same({ 'ok', true }, { h:now(S + 99999) })
    finish('good', S)
    assert.same({ 'ok', false }, { h:now(S) })
    finish('busy', 0, false, 4000000000)
    assert.same({ 'ok', false }, { h:now(5 * S) })
  end)

  it('is judged by what the end of a call says of it', function()
    assert.equal('good', balance.verdict(nil))
    assert.equal('good', balance.verdict('HANDLER_ERROR', 'executed'))
    assert.equal('good', balance.verdict('INVALID', 'executed'))
    assert.equal('failure', balance.verdict('PEER_LOST', 'unknown'))
    assert.equal('failure', balance.verdict('NO_ROUTE', 'not_sent'))
    assert.equal('failure', balance.verdict('TIMEOUT', 'unknown'))
    assert.equal('failure', balance.verdict('TIMEOUT', 'not_executed'))
    assert.equal('busy', balance.verdict('BUSY', 'not_executed'))
    for _, code in ipairs { 'CANCELLED', 'DRAINING', 'NOT_FOUND', 'INVALID', 'FORBIDDEN', 'TOO_LARGE' } do
      assert.equal('none', balance.verdict(code, 'not_executed'))
    end
  end)
end)

describe('the budget of repeats', function()
  local function spend(budget, at, most)
    for n = 0, most do
      if not budget:take(at) then return n end
    end
    return most
  end

  it('allows some without any call, and more with time', function()
    local budget = balance.budget(5)
    assert.equal(100, spend(budget, 5, 1000))
    assert.equal(10, spend(budget, 1000005, 1000))
    assert.equal(0, spend(budget, 1000006, 1000))
    assert.equal(100, spend(budget, 3600 * 1000000, 1000))
  end)

  it('allows a fifth of the calls made lately', function()
    local budget = balance.budget(0)
    spend(budget, 0, 1000)
    budget:earn(1000)
    assert.equal(200, spend(budget, 0, 1000))
    budget:earn(1000000)
    assert.equal(500, spend(budget, 0, 1000))
    budget:earn(4)
    assert.equal(0, spend(budget, 0, 1000))
  end)
end)
