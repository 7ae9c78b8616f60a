--- Whether arguments that a script writes out can be what a function takes.

local guess = require('perilune.core.sys').guess
local values = require 'perilune.lint.values'

local M = {}

local LITERALS = { ['nil'] = true, boolean = true, number = true, string = true, table = true, ['function'] = true }

--- Whether it is known what an expression is.
function M.is_literal(node) return LITERALS[node.kind] end

local SHOWN = 40

--- An expression in words.
function M.show(node)
  if node.kind == 'string' then
    local text = node.value:gsub('[%c\127]', '?')
    if #text > SHOWN then text = text:sub(1, utf8.offset(text, 0, SHOWN) - 1) .. '…' end
    return ("string '%s'"):format(text)
  end
  if node.kind == 'number' then return 'number ' .. tostring(node.value) end
  return node.kind
end

local fits

local NAMED = {
  any = function() return true end,
  ['nil'] = function(node) return node.kind == 'nil' end,
  string = function(node) return node.kind == 'string' end,
  boolean = function(node) return node.kind == 'boolean' end,
  number = function(node) return node.kind == 'number' end,
  integer = function(node) return node.kind == 'number' and math.type(node.value) == 'integer' end,
  table = function(node) return node.kind == 'table' end,
  ['function'] = function(node) return node.kind == 'function' end,
}

local KINDS = {
  name = function(kind, node)
    local named = NAMED[kind.name]
    if named then return named(node) end
    local whole = values.type_of(kind.name)
    if whole.kind ~= 'name' then return fits(whole, node) end -- an alias
    return node.kind == 'table'
  end,
  union = function(kind, node)
    for _, one in ipairs(kind.list) do
      if fits(one, node) then return true end
    end
    return false
  end,
  literal = function(kind, node) return node.kind == 'string' and node.value == kind.value end,
  list = function(_, node) return node.kind == 'table' end,
  fields = function(_, node) return node.kind == 'table' end,
  ['function'] = function(_, node) return node.kind == 'function' end,
}

function fits(kind, node)
  return not M.is_literal(node) or KINDS[kind.kind](kind, node)
end

--- The fields of a type that is a table of options: `{ name, type }` each; nil for others.
local function options_of(kind)
  if kind.kind == 'union' then
    local found
    for _, one in ipairs(kind.list) do
      local is_nil = one.kind == 'name' and one.name == 'nil'
      if not is_nil then
        if found then return nil end
        found = one
      end
    end
    kind = found
  end
  if not kind then return nil end
  if kind.kind == 'fields' then
    local rows = {}
    for i, field in ipairs(kind.fields) do rows[i] = { field.name, kind = field.type } end
    return rows
  end
  local class = kind.kind == 'name' and values.classes[kind.name]
  return class and not class.methods and class.fields
end

local function wanted(text) return (text:gsub('%?$', '')) end

local function names_of(rows)
  local names = {}
  for i, row in ipairs(rows) do names[i] = row[1] end
  table.sort(names)
  return names
end

--- The options that a table names must be some.
local function check_options(table_node, rows, name, report)
  local by_name = {}
  for _, row in ipairs(rows) do by_name[row[1]] = row end
  for _, item in ipairs(table_node.items) do
    local row = item.name and by_name[item.name]
    if item.name and not row then
      local meant = guess(item.name, names_of(rows))
      report(item, ("unknown option '%s' of %s%s"):format(item.name, name,
        meant and ("; did you mean '%s'?"):format(meant) or ''))
    elseif row and not fits(row.kind or values.type_of(row[2]), item.value) then
      report(item.value, ("option '%s' of %s: %s expected, got %s"):format(item.name, name,
        row[2] and wanted(row[2]) or 'another type', M.show(item.value)))
    end
  end
end

local function check_one(node, param, position, name, report)
  local kind = values.type_of(param[2])
  if not fits(kind, node) then
    return report(node, ("argument %d of %s ('%s'): %s expected, got %s"):format(position, name, param[1],
      wanted(param[2]), M.show(node)))
  end
  local rows = node.kind == 'table' and options_of(kind)
  if rows then check_options(node, rows, name, report) end
end

local NIL = { kind = 'nil' }

--- Checks the arguments of a call of a function that is declared.
---
---@param call table
---@param fn table
---@param name string For errors.
---@param report fun(node: table, text: string)
function M.check(call, fn, name, report)
  local given = call.arguments
  local last = given[#given]
  local is_open = last and (last.kind == 'call' or last.kind == 'vararg')
  for i, param in ipairs(fn.params or {}) do
    if param[1] == '...' then
      for k = i, #given do check_one(given[k], param, k, name, report) end
      return
    end
    if given[i] then
      check_one(given[i], param, i, name, report)
    elseif is_open then
      return
    elseif not fits(values.type_of(param[2]), NIL) then
      return report(call, ("%s: argument %d ('%s') is missing"):format(name, i, param[1]))
    end
  end
end

return M
