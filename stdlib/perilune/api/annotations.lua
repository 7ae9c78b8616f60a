--- Annotations for editors (LuaCATS, as LuaLS reads them) of the modules that perilune.api declares, and of the actions
--- of a mesh.

local api = require 'perilune.api'
local overloads_of = require('perilune.api.overloads').of

local M = {}

--- Lines of text as comments; nothing that follows can end them.
local function add_text(out, text)
  for line in ((text or '') .. '\n'):gmatch '([^\n]*)\n' do
    if line ~= '' then out[#out + 1] = '--- ' .. line end
  end
end

local function add_row(out, tag, first, second, text)
  local line = ('---@%s %s %s'):format(tag, first, second):gsub('%s+$', '')
  if text and text ~= '' then line = line .. ' ' .. text end
  out[#out + 1] = line
end

local function add_function(out, fn, prefix, overloads)
  add_text(out, fn.text)
  for _, text in ipairs(fn.errors or {}) do out[#out + 1] = '--- Raises ' .. text:gsub('\n', ' ') end
  if #out > 0 and out[#out] ~= '' and (fn.params or fn.returns) then out[#out + 1] = '---' end
  local names = {}
  for i, param in ipairs(fn.params or {}) do
    names[i] = param[1]
    add_row(out, 'param', param[1], param[2], param[3])
  end
  for _, result in ipairs(fn.returns or {}) do
    local text = result[3] and result[3] ~= '' and '# ' .. result[3] or nil
    add_row(out, 'return', result[1], result[2] or '', text)
  end
  for _, overload in ipairs(overloads or {}) do out[#out + 1] = '---@overload ' .. overload end
  out[#out + 1] = ('function %s%s(%s) end'):format(prefix, fn.name, table.concat(names, ', '))
  out[#out + 1] = ''
end

--- The name of a class without what it is in: a local variable.
local function variable_of(class)
  return class:match '[%w_]+$'
end

local function add_class(out, class)
  add_text(out, class.text)
  out[#out + 1] = '---@class ' .. class.name
  if class.operator then out[#out + 1] = '---@operator ' .. class.operator end
  for _, field in ipairs(class.fields or {}) do add_row(out, 'field', field[1], field[2], field[3]) end
  if class.methods then
    local variable = variable_of(class.name)
    out[#out + 1] = ('local %s = {}'):format(variable)
    out[#out + 1] = ''
    for _, method in ipairs(class.methods) do add_function(out, method, variable .. ':') end
  else
    out[#out + 1] = ''
  end
end

--- Tables between the module and its functions: `hex` of `hex.encode`.
local function add_folders(out, module)
  local seen = {}
  for _, fn in ipairs(module.functions) do
    local folder = fn.name:match '^([%w_]+)%.'
    if folder and not seen[folder] then
      seen[folder] = true
      out[#out + 1] = ('M.%s = {}'):format(folder)
      out[#out + 1] = ''
    end
  end
end

--- The names of actions, for those who write one, and proxies.
local function add_actions(out, actions)
  out[#out + 1] = '---@alias perilune.ActionName'
  out[#out + 1] = '---| string'
  for _, action in ipairs(actions.names) do
    out[#out + 1] = '---| ' .. action[1] .. (action[2] and ' # ' .. action[2] or '')
  end
  out[#out + 1] = ''
  for _, class in ipairs(actions.proxies) do add_class(out, class) end
end

local TAKES_ACTION = { call = true, stream = true }

--- As it is declared, but that the name is that of an action.
local function of_action(fn)
  if not TAKES_ACTION[fn.name] then return fn end
  local params = table.move(fn.params, 1, #fn.params, 1, {})
  params[1] = { 'name', 'perilune.ActionName' }
  return { name = fn.name, text = fn.text, params = params, returns = fn.returns, errors = fn.errors }
end

--- The annotations of a module, as the file that stands for it.
---
---@param module table
---@param actions perilune.api.Overloads? For perilune itself.
---@return string
function M.module(module, actions)
  local out = { '---@meta ' .. module.name, '-- Written by perilune types.', '-- luacheck: ignore', '' }
  for _, alias in ipairs(module.aliases) do
    add_row(out, 'alias', alias[1], alias[2])
    out[#out + 1] = ''
  end
  if actions then add_actions(out, actions) end
  if not module.is_function then
    add_text(out, module.text)
    out[#out + 1] = '---@class ' .. module.name
    for _, value in ipairs(module.values) do add_row(out, 'field', value[1], value[2], value[3]) end
    out[#out + 1] = 'local M = {}'
    out[#out + 1] = ''
    add_folders(out, module)
    for _, fn in ipairs(module.functions) do
      local overloads = actions and actions[fn.name]
      add_function(out, actions and of_action(fn) or fn, 'M.', overloads)
    end
  end
  for _, class in ipairs(module.classes) do add_class(out, class) end
  if not module.is_function then out[#out + 1] = 'return M' end
  return table.concat(out, '\n') .. '\n'
end

--- The files of all modules, by path below a folder of a library of LuaLS.
---
---@param described table<string, perilune.Description>? The actions of a mesh.
---@return { path: string, text: string }[]
function M.files(described)
  local files = {}
  local actions = described and overloads_of(described)
  for i, module in ipairs(api.modules()) do
    files[i] = { path = module.name:gsub('%.', '/') .. '.lua', text = M.module(module, i == 1 and actions or nil) }
  end
  return files
end

return M
