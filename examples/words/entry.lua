--- Where clients enter the mesh; tells them which way their calls go from here.

local mesh = require 'perilune'


--- Returns a map: name of each node that is further than a neighbour = name of the neighbour on the way to it.
mesh.action('ways', function()
  local names, ways = {}, {}
  local nodes = mesh.nodes()
  for _, node in ipairs(nodes) do names[node.id] = node.name end
  for _, node in ipairs(nodes) do
    if node.hops > 1 then ways[node.name] = names[node.via] end
  end
  return ways
end, { description = 'which neighbour of this node is on the way to whom' })
