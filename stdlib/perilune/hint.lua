--- What is shown below an error of a script that does not load: its line, marked, and what may have been meant. It is
--- given the error as it is shown, the traceback or nil, the texts of the script and its modules by path, and
--- `guess(word, list)`.

local message, traceback, sources, guess = ...

local LINE_MAX = 160

local MODULES = { 'perilune' } -- and those below it
for name in ('crypto dns files fs json log msgpack process stdio test time url'):gmatch '%a+' do
  MODULES[#MODULES + 1] = 'perilune.' .. name
end

--- The text whose path is shown as `shown`: Lua cuts long ones in front.
local function text_of(shown)
  if sources[shown] then return sources[shown] end
  local tail = shown:match '^%.%.%.(.+)$'
  if not tail then return end
  for path, text in pairs(sources) do
    if path:sub(-#tail) == tail then return text end
  end
end

--- The text and line where it arose, and whether the message says so; else it is the innermost line of the script in
--- the traceback.
local function place()
  local path, line = message:match '^([^\n]-):(%d+): '
  local text = path and text_of(path)
  if text then return text, tonumber(line), true end
  for frame_path, frame_line in (traceback or ''):gmatch '\n%s*([^\n]-):(%d+): in ' do
    text = text_of(frame_path)
    if text then return text, tonumber(frame_line), false end
  end
end

local function line_at(text, number)
  local at = 1
  for line in (text .. '\n'):gmatch '([^\n]*)\r?\n' do
    if at == number then return (line:gsub('\r$', '')) end
    at = at + 1
  end
end

--- Where a word stands in a line, when it does so once.
local function find_once(line, word)
  local pattern = '%f[%w_]' .. word:gsub('%p', '%%%0') .. '%f[^%w_]'
  if not word:find '^[%a_]' then pattern = word:gsub('%p', '%%%0') end
  local first, last = line:find(pattern)
  if first and not line:find(pattern, last + 1) then return first, last end
end

--- The line with its number and, when it is known what is wrong, a mark below.
local function shown(number, line, word)
  local head = ('%5d | '):format(number)
  local printable = line:gsub('[%c\127]', function(c) return c == '\t' and c or '?' end)
  if #printable > LINE_MAX then
    local cut = utf8.offset(printable, 0, LINE_MAX) or LINE_MAX
    return head .. printable:sub(1, cut - 1) .. '…'
  end
  local first, last = nil, nil
  if word then first, last = find_once(line, word) end
  if not first then return head .. printable end
  local before = printable:sub(1, first - 1)
  local gap = before:gsub('[^\t]', ' ')
  if utf8.len(before) then gap = before:gsub(utf8.charpattern, function(c) return c == '\t' and c or ' ' end) end
  return head .. printable .. '\n      | ' .. gap .. ('^'):rep(last - first + 1)
end

local function keys_of(t)
  local list = {}
  for key in next, t do
    if type(key) == 'string' then list[#list + 1] = key end
  end
  table.sort(list)
  return list
end

--- The module that a local variable of the text holds, and its table.
local function module_of(text, name)
  local required = text:match('%f[%w_]' .. name .. "%s*=%s*require%s*%(?%s*['\"]([%w_.]+)['\"]")
  local module = required and package.loaded[required] or not required and rawget(_G, name)
  return type(module) == 'table' and module or nil
end

local function hint_field(text, line, word)
  local owner = line:match('([%a_][%w_]*)%s*[.:]%s*' .. word .. '%f[^%w_]')
  local module = owner and module_of(text, owner)
  if not module then return end
  local nearest = guess(word, keys_of(module))
  return nearest and ('did you mean %s.%s?'):format(owner, nearest)
end

local function is_module(name)
  for _, module in ipairs(MODULES) do
    if module == name then return true end
  end
end

local function hint_global(word)
  local module = word == 'mesh' and 'perilune' or 'perilune.' .. word
  if is_module(module) then return ("missing: local %s = require '%s'"):format(word, module) end
  local nearest = guess(word, keys_of(_G))
  return nearest and ('did you mean %s?'):format(nearest)
end

local function hint_module()
  local name = message:match "module '([^'\n]+)' not found"
  local nearest = name and guess(name, MODULES)
  return nearest and ("did you mean require '%s'?"):format(nearest)
end

local text, number, is_told = place()
local line = text and line_at(text, number)
local kind, word, near
if is_told then -- and not by another node, of another text
  kind, word = message:match "%((%a+) '([%a_][%w_]*)'%)"
  near = message:match "near '([^'\n]+)'$" or message:match "unknown option '([%a_][%w_]*)'"
end
local lines = {}
if line and line:find '%S' then lines[1] = shown(number, line, word or near) end
local hint
if kind == 'global' then
  hint = hint_global(word)
elseif line and (kind == 'field' or kind == 'method') then
  hint = hint_field(text, line, word)
elseif is_told then
  hint = hint_module()
end
if hint then lines[#lines + 1] = '  ' .. hint end
return lines[1] and table.concat(lines, '\n') or nil
