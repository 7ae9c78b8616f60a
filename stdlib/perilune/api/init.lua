--- The Lua surface as data: what is declared here is what scripts can use, no more and no less. Annotations for editors
--- (perilune.api.annotations), the reference pages (perilune.api.pages) and `perilune check` are made of it, and
--- spec/functional/api_spec.lua holds it against the running modules.
---
--- A module is a table in a file of its own, some in several:
---
---     name = 'perilune.fs', text = 'What it is for.',
---     errors = { text },         -- that all of its functions may raise
---     is_function = true,        -- the module is no table; its file declares classes
---     values = { { name, type, text } },
---     functions = { FUNCTION }, aliases = { { name, type } }, classes = { CLASS },
---     more = { 'perilune.api.…' } -- files with more of the same lists
---
--- A function: `name`, `text`, `params = { { name, type, text } }`, `returns = { { type, name, text } }`, `errors`
--- (texts, beginning with the code), and `example` with what it `prints`. A class: `name`, `text`, `fields` as
--- values, `methods` as functions, `operator` as LuaCATS has it. Types are those of LuaCATS.

local M = {}

--- As the reference lists them; perilune itself first.
M.names = {
  'mesh', 'fs', 'files', 'process', 'dns', 'stdio', 'time', 'json', 'msgpack', 'crypto', 'url', 'log', 'test', 'sim',
}

local function append(list, more)
  return more and table.move(more, 1, #more, #list + 1, list) or list
end

local loaded = {}

--- The declaration of a module, with all lists.
---
---@param name string One of `names`.
---@return table
function M.module(name)
  if loaded[name] then return loaded[name] end
  local base = require('perilune.api.' .. name)
  local parts = { base }
  for i, part in ipairs(base.more or {}) do parts[i + 1] = require(part) end
  local module = {
    name = base.name, text = base.text, is_function = base.is_function,
    errors = base.errors, short = name, values = {}, functions = {}, aliases = {}, classes = {},
  }
  for _, part in ipairs(parts) do
    for _, list in ipairs { 'values', 'functions', 'aliases', 'classes' } do append(module[list], part[list]) end
  end
  loaded[name] = module
  return module
end

--- All modules, in the order of `names`.
---
---@return table[]
function M.modules()
  local list = {}
  for i, name in ipairs(M.names) do list[i] = M.module(name) end
  return list
end

return M
