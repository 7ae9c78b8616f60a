--- perilune new DIR [--template NAME] [--name TEXT] [--force]

local client = require 'perilune.cli.client'
local fs = require 'perilune.fs'
local sorted_keys = require 'perilune.sorted_keys'

local TEMPLATES = { service = 'perilune.scaffold.service', client = 'perilune.scaffold.client' }
local NAME_MAX = 64

local function template_of(name)
  local module = TEMPLATES[name]
  if not module then client.refuse(("INVALID: no template '%s'; there are service and client"):format(name)) end
  return require(module)
end

--- The name of the project: what was given, or that of its folder.
local function name_of(dir, given)
  if given then
    if not given:find '^%w[%w._-]*$' or #given > NAME_MAX then
      client.refuse(("INVALID: --name: '%s' is not made of letters, digits and - _ ., or longer than %d")
        :format(given:sub(1, NAME_MAX), NAME_MAX))
    end
    return given
  end
  local path = dir:gsub('/+$', '')
  if path == '.' or path == '' then path = os.getenv 'PWD' or '' end
  local name = path:match '[^/]*$':gsub('[^%w._-]+', '-'):gsub('^[^%w]+', ''):sub(1, NAME_MAX)
  return name ~= '' and name or 'service'
end

--- A folder with something in it belongs to somebody.
local function check_folder(dir, force)
  if not fs.exists(dir) then return end
  if fs.stat(dir).type ~= 'directory' then client.fail(('INVALID: %s is there, and no folder'):format(dir)) end
  if #fs.list(dir) > 0 and not force then
    client.fail(('INVALID: the folder %s is not empty\n  --force writes into it, over files of the same names')
      :format(dir))
  end
end

local function write_all(dir, files, name)
  fs.mkdir(dir, { parents = true })
  for _, path in ipairs(sorted_keys(files)) do
    local folder = path:match '^(.*)/'
    if folder then fs.mkdir(dir .. '/' .. folder, { parents = true }) end
    fs.write(dir .. '/' .. path, (files[path]:gsub('%$NAME', name)))
  end
end

local function quoted(path)
  if path:find '^%-' then path = './' .. path end
  if path:find '^[%w._/+-]+$' then return path end
  return "'" .. path:gsub("'", [['\'']]) .. "'"
end

--- What to type now, line by line.
local function describe(dir, name, template, files)
  local lines = { ('%s is in %s: %s'):format(name, quoted(dir), table.concat(sorted_keys(files), ', ')), '' }
  local function add(text) lines[#lines + 1] = text end
  if dir ~= '.' then add('  cd ' .. quoted(dir)) end
  for _, command in ipairs(template.next) do add('  ' .. command) end
  if template.elsewhere then
    add ''
    add 'and from another terminal:'
    add ''
    for _, command in ipairs(template.elsewhere) do add('  ' .. command) end
  end
  add ''
  add(template.last)
  return table.concat(lines, '\n') .. '\n'
end

client.run(function()
  local options, words = client.arguments()
  local dir = words[1]
  if dir == '' then client.refuse 'INVALID: DIR is empty' end
  local template = template_of(options.template or 'service')
  local name = name_of(dir, options.name)
  check_folder(dir, options.force)
  local files = {}
  for _, some in ipairs { require 'perilune.scaffold.common', template.files } do
    for path, text in pairs(some) do files[path] = text end
  end
  write_all(dir, files, name)
  client.write(describe(dir, name, template, files))
end)
