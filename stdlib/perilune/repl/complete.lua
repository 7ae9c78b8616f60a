--- What may follow what was typed: names, fields, and the actions of the mesh. Nothing of the script is called for it.

local commands = require 'perilune.repl.commands'
local mesh = require 'perilune'
local sorted_keys = require 'perilune.sorted_keys'

local M = {}

local DEPTH = 8 -- of metatables
local KEYS = 10000 -- of one table that are looked at

local KEYWORDS = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat return then true
  until while]]):gmatch '%a+' do
  KEYWORDS[word] = true
end

--- The table in which the fields of a value are found beside its own.
local function behind(value)
  local meta = debug.getmetatable(value)
  local index = type(meta) == 'table' and rawget(meta, '__index')
  return type(index) == 'table' and index or nil
end

local function own(value, key)
  for _ = 1, DEPTH do
    if value == nil then return nil end
    local found = type(value) == 'table' and rawget(value, key)
    if found ~= nil and found ~= false then return found end
    value = behind(value)
  end
end

local function add_keys(found, value, prefix)
  for _ = 1, DEPTH do
    if type(value) ~= 'table' then value = behind(value) end
    if type(value) ~= 'table' then return end
    local seen = 0
    for key in next, value do
      seen = seen + 1
      if seen > KEYS then break end
      local is_name = type(key) == 'string' and key:find '^[%a_][%w_]*$' and not KEYWORDS[key]
      if is_name and key:sub(1, #prefix) == prefix then found[key] = true end
    end
    value = behind(value)
  end
end

local function add_matching(found, names, prefix)
  for _, name in ipairs(names) do
    if name:sub(1, #prefix) == prefix then found[name] = true end
  end
end

local CALLS = { call = true, stream = true, wait = true, explain = true }

--- Inside of the first argument of a call over the mesh.
local function action_prefix(text)
  local name, prefix = text:match '[.:]([%a_]+)%s*%(?%s*["\']([^"\'\n]*)$'
  return name and CALLS[name] and prefix or nil
end

local function actions()
  local names = {}
  local ok, list = pcall(mesh.actions)
  for i, action in ipairs(ok and list or {}) do names[i] = action.name end
  return names
end

--- The value that `a.b.c` names, without calling anything.
local function resolve(environment, path)
  local value = environment
  for name in path:gmatch '[%a_][%w_]*' do
    value = own(value, name)
    if value == nil then return nil end
  end
  return value
end

--- What may stand for the end of `text`, which is what is before the cursor: its first byte, and the words in order.
---
---@param text string
---@param environment table
---@return integer from
---@return string[] words
function M.candidates(text, environment)
  local found = {}
  local command = text:match '^:%a*$'
  if command then
    add_matching(found, commands.names, command)
    return 1, sorted_keys(found)
  end
  local action = action_prefix(text)
  if action then
    add_matching(found, actions(), action)
    return #text - #action + 1, sorted_keys(found)
  end
  local path, prefix = text:match '([%a_][%w_.:]*)[.:]([%w_]*)$'
  if path then
    add_keys(found, resolve(environment, path), prefix)
    return #text - #prefix + 1, sorted_keys(found)
  end
  prefix = text:match '[%w_]*$'
  if prefix == '' or text:find '[.:]%s*[%w_]*$' or prefix:find '^%d' then return #text + 1, {} end
  add_keys(found, environment, prefix)
  for word in pairs(KEYWORDS) do add_matching(found, { word }, prefix) end
  return #text - #prefix + 1, sorted_keys(found)
end

return M
