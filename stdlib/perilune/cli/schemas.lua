--- Schemas in words, and values that fit them, for who reads a description.

local json = require 'perilune.json'
local sorted_keys = require 'perilune.sorted_keys'

local M = {}

local LIST_SHOWN, DEPTH_SHOWN = 3, 8

local function bounds(schema, unit)
  local low, high = schema.min, schema.max
  if low and high then return (' %s %s to %s%s'):format(unit and 'of' or 'from', low, high, unit or '') end
  if low then return (' of at least %s%s'):format(low, unit or '') end
  if high then return (' of at most %s%s'):format(high, unit or '') end
  return ''
end

local function constants(values)
  local shown = {}
  for i, value in ipairs(values) do shown[i] = json.encode(value) end
  return (#values > 1 and 'one of ' or '') .. table.concat(shown, ', ')
end

--- What fits, without what is in it.
---
---@param schema table
---@return string
function M.text(schema)
  local text
  if schema.enum then
    text = constants(schema.enum)
  elseif schema.list then
    text = 'list' .. bounds(schema, ' values')
    if not schema.list.fields and not schema.list.list then text = text .. ', each ' .. M.text(schema.list) end
  elseif schema.fields then
    text = next(schema.fields) and 'table' or 'table of any fields'
    if next(schema.fields) and schema.extra then text = 'table, and any other fields' end
  else
    local is_text = schema.type == 'string' or schema.type == 'bytes'
    text = schema.type .. bounds(schema, is_text and ' bytes' or nil)
    if schema.pattern then text = ("%s like '%s'"):format(text, schema.pattern) end
  end
  if schema.optional then text = text .. ', optional' end
  if schema.rest then text = text .. ', any number of them' end
  return text
end

--- Lines for what is in it: `add(label, text, depth, description)` for each field.
---
---@param schema table
---@param depth integer
---@param add fun(label: string, text: string, depth: integer, description: string?)
function M.inside(schema, depth, add)
  if depth > DEPTH_SHOWN then return end
  if schema.list and (schema.list.fields or schema.list.list) then
    add('each', M.text(schema.list), depth, schema.list.description)
    return M.inside(schema.list, depth + 1, add)
  end
  for _, name in ipairs(sorted_keys(schema.fields or {})) do
    add(name, M.text(schema.fields[name]), depth, schema.fields[name].description)
    M.inside(schema.fields[name], depth + 1, add)
  end
  if type(schema.extra) == 'table' and schema.fields and schema.extra.type ~= 'any' then
    add('…', M.text(schema.extra), depth, schema.extra.description)
    M.inside(schema.extra, depth + 1, add)
  end
end

local function example_number(schema)
  local value = schema.type == 'int' and 1 or 1.5
  if schema.min and value < schema.min then value = schema.min end
  if schema.max and value > schema.max then value = schema.max end
  if schema.type == 'int' then value = math.tointeger(value) or math.ceil(value) end
  return json.encode(value)
end

local function example_string(schema)
  local text = 'text'
  if schema.min and #text < schema.min then text = text .. ('x'):rep(math.min(schema.min, 40) - #text) end
  if schema.max then text = text:sub(1, schema.max) end
  return json.encode(text)
end

local function example_fields(schema)
  local names, parts = {}, {}
  for name, field in pairs(schema.fields) do
    if not field.optional then names[#names + 1] = name end
  end
  table.sort(names)
  for i, name in ipairs(names) do parts[i] = json.encode(name) .. ':' .. M.example(schema.fields[name]) end
  return '{' .. table.concat(parts, ',') .. '}'
end

--- A value that fits, as JSON; of a pattern it is only a string.
---
---@param schema table
---@return string
function M.example(schema)
  if schema.enum then return json.encode(schema.enum[1]) end
  if schema.fields then return example_fields(schema) end
  if schema.list then
    local parts = {}
    for i = 1, math.max(1, math.min(schema.min or 2, schema.max or 2, LIST_SHOWN)) do
      parts[i] = M.example(schema.list)
    end
    return '[' .. (schema.max == 0 and '' or table.concat(parts, ',')) .. ']'
  end
  if schema.type == 'int' or schema.type == 'number' then return example_number(schema) end
  if schema.type == 'string' or schema.type == 'bytes' then return example_string(schema) end
  return schema.type == 'boolean' and 'true' or schema.type == 'table' and '{}' or '"anything"'
end

return M
