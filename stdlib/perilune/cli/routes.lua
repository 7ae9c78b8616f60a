--- perilune routes [--json]

local client = require 'perilune.cli.client'
local columns = require 'perilune.cli.columns'
local mesh = require 'perilune'

client.run(function()
  local options = client.arguments()
  local names = {}
  for _, node in ipairs(client.join()) do names[node.id] = node.name end
  local routes = mesh.routes()
  table.sort(routes, function(a, b)
    if a.cost ~= b.cost then return a.cost < b.cost end
    return a.name ~= b.name and a.name < b.name or a.name == b.name and a.id < b.id
  end)
  if options.json then
    for _, route in ipairs(routes) do mesh.array(route.next) end
    return client.write(client.json(mesh.array(routes)) .. '\n')
  end
  local rows = {}
  for i, route in ipairs(routes) do
    local via = {}
    for k, id in ipairs(route.next) do via[k] = id == route.id and '-' or names[id] or id end
    local cost = ('%.3f ms'):format(route.cost * 1e3)
    rows[i] = { route.name, route.id, tostring(route.hops), cost, table.concat(via, ', ') }
  end
  client.write(columns.format({ 'NAME', 'ID', 'HOPS', 'COST', 'VIA' }, rows))
end)
