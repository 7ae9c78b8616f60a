--- A local mesh of more nodes than one dials by itself: all reach each other, through relays where they must.

local process = require 'spec.support.process'

local NODES = 12

local SCRIPT = [[
  local mesh = require 'perilune'
  local stdio = require 'perilune.stdio'
  local name = mesh.self().name
  mesh.action('at ' .. name, function(n) return n + 1 end, { idempotent = true })

  --- Calls everybody, once nobody else is there; how many are neighbours.
  local function call_all(names)
    while #mesh.nodes() ~= #names do mesh.sleep(0.02) end
    for i, other in ipairs(names) do
      mesh.wait('at ' .. other, 60)
      assert(mesh.with { timeout = 60 }.call('at ' .. other, i) == i + 1)
    end
    local near = 0
    for _, n in ipairs(mesh.nodes()) do near = near + (n.hops == 1 and 1 or 0) end
    return near
  end

  local rounds = 0
  mesh.spawn(function()
    for line in stdio.lines() do
      local names = {}
      for other in line:gmatch '%S+' do names[#names + 1] = other end
      rounds = rounds + 1
      print('called', rounds, #names, call_all(names))
    end
  end)
]]

describe('a local mesh of twelve nodes', function()
  local dir, env

  before_each(function()
    dir = process.temp_dir { ['app.lua'] = SCRIPT }
    env = { XDG_RUNTIME_DIR = process.temp_dir() }
  end)

  local function start(name)
    local argv = { process.perilune, 'run', 'app.lua', '--name', name }
    local p = process.start(argv, { cwd = dir, env = env, stdin = true })
    p.name, p.rounds = name, 0
    return p
  end

  --- All call all; how many neighbours each has.
  local function call_all(nodes)
    local names, near = {}, {}
    for i, node in ipairs(nodes) do names[i] = node.name end
    for _, node in ipairs(nodes) do node:write(table.concat(names, ' ') .. '\n') end
    for i, node in ipairs(nodes) do
      node.rounds = node.rounds + 1
      local pattern = ('^called\t%d\t%d\t(%%d+)$'):format(node.rounds, #names)
      near[i] = tonumber(node:wait_line(pattern, nil, 'stdout'))
    end
    return near
  end

  it('is whole, whoever came when, and after some were killed and others came', function()
    local nodes = {}
    for i = 1, NODES do nodes[i] = start('n' .. i) end
    for _, node in ipairs(nodes) do node:wait_line '^ready ' end
    local links = 0
    for _, near in ipairs(call_all(nodes)) do
      assert.is_true(near > 0)
      links = links + near
    end
    assert.is_true(links < NODES * (NODES - 1), 'some are behind others')
    for _ = 1, 3 do
      local lost = table.remove(nodes, 2)
      lost:kill 'KILL'
      lost:wait()
    end
    for i = 1, 2 do
      nodes[#nodes + 1] = start('late' .. i)
      nodes[#nodes]:wait_line '^ready '
    end
    call_all(nodes)
  end)
end)
