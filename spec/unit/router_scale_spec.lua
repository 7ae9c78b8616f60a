--- What a mesh of a thousand nodes costs one of them. Only a few routers are real; the rest of the mesh is what a
--- neighbour tells.

local testing = require 'perilune.testing'
local routes = require 'spec.support.routes'

local message = testing.wire.message
local id = routes.id

local ADVERT = 7
local REAL, NODES, ROUNDS = 7, 1000, 20
local SLOW = os.getenv 'PERILUNE_SPEC_PATIENCE' and 10 or 1 -- sanitizers

local function cost(us) return '\x81\xa4cost\xcd' .. string.pack('>I2', us) end

local function link_item(n, us) return { kind = 'link', name = id(n), attributes = cost(us or 1000) } end

--- Links of a mesh in which every node has six or so; the real ones are each linked to the first.
local function make_links()
  math.randomseed(5)
  local links = {}
  for i = 1, NODES do links[i] = {} end
  local function join(a, b)
    if a ~= b and not (a <= REAL and b <= REAL) then links[a][b], links[b][a] = true, true end
  end
  for i = REAL + 1, NODES do join(i, math.random(2, i - 1)) end
  for _ = 1, 2 * NODES do join(math.random(2, NODES), math.random(2, NODES)) end
  return links
end

local function record(links, n, version)
  local items = {
    { kind = 'action', name = 'work', attributes = '\x80' },
    { kind = 'node', name = '', attributes = '\x82\xa4name\xa8node-abc\xa8draining\xc2' },
  }
  for to in pairs(links[n]) do items[#items + 1] = link_item(to) end
  table.sort(items, function(a, b) return a.kind .. a.name < b.kind .. b.name end)
  return message.encode('advert', { version = version, epoch = 1, snapshot = true, complete = true, origin = id(n),
    items = message.items(items) })
end

routes.describe('a mesh of a thousand nodes', function(over)
  it('costs each of them little when a link of it comes and goes', function()
    local links, w = make_links(), over.keep(routes.world(REAL))
    for i = 2, REAL do
      w:link(1, i)
      for to in pairs(links[i]) do w:set(i, 'link', id(to), cost(1000)) end
    end
    w:advance(1)
    local tape = {}
    for n = REAL + 1, NODES do tape[n] = record(links, n, 1) end
    for n = REAL + 1, NODES do w:inject(2, 1, ADVERT, tape[n]) end
    w:advance(2)
    local reached = 0
    for n = 1, NODES do
      if w:route(1, n) then reached = reached + 1 end
    end
    assert.equal(NODES, reached)

    local spent, paths = 0, w:metrics().paths_computed
    for round = 1, ROUNDS do
      local a = REAL + 100 + round
      local b = next(links[a])
      while b <= REAL do b = next(links[a], b) end
      for _, end_of in ipairs { { a, b }, { b, a } } do
        w:inject(2, 1, ADVERT, message.encode('advert', { version = 1 + round, base = 1, epoch = 1, complete = true,
          origin = id(end_of[1]),
          items = message.items { { kind = 'link', name = id(end_of[2]), withdrawn = true } } }))
      end
      local began = os.clock()
      w:advance(1)
      spent = spent + os.clock() - began
    end
    local hearing = REAL - 1 -- all but the one who tells
    local each = spent / ROUNDS / hearing
    assert.is_true(w:metrics().paths_computed - paths >= ROUNDS * hearing)
    assert.is_true(each < 0.005 * SLOW, ('%.3f ms of CPU for each node'):format(each * 1e3))
  end)

  it('is at rest when nothing happens: what a link costs does not grow with the mesh', function()
    local bytes = {}
    for _, n in ipairs { 10, 40 } do
      local w = over.keep(routes.line(n))
      w:advance(5)
      local _, before = w:sent()
      w:advance(600)
      local _, after = w:sent()
      bytes[n] = (after - before) / (n - 1) / 10 -- a minute and link
      assert.equal(0, w:metrics().databases_differed)
    end
    assert.is_true(bytes[40] < 60, bytes[40])
    assert.is_true(math.abs(bytes[40] - bytes[10]) < 10, bytes[40] - bytes[10])
  end)
end)
