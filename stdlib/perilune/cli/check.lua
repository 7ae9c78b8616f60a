--- perilune check FILE... [--json]

local client = require 'perilune.cli.client'
local fs = require 'perilune.fs'
local lint = require 'perilune.lint'
local mesh = require 'perilune'

local SIZE_MAX = 4 * 1024 * 1024 -- of a script

local function read(path)
  local ok, text = pcall(fs.read, path, { max = SIZE_MAX })
  if not ok then client.fail(tostring(text)) end
  return lint.read(path, text)
end

--- The names of the actions of the mesh; nil when there is none, and none was asked for.
local function actions()
  local _, reached = client.others()
  if not reached and not client.names_mesh() then
    client.complain 'no node runs in the local mesh: the names of actions were not checked'
    return nil
  end
  client.join()
  local names = {}
  for i, action in ipairs(mesh.actions()) do names[i] = action.name end
  return names
end

local function line_of(finding)
  return ('%s:%d:%d: %s\n'):format(finding.path, finding.line, finding.column, finding.text)
end

client.run(function()
  local options, words = client.arguments()
  local scripts = {}
  for i, path in ipairs(words) do scripts[i] = read(path) end
  local findings = lint.check(scripts, actions())
  if options.json then
    client.write(client.json(mesh.array(findings)) .. '\n')
  else
    for _, finding in ipairs(findings) do client.write(client.printable(line_of(finding))) end
  end
  if #findings > 0 then os.exit(1) end
end)
