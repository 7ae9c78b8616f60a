--- Shortest paths, against a Dijkstra of its own that is as plain as can be.

local paths = require('perilune.testing').route.paths

local MOST = 4 -- first steps that are kept

--- Links both ways from rows of {a, b, cost}.
local function both_ways(rows)
  local links = {}
  for _, row in ipairs(rows) do
    for _, n in ipairs { row[1], row[2], row[3], row[2], row[1], row[3] } do links[#links + 1] = n end
  end
  return links
end

local function better(a, b)
  if a.cost ~= b.cost then return a.cost < b.cost end
  return a.hops < b.hops
end

--- Distances from `start` by repeated relaxing, until nothing changes (Bellman and Ford).
local function distances(nodes, links, start, relays)
  local at = { [start] = { cost = 0, hops = 0 } }
  local changed = true
  while changed do
    changed = false
    for i = 1, #links, 3 do
      local from, to, cost = links[i], links[i + 1], links[i + 2]
      local d = at[from]
      if d and (from == start or relays[from] ~= false) then
        local step = { cost = d.cost + cost, hops = d.hops + 1 }
        if not at[to] or better(step, at[to]) then at[to], changed = step, true end
      end
    end
  end
  for i = 1, nodes do at[i] = at[i] or false end
  return at
end

--- The same with the first steps: a neighbour is one when the way through it is as good as the best.
local function expected(nodes, links, start, relays)
  local all = distances(nodes, links, start, relays)
  local without = {} -- a path through a neighbour does not come back to the start
  for i = 1, #links, 3 do
    if links[i] ~= start and links[i + 1] ~= start then
      for k = 0, 2 do without[#without + 1] = links[i + k] end
    end
  end
  for i = 1, nodes do
    if all[i] then all[i].next = {} end
  end
  local first = {}
  for i = 1, #links, 3 do
    if links[i] == start then first[links[i + 1]] = math.min(first[links[i + 1]] or math.huge, links[i + 2]) end
  end
  for neighbour, cost in pairs(first) do
    local from = distances(nodes, without, neighbour, relays)
    for i = 1, nodes do
      local direct = i == neighbour
      if from[i] and i ~= start and (direct or relays[neighbour] ~= false)
        and from[i].cost + cost == all[i].cost and from[i].hops + 1 == all[i].hops then
        table.insert(all[i].next, neighbour)
      end
    end
  end
  for i = 1, nodes do
    if all[i] then
      table.sort(all[i].next)
      for k = #all[i].next, MOST + 1, -1 do all[i].next[k] = nil end
    end
  end
  return all
end

--- The least costs from `start` of ways of exactly so many links, up to `most`.
local function costs(links, start, relays, most)
  local at = { [0] = { [start] = 0 } }
  for hops = 1, most do
    at[hops] = {}
    for i = 1, #links, 3 do
      local from, to, cost = links[i], links[i + 1], at[hops - 1][links[i]]
      if cost and (from == start and hops == 1 or relays[from] ~= false) then
        at[hops][to] = math.min(at[hops][to] or math.huge, cost + links[i + 2])
      end
    end
  end
  return at
end

--- The best paths of at most so many links; where there is none, the best of all.
local function expected_within(nodes, links, start, relays, most)
  local all, within = expected(nodes, links, start, relays), costs(links, start, relays, most)
  for i = 1, nodes do
    if all[i] and all[i].hops > most then
      local best
      for hops = most, 1, -1 do
        local cost = within[hops][i]
        if cost and (not best or cost <= best.cost) then best = { cost = cost, hops = hops, next = {} } end
      end
      all[i] = best or all[i]
      local seen = {}
      for k = 1, best and #links or 0, 3 do
        local neighbour = links[k + 1]
        if links[k] == start and not seen[neighbour] and (relays[neighbour] ~= false or neighbour == i) then
          local rest = costs(links, neighbour, relays, best.hops - 1)[best.hops - 1][i]
          seen[neighbour] = rest and rest + links[k + 2] == best.cost
          if seen[neighbour] then table.insert(best.next, neighbour) end
        end
      end
      table.sort(all[i].next)
      for k = #all[i].next, MOST + 1, -1 do all[i].next[k] = nil end
    end
  end
  return all
end

local function random_graph(seed)
  math.randomseed(seed)
  local nodes, links = math.random(2, 14), {}
  for _ = 1, math.random(0, 3 * nodes) do
    local a, b = math.random(nodes), math.random(nodes)
    if a ~= b then
      for _, n in ipairs { a, b, math.random(6) } do links[#links + 1] = n end
      if math.random() < 0.8 then
        for _, n in ipairs { b, a, math.random(6) } do links[#links + 1] = n end
      end
    end
  end
  local relays = {}
  for i = 1, nodes do relays[i] = math.random() < 0.9 end
  return nodes, links, math.random(nodes), relays
end

describe('the shortest paths', function()
  --         2 --3-- 4
  --     1 /    |      \ 1
  --   1       1|        6 --2-- 7
  --     4 \    |      / 5
  --         3 --1-- 5
  local SEVEN = both_ways {
    { 1, 2, 1 }, { 1, 3, 4 }, { 2, 3, 1 }, { 2, 4, 3 }, { 3, 5, 1 }, { 4, 6, 1 }, { 5, 6, 5 }, { 6, 7, 2 },
  }

  it('are those of a graph of seven nodes', function()
    assert.same({
      { cost = 0, hops = 0, next = {} },
      { cost = 1, hops = 1, next = { 2 } },
      { cost = 2, hops = 2, next = { 2 } },
      { cost = 4, hops = 2, next = { 2 } },
      { cost = 3, hops = 3, next = { 2 } },
      { cost = 5, hops = 3, next = { 2 } },
      { cost = 7, hops = 4, next = { 2 } },
    }, paths(7, SEVEN, 1))
    for start = 1, 7 do assert.same(expected(7, SEVEN, start, {}), paths(7, SEVEN, start)) end
  end)

  it('lead around nodes that do not relay, and still to them', function()
    local relays = { [2] = false }
    local got = paths(7, SEVEN, 1, relays)
    assert.same({ cost = 1, hops = 1, next = { 2 } }, got[2])
    assert.same({ cost = 4, hops = 1, next = { 3 } }, got[3])
    assert.same({ cost = 10, hops = 3, next = { 3 } }, got[6])
    assert.same({ cost = 1, hops = 1, next = { 1 } }, paths(7, SEVEN, 2, relays)[1])
  end)

  it('have all first steps that are equally good, the smaller first', function()
    local rows = {}
    for i = 2, 7 do
      rows[#rows + 1] = { 1, i, 5 }
      rows[#rows + 1] = { i, 8, 5 }
    end
    assert.same({ cost = 10, hops = 2, next = { 2, 3, 4, 5 } }, paths(8, both_ways(rows), 1)[8])
  end)

  it('of equal cost prefer the fewer hops', function()
    local links = both_ways { { 1, 2, 1 }, { 2, 3, 1 }, { 1, 3, 2 } }
    assert.same({ cost = 2, hops = 1, next = { 3 } }, paths(3, links, 1)[3])
  end)

  it('may be none', function()
    assert.same({ { cost = 0, hops = 0, next = {} }, false }, paths(2, {}, 1))
    assert.is_false(paths(3, { 2, 1, 1 }, 1)[2]) -- only the way back
  end)

  it('are of few links where that is possible, however dear', function()
    local around = both_ways { { 1, 2, 1 }, { 2, 3, 1 }, { 3, 4, 1 }, { 4, 5, 1 }, { 5, 1, 100 }, { 5, 6, 1 } }
    assert.same({ cost = 4, hops = 4, next = { 2 } }, paths(6, around, 1, {}, 4)[5])
    assert.same({ cost = 100, hops = 1, next = { 5 } }, paths(6, around, 1, {}, 3)[5])
    assert.same({ cost = 3, hops = 3, next = { 2 } }, paths(6, around, 1, {}, 3)[4])
    assert.same({ cost = 101, hops = 2, next = { 5 } }, paths(6, around, 1, {}, 3)[6])
    assert.same({ cost = 5, hops = 5, next = { 2 } }, paths(6, around, 1, { [5] = true }, 1)[6]) -- none is of one
  end)

  it('are those of another computation in a thousand random graphs', function()
    for seed = 1, 1000 do
      local nodes, links, start, relays = random_graph(seed)
      assert.same(expected(nodes, links, start, relays), paths(nodes, links, start, relays), 'seed ' .. seed)
    end
  end)

  it('of few links are those of another computation in a thousand more', function()
    local short = 0
    for seed = 1001, 2000 do
      local nodes, links, start, relays = random_graph(seed)
      local most = math.random(4)
      local want = expected_within(nodes, links, start, relays, most)
      assert.same(want, paths(nodes, links, start, relays, most), 'seed ' .. seed)
      for i, path in ipairs(expected(nodes, links, start, relays)) do
        if path and path.cost < want[i].cost then short = short + 1 end
      end
    end
    assert.is_true(short > 100, short)
  end)
end)
