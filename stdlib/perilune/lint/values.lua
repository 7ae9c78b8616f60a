--- What expressions of a script are, as far as it can be known without running it: modules of perilune, their
--- functions, and the handles that those give.

local api = require 'perilune.api'
local types = require 'perilune.api.types'

local M = {}

local modules, classes, aliases = {}, {}, {}
for _, module in ipairs(api.modules()) do
  modules[module.name] = module
  for _, class in ipairs(module.classes) do classes[class.name] = class end
  for _, alias in ipairs(module.aliases) do aliases[alias[1]] = alias[2] end
end

local parsed = {}

--- The type that a text of the table of the API says; names of aliases are replaced.
---
---@param text string
---@return table
function M.type_of(text)
  if not parsed[text] then parsed[text] = types.parse(aliases[text] or text) end
  return parsed[text]
end

M.classes = classes

--- The class that a type names, alone or beside nil.
local function class_of(text)
  return text and classes[text:match '^([%w_.]+)%??$']
end

local function find_named(list, name)
  for _, row in ipairs(list or {}) do
    if (row.name or row[1]) == name then return row end
  end
end

--- A module, or a table of functions in it: `prefix` is then `hex.`.
local function module_value(module, prefix)
  prefix = prefix or ''
  return { kind = 'module', module = module, prefix = prefix, name = (module.name .. '.' .. prefix):sub(1, -2) }
end

local function handle_value(class) return class and { kind = 'handle', class = class, name = class.name } end

local function function_value(fn, name, more)
  more = more or {}
  more.kind, more.fn, more.name = 'function', fn, name
  return more
end

local function member_of_module(value, key)
  local module, name = value.module, value.prefix .. key
  local fn = find_named(module.functions, name)
  if fn then
    return function_value(fn, module.short .. '.' .. name, { full = module.name .. '.' .. name })
  end
  local row = find_named(module.values, name)
  if row then return handle_value(class_of(row[2])) or { kind = 'value' } end
  for _, one in ipairs(module.functions) do
    if one.name:sub(1, #name + 1) == name .. '.' then return module_value(module, name .. '.') end
  end
end

local function member_of_handle(value, key)
  local class = value.class
  local method = find_named(class.methods, key)
  if method then return function_value(method, ('%s:%s'):format(class.name, key), { of = class }) end
  local field = find_named(class.fields, key)
  if not field then return find_named(class.fields, '[string]') and { kind = 'value' } end
  if class.name == 'perilune.Caller' then
    return function_value({ name = key, params = { { 'name', 'string' }, { '...', 'any' } } }, 'mesh.with{…}.' .. key,
      { full = 'perilune.' .. key })
  end
  return handle_value(class_of(field[2])) or { kind = 'value' }
end

--- What a key of a module or handle is; nil when there is none.
---
---@param value table
---@param key string
---@return table?
function M.member(value, key)
  if value.kind == 'module' then return member_of_module(value, key) end
  if value.kind == 'handle' then return member_of_handle(value, key) end
  if value.kind ~= 'proxy' then return end
  return { kind = 'action', class = classes['perilune.Member'], name = value.prefix .. key }
end

--- The method of a handle, or of an action of a proxy; nil when there is none. Keys that are free are no methods.
---
---@param value table
---@param name string
---@return table?
function M.method(value, name)
  local method = find_named(value.class.methods, name) or find_named(value.class.fields, name)
  return method and member_of_handle(value, name)
end

--- The names that a module or handle has.
---
---@param value table
---@return string[]
function M.names(value)
  local names = {}
  local function add(list, prefix)
    for _, row in ipairs(list or {}) do
      local name = row.name or row[1]
      if name:sub(1, #prefix) == prefix then names[#names + 1] = name:sub(#prefix + 1):match '^[^.]+' end
    end
  end
  if value.kind == 'module' then
    add(value.module.functions, value.prefix)
    add(value.module.values, value.prefix)
  else
    add(value.class.methods, '')
    add(value.class.fields, '')
  end
  return names
end

local find = {}

---@class perilune.lint.Values
---@field globals table<string, boolean>
local Values = {}
Values.__index = Values

--- What an expression is; nil when that is not known.
---
---@param node table
---@return table?
function Values:of(node)
  if node.value_of == nil then
    local look = find[node.kind]
    node.value_of = look and look(self, node) or false
  end
  return node.value_of or nil
end

function find.name(self, node)
  local binding = node.binding
  if binding then return not binding.assigned and binding.init and self:of(binding.init) end
  -- Functions for simulated nodes have it as a global.
  return node.name == 'mesh' and not self.globals.mesh and module_value(modules.perilune)
end

function find.index(self, node)
  local object = self:of(node.object)
  return object and node.key and M.member(object, node.key)
end

function find.first(self, node) return self:of(node.of) end

local function required(node)
  local first = node.arguments[1]
  local is_require = node.fn.kind == 'name' and node.fn.name == 'require' and not node.fn.binding
  local module = is_require and first and first.kind == 'string' and modules[first.value]
  return module and not module.is_function and module_value(module)
end

--- The actions whose names begin with what mesh.proxy is given.
local function proxy_value(node)
  local first = node.arguments[1]
  return first and first.kind == 'string' and { kind = 'proxy', prefix = first.value .. '.' }
end

function find.call(self, node)
  if required(node) then return required(node) end
  local called = self:of(node.fn)
  if node.method then called = called and called.class and M.method(called, node.method) end
  if not called or called.kind ~= 'function' then return end
  if called.full == 'perilune.proxy' and proxy_value(node) then return proxy_value(node) end
  local first = called.fn.returns and called.fn.returns[1]
  return first and handle_value(class_of(first[1]))
end

--- For the program of a parser.
---
---@param program perilune.lint.Parser
---@return perilune.lint.Values
function M.new(program)
  local self = setmetatable({ globals = program.globals }, Values)
  -- In their order, so that no chain of them is long.
  for _, binding in ipairs(program.bindings) do
    if binding.init then self:of(binding.init) end
  end
  return self
end

return M
