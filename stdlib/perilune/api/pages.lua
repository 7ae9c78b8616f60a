--- The reference pages (Markdown) of what perilune.api declares.

local api = require 'perilune.api'

local M = {}

local function escaped(text)
  return (text:gsub('|', '\\|'):gsub('\n', ' '))
end

local function code(text)
  return '`' .. escaped(text) .. '`'
end

--- A table of names, types and texts.
local function add_rows(out, title, rows)
  local has_text = false
  for _, row in ipairs(rows) do has_text = has_text or (row[3] or '') ~= '' end
  out[#out + 1] = ('| %s | type |%s'):format(title, has_text and ' |' or '')
  out[#out + 1] = has_text and '|---|---|---|' or '|---|---|'
  for _, row in ipairs(rows) do
    local text = has_text and (' %s |'):format(escaped(row[3] or '')) or ''
    out[#out + 1] = ('| %s | %s |%s'):format(code(row[1]), code(row[2]), text)
  end
  out[#out + 1] = ''
end

local function add_returns(out, returns)
  local parts = {}
  for i, result in ipairs(returns) do
    local text = code(result[1])
    if result[2] and result[2] ~= '' then text = text .. ' ' .. result[2] end
    if result[3] and result[3] ~= '' then text = text .. ': ' .. result[3] end
    parts[i] = text
  end
  out[#out + 1] = 'Returns ' .. table.concat(parts, ', ')
  out[#out + 1] = ''
end

local function add_errors(out, title, errors)
  out[#out + 1] = title .. '\n'
  for _, text in ipairs(errors) do out[#out + 1] = '- ' .. text end
  out[#out + 1] = ''
end

local function add_example(out, fn)
  if not fn.example then return end
  out[#out + 1] = '<!-- run:\n' .. fn.prints:gsub('\n$', '') .. '\n-->\n```lua\n' .. fn.example .. '```'
  out[#out + 1] = ''
end

local function add_function(out, level, prefix, fn)
  local names = {}
  for i, param in ipairs(fn.params or {}) do
    names[i] = param[2]:find '%?$' and '[' .. param[1] .. ']' or param[1]
  end
  out[#out + 1] = ('%s `%s%s(%s)`\n'):format(level, prefix, fn.name, table.concat(names, ', '))
  out[#out + 1] = fn.text .. '\n'
  if fn.params then add_rows(out, 'parameter', fn.params) end
  if fn.returns then add_returns(out, fn.returns) end
  if fn.errors then add_errors(out, 'Raises:', fn.errors) end
  add_example(out, fn)
end

local function add_class(out, class)
  out[#out + 1] = ('### `%s`\n'):format(class.name)
  if class.text then out[#out + 1] = class.text .. '\n' end
  if class.fields then add_rows(out, 'field', class.fields) end
  local handle = class.name:match '[%w_]+$':lower() .. ':'
  for _, method in ipairs(class.methods or {}) do add_function(out, '####', handle, method) end
end

--- The page of a module.
---
---@param module table
---@return string
function M.module(module)
  local out = { ('# %s\n'):format(module.name), '<!-- Written by `./dev reference` from stdlib/perilune/api. -->\n' }
  out[#out + 1] = module.text .. '\n'
  if not module.is_function then
    out[#out + 1] = ("    local %s = require '%s'\n"):format(module.short, module.name)
  end
  if module.errors then add_errors(out, 'Its functions raise:', module.errors) end
  if #module.values > 0 then add_rows(out, 'value', module.values) end
  if #module.functions > 0 then out[#out + 1] = '## Functions\n' end
  for _, fn in ipairs(module.functions) do add_function(out, '###', module.short .. '.', fn) end
  if #module.aliases + #module.classes > 0 then out[#out + 1] = '## Types\n' end
  for _, alias in ipairs(module.aliases) do
    out[#out + 1] = ('`%s` is %s.\n'):format(alias[1], code(alias[2]))
  end
  for _, class in ipairs(module.classes) do add_class(out, class) end
  return table.concat(out, '\n')
end

--- The pages of all modules by the names of their files, and one that lists them.
---
---@return { path: string, text: string }[]
function M.files()
  local index = {
    '# Reference\n', '<!-- Written by `./dev reference` from stdlib/perilune/api. -->\n',
    'Every function, handle and option that scripts have. The pages of the guide say how they go together.\n',
  }
  local files = {}
  for i, module in ipairs(api.modules()) do
    local path = module.short .. '.md'
    files[i] = { path = path, text = M.module(module) }
    index[#index + 1] = ('- [%s](%s): %s'):format(module.name, path, module.text:match '^[^.:]+')
  end
  table.insert(files, 1, { path = 'README.md', text = table.concat(index, '\n') .. '\n' })
  return files
end

return M
