--- perilune check FILE... [--json]

local client = require 'perilune.cli.client'
local described = require 'perilune.cli.described'
local fs = require 'perilune.fs'
local lint = require 'perilune.lint'
local mesh = require 'perilune'

local SIZE_MAX = 1024 * 1024 -- of a script

local function add(review, path)
  local ok, text = pcall(fs.read, path, { max = SIZE_MAX })
  if not ok then client.fail(tostring(text)) end
  lint.add(review, path, text)
  mesh.sleep(0) -- what computes for long without a wait is ended
end

--- The actions of the mesh, those that are called with what is said of them; nil when there is no mesh, and none was
--- asked for.
local function actions_for(review)
  local _, reached = client.others()
  if not reached and not client.names_mesh() then
    client.complain 'no node runs in the local mesh: the names of actions were not checked'
    return nil
  end
  client.join()
  local is_called, actions, to_ask = {}, {}, {}
  for _, one in ipairs(review.calls) do is_called[one.name] = true end
  for _, action in ipairs(mesh.actions()) do
    actions[action.name] = {}
    if is_called[action.name] then to_ask[#to_ask + 1] = action end
  end
  for name, told in pairs(described.of(to_ask)) do
    actions[name] = { params = type(told.params) == 'table' and told.params or nil }
  end
  return actions
end

local function line_of(finding)
  return ('%s:%d:%d: %s\n'):format(finding.path, finding.line, finding.column, finding.text)
end

client.run(function()
  local options, words = client.arguments()
  local review = lint.new()
  for _, path in ipairs(words) do add(review, path) end
  local findings = lint.findings(review, actions_for(review))
  if options.json then
    client.write(client.json(mesh.array(findings)) .. '\n')
  else
    for _, finding in ipairs(findings) do client.write(client.printable(line_of(finding))) end
  end
  if #findings > 0 then os.exit(1) end
end)
