--- What a node holds of what it knows: known.lua nodes COUNT, known.lua offer, or known.lua actions COUNT
---
--- "nodes" simulates a mesh of so many and prints the resident memory of each, all that others are to it included.
--- "offer" is a node that provides as many actions as it is asked for; "actions" asks it, and prints by how much this
--- node grew for each.

local mesh = require 'perilune'

local what, count = arg[1], tonumber(arg[2])

local function resident()
  local file <close> = assert(io.open '/proc/self/status')
  return tonumber(file:read('a'):match 'VmRSS:%s+(%d+) kB') * 1024
end

local function nodes()
  local before = resident()
  local net <close> = mesh.sim { seed = 5, nodes = count, topology = 'tree' }
  for _ = 1, 10 do
    net:advance(1)
    mesh.sleep(0) -- a script that computes must wait now and then
  end
  print(('bytes=%.0f'):format((resident() - before) / count))
  os.exit(0) -- it takes its time to end them one by one
end

local function offer()
  mesh.action('offer', function(actions)
    for i = 1, actions do mesh.action('known.action_' .. i, function() end) end
  end)
end

local function actions()
  mesh.action('knows', function() end) -- whoever offers something takes part in the mesh
  mesh.wait('offer', 10)
  local before = resident()
  mesh.call('offer', count)
  mesh.wait('known.action_' .. count, 10)
  mesh.sleep(0.2)
  print(('bytes=%.0f'):format((resident() - before) / count))
  os.exit(0)
end

local parts = { nodes = nodes, offer = offer, actions = actions }
local work = parts[what] or error('no such part: ' .. tostring(what))
work()
