--- Whether arguments that a script writes out can be what an action takes, by its schemas in their one form (see
--- perilune.schema). They come from anywhere: what is not in that form is not looked at.

local arguments = require 'perilune.lint.arguments'
local guess = require('perilune.core.sys').guess
local schema = require 'perilune.schema'

local M = {}

local check

local function say(report, node, path, wanted)
  report(node, ('%s: %s expected, got %s'):format(path, wanted, arguments.show(node)))
end

--- Bounds of a number, or of a length.
local function is_within(of, n)
  return not (math.type(of.min) and n < of.min or math.type(of.max) and n > of.max)
end

local UNITS = { string = ' bytes', bytes = ' bytes', list = ' values' }

--- What a schema wants, as the check of a call says it.
local function words_of(of)
  local kind, bounds = of.type or 'list', nil
  if of.min ~= nil and of.max ~= nil then
    bounds = ('%s to %s'):format(of.min, of.max)
  elseif of.min ~= nil or of.max ~= nil then
    bounds = of.min ~= nil and 'at least ' .. tostring(of.min) or 'at most ' .. tostring(of.max)
  end
  return bounds and ('%s of %s%s'):format(kind, bounds, UNITS[kind] or '') or kind
end

local TYPES = {
  any = function() return true end,
  int = function(of, node)
    return node.kind == 'number' and math.type(node.value) == 'integer' and is_within(of, node.value)
  end,
  number = function(of, node) return node.kind == 'number' and is_within(of, node.value) end,
  string = function(of, node) return node.kind == 'string' and utf8.len(node.value) and is_within(of, #node.value) end,
  bytes = function(of, node) return node.kind == 'string' and is_within(of, #node.value) end,
  boolean = function(_, node) return node.kind == 'boolean' end,
  table = function(_, node) return node.kind == 'table' end,
}

local function check_enum(of, node, path, report)
  local texts = {}
  for i, value in ipairs(of.enum) do
    if node.value == value then return end
    texts[i] = type(value) == 'string' and ("'%s'"):format(value) or tostring(value)
  end
  say(report, node, path, table.concat(texts, ', '))
end

local function check_list(of, node, path, report)
  if node.kind ~= 'table' then return say(report, node, path, 'list') end
  local count, is_open = 0, false
  for _, item in ipairs(node.items) do
    if item.key or item.name then
      is_open = true
    else
      count = count + 1
      is_open = is_open or not arguments.is_literal(item.value)
      check(of.list, item.value, ('%s[%d]'):format(path, count), report)
    end
  end
  if is_open or is_within(of, count) then return end
  report(node, ('%s: %s expected, got %d'):format(path, words_of(of), count))
end

local function names_of(fields)
  local names = {}
  for name in pairs(fields) do names[#names + 1] = tostring(name) end
  table.sort(names)
  return names
end

local function check_fields(of, node, path, report)
  if node.kind ~= 'table' then return say(report, node, path, 'table of fields') end
  local seen, is_open = {}, false
  for _, item in ipairs(node.items) do
    local field = item.name and of.fields[item.name]
    if not item.name then
      is_open = true -- a key that is not known, or one of several values
    elseif field or of.extra then
      seen[item.name] = true
      check(field or of.extra, item.value, path .. '.' .. item.name, report)
    else
      local meant = guess(item.name, names_of(of.fields))
      report(item, ('%s.%s: no such field%s'):format(path, item.name,
        meant and ("; did you mean '%s'?"):format(meant) or ''))
    end
  end
  for _, name in ipairs(is_open and {} or names_of(of.fields)) do
    local field = of.fields[name]
    if type(field) == 'table' and not field.optional and not seen[name] then
      report(node, ('%s.%s: it is missing'):format(path, name))
    end
  end
end

function check(of, node, path, report)
  if type(of) ~= 'table' or not arguments.is_literal(node) then return end
  if node.kind == 'nil' then
    if not of.optional then say(report, node, path, 'a value') end
  elseif type(of.enum) == 'table' then
    check_enum(of, node, path, report)
  elseif type(of.fields) == 'table' then
    check_fields(of, node, path, report)
  elseif of.list ~= nil then
    check_list(of, node, path, report)
  elseif TYPES[of.type] and not TYPES[of.type](of, node) then
    say(report, node, path, words_of(of))
  end
end

--- Checks what a call gives to an action.
---
---@param call table
---@param first integer Which of its arguments is the first of the action.
---@param params table[]
---@param report fun(node: table, text: string)
function M.check(call, first, params, report)
  local given = call.arguments
  local last = given[#given]
  local is_open = last and (last.kind == 'call' or last.kind == 'vararg')
  local count = #given - first + 1
  local rest = #params > 0 and type(params[#params]) == 'table' and params[#params].rest
  for i = 1, math.max(count, #params) do
    local of, node, path = params[i] or rest and params[#params], given[first + i - 1], ('args[%d]'):format(i)
    if node and not of then
      return report(node, ('args: at most %d expected, got %d'):format(#params, count))
    elseif node then
      check(of, node, path, report)
    elseif is_open then
      return
    elseif type(of) == 'table' and not of.optional and not of.rest then
      return report(call, ("%s: it is missing"):format(path))
    end
  end
end

--- The value of an expression that is written out; nil and false when it is not.
local function value_of(node)
  if node.kind ~= 'table' then
    return node.value, node.kind == 'string' or node.kind == 'number' or node.kind == 'boolean'
  end
  local result, count = {}, 0
  for _, item in ipairs(node.items) do
    local key, known = item.name, true
    if not key and item.key then
      key, known = value_of(item.key)
    elseif not key then
      count = count + 1
      key = count
    end
    local value, fine = value_of(item.value)
    if not known or not fine or key ~= key then return nil, false end
    result[key] = value
  end
  return result, true
end

--- The schemas that an option of mesh.action writes out; nil when they are not known. What is wrong with them is told.
---
---@param node table
---@param what string The option.
---@param report fun(node: table, text: string)
---@return table[]?
function M.read(node, what, report)
  local value, known = value_of(node)
  if not known or type(value) ~= 'table' then return nil end
  local ok, result = pcall(schema.read, value, what, 'mesh.action', 1)
  if ok then return result end
  report(node, tostring(result))
end

return M
