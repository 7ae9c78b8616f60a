--- What the commands show of a whole mesh, asked through any one of its nodes.

local json = require 'dkjson'
local nodes = require 'spec.support.nodes'
local process = require 'spec.support.process'

describe('a mesh that is asked through one node', function()
  local by_name, a

  --- a -- b -- c -- d
  before_each(function()
    by_name = {}
    for _, name in ipairs { 'd', 'c', 'b', 'a' } do
      a = nodes.start(name, { listen = 'tcp', peers = { a } },
        ("mesh.action('of_%s', function() return %q end, { description = 'of %s alone' })"):format(name, name, name))
      by_name[name] = a
    end
    a:wait_for 'return #mesh.actions() == 4'
    a:eval "mesh.wait 'of_d'"
    by_name.d:eval "mesh.wait 'of_a'"
  end)

  --- Runs a command that is linked to the node of that name; returns what it prints.
  local function asked(through, ...)
    local words = { ... }
    words[#words + 1] = '--peer=' .. by_name[through].url
    local run = process.perilune_run(table.unpack(words))
    assert(run.code == 0, run.stdout .. run.stderr)
    return run.stdout
  end

  local function decoded(...) return assert(json.decode(asked(...))) end

  --- What a table shows, row by row: the words below these headings, which are in the order of the columns.
  local function columns(text, ...)
    local head, body = text:match '^([^\n]*)\n(.*)$'
    local rows = {}
    for line in body:gmatch '[^\n]+' do
      local row = {}
      for i, heading in ipairs { ... } do row[i] = line:match('^%S+', assert(head:find(heading, 1, true), heading)) end
      rows[#rows + 1] = table.concat(row, ' ')
    end
    return rows
  end

  it('shows all nodes, and how far they are', function()
    assert.same({ 'a 1 - up 1', 'b 2 a up 1', 'c 3 a up 1', 'd 4 a up 1' },
      columns(asked('a', 'nodes'), 'NAME', 'HOPS', 'VIA', 'STATE', 'ACTIONS'))
    local rows = columns(asked('c', 'nodes'), 'NAME', 'HOPS', 'VIA')
    table.sort(rows)
    assert.same({ 'a 3 c', 'b 2 c', 'c 1 -', 'd 2 c' }, rows)
    local seen = {}
    for _, n in ipairs(decoded('d', 'nodes', '--json')) do
      seen[n.name] = { n.id == by_name[n.name].id, n.hops, n.via == by_name.d.id, n.actions[1], n.state, n.leaf }
    end
    assert.same({
      d = { true, 1, true, 'of_d', 'up', false }, c = { true, 2, true, 'of_c', 'up', false },
      b = { true, 3, true, 'of_b', 'up', false }, a = { true, 4, true, 'of_a', 'up', false },
    }, seen)
  end)

  it('shows all actions with who provides them', function()
    assert.same({ 'of_a 1 a', 'of_b 1 b', 'of_c 1 c', 'of_d 1 d' },
      columns(asked('b', 'actions'), 'ACTION', 'NODES', 'PROVIDED BY'))
    assert.matches('of d alone\n$', asked('a', 'actions'))
    local hops = {}
    for _, action in ipairs(decoded('a', 'actions', '--json')) do
      assert.equal(1, #action.providers)
      hops[action.name] = action.providers[1].hops
    end
    assert.same({ of_a = 1, of_b = 2, of_c = 3, of_d = 4 }, hops)
  end)

  it('shows the best path to every node', function()
    local text = asked('a', 'routes')
    assert.same({ 'a 1 -', 'b 2 a', 'c 3 a', 'd 4 a' }, columns(text, 'NAME', 'HOPS', 'VIA'))
    assert.matches('^NAME  ID +HOPS  COST +VIA\na     ' .. a.id .. '  1     [%d.]+ ms ', text)
    local costs = {}
    for i, route in ipairs(decoded('a', 'routes', '--json')) do
      assert.same({ by_name[route.name].id, i, { a.id } }, { route.id, route.hops, route.next })
      costs[i] = route.cost
    end
    for i = 2, 4 do assert.is_true(costs[i] > costs[i - 1], costs[i]) end
  end)

  it('shows who would take a call that goes over relays, and is measured over them', function()
    assert.matches('^of_d: d takes the call, .*\n%*  d +' .. by_name.d.id .. '  4 +[%d.]+ ms  a +%- +fit ',
      asked('a', 'explain', 'of_d'))
    local candidate = decoded('a', 'explain', 'of_d', '--json').candidates[1]
    assert.same({ by_name.d.id, 4, a.id }, { candidate.id, candidate.hops, candidate.via })
    assert.matches('^d: [%d.]+ ms\n', asked('a', 'ping', 'd', '--count', '1'))
    assert.is_true(decoded('a', 'ping', by_name.d.id, '--count', '1', '--json').times[1] > 0)
  end)

  it('is shown without a node that has died', function()
    by_name.d.process:kill 'KILL'
    a:wait_for 'return #mesh.actions() == 3'
    for _, command in ipairs { 'nodes', 'routes' } do
      assert.same({ 'a', 'b', 'c' }, columns(asked('a', command), 'NAME'))
    end
    assert.same({ 'of_a', 'of_b', 'of_c' }, columns(asked('a', 'actions'), 'ACTION'))
    assert.matches('^of_d: nobody takes the call', asked('a', 'explain', 'of_d'))
  end)
end)
