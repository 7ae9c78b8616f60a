--- Annotations of the actions of a mesh: what nodes say of them, as overloads of mesh.call and mesh.stream. It comes
--- from anywhere: what cannot stand in a comment of one line is left out, and nothing grows without a bound.

local sorted_keys = require 'perilune.sorted_keys'

local M = {}

local DEPTH_MAX = 16
local LENGTH_MAX = 4000 -- bytes of one overload; a longer one says less
local SHOWN = 200 -- bytes of a description

local WORDS = {
  int = 'integer', number = 'number', string = 'string', bytes = 'string', boolean = 'boolean', table = 'table',
  any = 'any',
}

local KEYWORDS = {}
for word in ('and break do else elseif end false for function goto if in local nil not or repeat return then true '
  .. 'until while'):gmatch '%a+' do
  KEYWORDS[word] = true
end

--- A string in single quotes; nil for one with characters that would need more than that.
local function quoted(text)
  if type(text) ~= 'string' or text:find "[%c'\\\127]" or not utf8.len(text) then return nil end
  return "'" .. text .. "'"
end

local type_of

local function enum_of(values)
  local parts = {}
  for i, value in ipairs(values) do
    local written = quoted(value) or (math.type(value) == 'integer' or type(value) == 'boolean') and tostring(value)
    local is_simple = type(value) == 'string' or type(value) == 'number'
    parts[i] = written or is_simple and type(value) or 'any'
  end
  return #parts > 0 and table.concat(parts, '|') or 'any'
end

local function fields_of(schema, depth)
  local parts = {}
  for i, name in ipairs(sorted_keys(schema.fields)) do
    local is_name, text = name:find '^[%a_][%w_]*$' and not KEYWORDS[name], quoted(name)
    local shown = is_name and name or text and ('[%s]'):format(text)
    if not shown then return 'table' end
    parts[i] = ('%s: %s'):format(shown, type_of(schema.fields[name], depth))
  end
  if schema.extra then parts[#parts + 1] = '[string]: any' end
  return '{ ' .. table.concat(parts, ', ') .. ' }'
end

--- A schema in its one form as a type.
function type_of(schema, depth)
  if type(schema) ~= 'table' or depth > DEPTH_MAX then return 'any' end
  local text
  if type(schema.enum) == 'table' then
    text = enum_of(schema.enum)
  elseif type(schema.fields) == 'table' then
    text = fields_of(schema, depth + 1)
  elseif schema.list ~= nil then
    text = type_of(schema.list, depth + 1)
    text = (text:find '[|?]' and '(' .. text .. ')' or text) .. '[]'
  else
    text = WORDS[schema.type] or 'any'
  end
  if not schema.optional or text == 'any' then return text end
  return (text:find '|' and '(' .. text .. ')' or text) .. '?'
end

local function name_of(told, i)
  local name = type(told.names) == 'table' and told.names[i]
  local fine = type(name) == 'string' and name:find '^[%a_][%w_]*$' and not KEYWORDS[name] and name ~= 'name'
  return fine and name or 'arg' .. i
end

--- The parameters after the name of the action.
local function parameters(told)
  local parts = {}
  if type(told.params) ~= 'table' then
    for i in ipairs(type(told.names) == 'table' and told.names or {}) do
      parts[i] = name_of(told, i) .. '?: any'
    end
    parts[#parts + 1] = '...: any'
    return parts
  end
  for i, schema in ipairs(told.params) do
    local is_rest = type(schema) == 'table' and schema.rest
    parts[i] = ('%s: %s'):format(is_rest and '...' or name_of(told, i), type_of(schema, 1))
  end
  return parts
end

local function results(told)
  if type(told.returns) ~= 'table' then return '...: any' end
  local parts = {}
  for i, schema in ipairs(told.returns) do
    local is_rest = type(schema) == 'table' and schema.rest
    parts[i] = (is_rest and '...: ' or '') .. type_of(schema, 1)
  end
  return #parts > 0 and table.concat(parts, ', ') or 'nil'
end

--- An action as a function of its arguments alone.
local function signature(told)
  local text = ('fun(%s): %s'):format(table.concat(parameters(told), ', '), results(told))
  return #text <= LENGTH_MAX and text or 'fun(...: any): any'
end

local function overload(name, told, result)
  local parts = parameters(told)
  table.insert(parts, 1, 'name: ' .. name)
  local text = ('fun(%s): %s'):format(table.concat(parts, ', '), result)
  return #text <= LENGTH_MAX and text or ('fun(name: %s, ...: any): %s'):format(name, 'any')
end

--- The first line of a description, without what would steer a terminal.
local function first_line(text)
  if type(text) ~= 'string' or not utf8.len(text) then return nil end
  local line = text:match '^[^\r\n]*':gsub('[%c\127]', ' ')
  if #line > SHOWN then line = line:sub(1, utf8.offset(line, 0, SHOWN) - 1) .. '…' end
  return line ~= '' and line or nil
end

---@class perilune.api.Overloads
---@field names { [1]: string, [2]: string? }[] Actions, quoted, and what they do.
---@field call string[]
---@field stream string[]
---@field proxy string[]
---@field proxies { name: string, fields: table[] }[] Classes: one for each beginning of names.

--- Adds an action to the proxy of what its name begins with.
local function add_member(all, by_prefix, action, told)
  local prefix, member = action:match '^([%a_][%w_.]*)%.([%a_][%w_]*)$'
  if not prefix or KEYWORDS[member] or (prefix .. '.'):find('..', 1, true) then return end
  local class = by_prefix[prefix]
  if not class then
    class = { name = 'perilune.Proxy.' .. prefix, fields = {} }
    by_prefix[prefix] = class
    table.insert(all.proxies, class)
    table.insert(all.proxy, ("fun(name: '%s', options: perilune.CallOptions?): %s"):format(prefix, class.name))
  end
  table.insert(class.fields, { member, 'perilune.Member|' .. signature(told), first_line(told.description) })
end

--- What is to be written of actions.
---
---@param described table<string, perilune.Description>
---@return perilune.api.Overloads
function M.of(described)
  local all, by_prefix = { names = {}, call = {}, stream = {}, proxy = {}, proxies = {} }, {}
  for _, action in ipairs(sorted_keys(described)) do
    local name, told = quoted(action), described[action]
    if name then
      table.insert(all.names, { name, first_line(told.description) })
      table.insert(all.call, overload(name, told, results(told)))
      table.insert(all.stream, overload(name, told, 'perilune.Stream'))
      add_member(all, by_prefix, action, told)
    end
  end
  return all
end

return M
