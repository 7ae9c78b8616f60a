--- perilune types [--output PATH] [--format luacats|markdown] [--actions]

local client = require 'perilune.cli.client'
local described = require 'perilune.cli.described'
local fs = require 'perilune.fs'
local mesh = require 'perilune'
local node = require 'perilune.core.node'

local FORMATS = { luacats = 'perilune.api.annotations', markdown = 'perilune.api.pages' }

--- What is said of the actions of the mesh; nil unless they are asked for. What the environment says is not enough to
--- ask: then the same command would write something else.
local function actions_for(options)
  local given = node.options()
  local is_named = given.peers.source == 'command line' or given.mesh.source == 'command line'
  if not options.actions and not is_named then return nil end
  client.join()
  return described.of(mesh.actions())
end

local function files_of(options)
  local format = options.format or 'luacats'
  local module = FORMATS[format]
  if not module then
    client.refuse(("INVALID: --format: '%s' is neither luacats nor markdown"):format(format))
  end
  return require(module).files(format == 'luacats' and actions_for(options) or nil)
end

--- All files one after the other, each with its name before it.
local function join(files)
  local parts = {}
  for i, file in ipairs(files) do parts[i] = ('-- %s\n%s'):format(file.path, file.text) end
  return table.concat(parts, '\n')
end

local function write_folder(folder, files)
  for _, file in ipairs(files) do
    local path = folder .. '/' .. file.path
    fs.mkdir(path:match '^(.*)/', { parents = true })
    fs.write(path, file.text, { atomic = true })
  end
end

client.run(function()
  local options = client.arguments()
  local output = options.output
  if output == '' then client.refuse 'INVALID: --output: the path is empty' end
  local files = files_of(options)
  if not output then return client.write(join(files)) end
  if output:find '%.lua$' or output:find '%.md$' then return fs.write(output, join(files), { atomic = true }) end
  write_folder(output, files)
end)
