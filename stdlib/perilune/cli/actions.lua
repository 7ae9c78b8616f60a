--- perilune actions [--tag WORD] [--json]

local client = require 'perilune.cli.client'
local columns = require 'perilune.cli.columns'
local mesh = require 'perilune'

local function row(action)
  local names = {}
  for i, provider in ipairs(action.providers) do names[i] = provider.name end
  table.sort(names)
  return { action.name, tostring(#names), table.concat(names, ', '), action.description or '' }
end

client.run(function()
  local options = client.arguments()
  client.join()
  local actions = mesh.actions { tag = options.tag }
  if options.json then
    client.write(client.json(mesh.array(actions)) .. '\n')
  else
    local rows = {}
    for i, action in ipairs(actions) do rows[i] = row(action) end
    client.write(columns.format({ 'ACTION', 'NODES', 'PROVIDED BY', 'DESCRIPTION' }, rows))
  end
end)
