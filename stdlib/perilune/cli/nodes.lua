--- perilune nodes [--json]

local client = require 'perilune.cli.client'
local columns = require 'perilune.cli.columns'
local mesh = require 'perilune'

--- The name of the neighbour that leads to the node; '-' for a neighbour itself.
local function way(node, names)
  return node.via == node.id and '-' or names[node.via] or node.via
end

local function row(node, names)
  local state = node.draining and 'draining' or node.state
  local cost = node.cost > 0 and ('%.3f ms'):format(node.cost * 1e3) or '-'
  return { node.name, node.id, tostring(node.hops), way(node, names), cost, state, tostring(#node.actions) }
end

client.run(function()
  local options = client.arguments()
  local nodes = client.join()
  table.sort(nodes, function(a, b) return a.name ~= b.name and a.name < b.name or a.name == b.name and a.id < b.id end)
  if options.json then
    for _, node in ipairs(nodes) do mesh.array(node.actions) end
    client.write(client.json(mesh.array(nodes)) .. '\n')
  else
    local rows, names = {}, {}
    for _, node in ipairs(nodes) do names[node.id] = node.name end
    for i, node in ipairs(nodes) do rows[i] = row(node, names) end
    client.write(columns.format({ 'NAME', 'ID', 'HOPS', 'VIA', 'COST', 'STATE', 'ACTIONS' }, rows))
  end
end)
