--- perilune types [--output PATH] [--format luacats|markdown]

local client = require 'perilune.cli.client'
local fs = require 'perilune.fs'

local FORMATS = { luacats = 'perilune.api.annotations', markdown = 'perilune.api.pages' }

local function files_of(format)
  local module = FORMATS[format]
  if not module then
    client.refuse(("INVALID: --format: '%s' is neither luacats nor markdown"):format(format))
  end
  return require(module).files()
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
  local files = files_of(options.format or 'luacats')
  if not output then return client.write(join(files)) end
  if output:find '%.lua$' or output:find '%.md$' then return fs.write(output, join(files), { atomic = true }) end
  write_folder(output, files)
end)
