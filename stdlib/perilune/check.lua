--- Checks of arguments: misuse raises at the line that called the checked function and names what is wrong.

local guess = require('perilune.core.sys').guess

local M = {}

local kinds = {
  integer = function(value) return math.type(value) == 'integer' end,
  path = function(value) return type(value) == 'string' and not value:find('\0', 1, true) end,
  text = function(value) return type(value) == 'string' and not value:find('\0', 1, true) end,
  bytes = function(value) return type(value) == 'string' end,
  any = function(value) return value ~= nil end,
  seconds = function(value) return type(value) == 'number' and value >= 0 and value < math.huge end,
  priority = function(value) return value == 'high' or value == 'normal' or value == 'low' end,
  count = function(value) return math.type(value) == 'integer' and value >= 0 end,
}

local shown = { path = 'string without NUL', text = 'string without NUL', bytes = 'string', any = 'value',
  seconds = 'number of seconds from 0 on', count = 'whole number from 0 on',
  priority = "'high', 'normal' or 'low'" }

--- Whether `value` is of `kind`: a type of Lua or one of the above, `?` before it allows nil.
local function is(value, kind)
  local optional = kind:sub(1, 1) == '?'
  if optional then
    if value == nil then return true end
    kind = kind:sub(2)
  end
  local test = kinds[kind]
  if test then return test(value) end
  return type(value) == kind
end

--- What was given, in an error: its type, or the number that is out of bounds.
local function got(value)
  return type(value) == 'number' and tostring(value) or type(value)
end

local function wanted(kind)
  kind = kind:gsub('^%?', '')
  return shown[kind] or kind
end

--- Raises at the caller's caller unless argument `position` of function `name` is of `kind`.
---
---@param value any
---@param kind string
---@param position integer
---@param name string
function M.arg(value, kind, position, name)
  if is(value, kind) then return end
  error(("bad argument #%d to '%s' (%s expected, got %s)")
    :format(position, name, wanted(kind), got(value)), 3)
end

--- Raises at the caller's caller unless `value` is a function; `what` takes it.
---
---@param value any
---@param what string
function M.fn(value, what)
  if type(value) ~= 'function' then error(('%s: a function is expected, got %s'):format(what, type(value)), 3) end
end

--- Which option may have been meant, in words, or nothing.
local function meant(key, schema)
  local names = {}
  for name, kind in pairs(schema) do
    if kind ~= 'later' then names[#names + 1] = name end
  end
  table.sort(names)
  local nearest = type(key) == 'string' and guess(key, names)
  return nearest and ("; did you mean '%s'?"):format(nearest) or ''
end

--- Checks a table of options against a table of kinds and returns it, an empty one for nil.
---
---@param options table?
---@param schema table<string, string>
---@param position integer
---@param name string
---@return table
function M.options(options, schema, position, name)
  if options == nil then return {} end
  if type(options) ~= 'table' then
    error(("bad argument #%d to '%s' (table expected, got %s)"):format(position, name, type(options)), 3)
  end
  for key, value in pairs(options) do
    local kind = schema[key]
    if not kind then error(("unknown option '%s' of %s%s"):format(tostring(key), name, meant(key, schema)), 3) end
    if kind == 'later' then
      error(("option '%s' of %s is not available in this version"):format(key, name), 3)
    end
    if not is(value, kind) then
      error(("option '%s' of %s: %s expected, got %s"):format(key, name, wanted(kind), got(value)), 3)
    end
  end
  return options
end

--- The strings and numbers that a function writes as one string; one string alone is not copied.
---
---@param name string
---@param ... string|number
---@return string
function M.join(name, ...)
  local count = select('#', ...)
  for i = 1, count do
    local kind = type((select(i, ...)))
    if kind ~= 'string' and kind ~= 'number' then
      error(("bad argument #%d to '%s' (string expected, got %s)"):format(i, name, kind), 3)
    end
  end
  if count == 1 then return tostring((...)) end
  return table.concat { ... }
end

return M
