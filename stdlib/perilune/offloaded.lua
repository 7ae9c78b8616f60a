--- What stands in for the mesh where offloaded code runs (`mesh.offload`), so that a module that mentions the mesh can
--- be used there for what does not need it.

local errors = require 'perilune.core.error'
local sys = require 'perilune.core.sys'
local value = require 'perilune.core.value'

local function refuse(what)
  error(errors.new {
    code = 'UNSUPPORTED',
    message = 'not available in offloaded code: ' .. what,
    outcome = 'not_executed',
  })
end

local mesh = {
  null = value.null,
  bytes = value.bytes,
  array = value.array,
  now = sys.monotonic,
}

for _, name in ipairs { 'state', 'shared' } do
  local function refuse_it() refuse('mesh.' .. name) end
  mesh[name] = setmetatable({}, { __index = refuse_it, __newindex = refuse_it, __pairs = refuse_it })
end

-- Asking for a function is no harm: modules do when they are loaded.
setmetatable(mesh, {
  __index = function(_, name)
    return function() refuse('mesh.' .. tostring(name)) end
  end,
})

--- Calls a function of a module with what follows.
---
---@param module string
---@param name string
---@param ... any
---@return any ...
local function run(module, name, ...)
  local functions = require(module)
  local fn = type(functions) == 'table' and functions[name] or nil
  if type(fn) ~= 'function' then
    error(errors.new {
      code = 'INVALID',
      message = ("mesh.offload: the module '%s' has no function '%s'"):format(module, name),
      outcome = 'not_executed',
    })
  end
  return fn(...)
end

return { mesh = mesh, run = run }
