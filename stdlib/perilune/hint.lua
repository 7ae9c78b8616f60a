--- What is shown below an error of a script: its line, marked, and what may have been meant. It is given the error as
--- it is shown, the traceback or nil, and
---
--- - `line_of(path, number)`: that line of the script or of a module of it; of a path as Lua shows it;
--- - `value_of(name)`: of a variable where the error arose, and whether that is an argument;
--- - `guess(word, list)`.

local message, traceback, line_of, value_of, guess = ...

local LINE_MAX = 160

local MODULES = { 'perilune' } -- and those below it
for name in ('crypto dns files fs json log msgpack process stdio test time url'):gmatch '%a+' do
  MODULES[#MODULES + 1] = 'perilune.' .. name
end

--- The line where it arose, its number, and whether the message says so; else it is the innermost line of the script in
--- the traceback.
local function place()
  local path, number = message:match '^([^\n]-):(%d+): '
  local line = path and line_of(path, tonumber(number))
  if line then return line, tonumber(number), true end
  for frame_path, frame_number in (traceback or ''):gmatch '\n%s*([^\n]-):(%d+): in ' do
    line = line_of(frame_path, tonumber(frame_number))
    if line then return line, tonumber(frame_number), false end
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

--- What `a.b.c` is where the error arose.
local function owner_of(path)
  local value
  for name in path:gmatch '[%a_][%w_]*' do
    if value == nil then
      value = value_of(name)
      if value == nil then value = rawget(_G, name) end
    else
      value = rawget(value, name)
    end
    if type(value) ~= 'table' then return end
  end
  return value
end

local function hint_field(line, word)
  local path = line:match('([%a_][%w_.]*)%s*[.:]%s*' .. word .. '%f[^%w_]')
  local owner = path and owner_of(path)
  if not owner then return end
  local nearest = guess(word, keys_of(owner))
  return nearest and ('did you mean %s.%s?'):format(path, nearest)
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

--- Of handles that are taken for what they lead to.
local HANDLES = {
  ['perilune.Task'] = '%s is a task; its results are those of %s:await()',
  ['perilune.Stream'] = '%s is a stream; its chunks come from %s:next(), its results from %s:result()',
}

local function hint_variable(word)
  local handle = HANDLES[message:match 'a ([%w_.]+) value %(' or '']
  if handle then return (handle:gsub('%%s', word)) end
  local value, is_argument = value_of(word)
  if value == nil and is_argument then return word .. ' is an argument, and was not given' end
end

--- Of waits and chunks where there can be none.
local function hint_wait()
  local boundary = message:match 'cannot wait across a C boundary %(([^()]+)%)'
  if boundary then return ('%s is C and cannot be left halfway: wait before it, or after'):format(boundary) end
  if message:find('attempt to yield a chunk outside an action', 1, true) then
    return 'chunks are yielded by the handler itself; a task that it spawned has its results only'
  end
end

local line, number, is_told = place()
local kind, word, near
if is_told then -- and not by another node, of another text
  kind, word = message:match "%((%a+) '([%a_][%w_]*)'%)"
  near = message:match "near '([^'\n]+)'$" or message:match "unknown option '([%a_][%w_]*)'"
end
local lines = {}
if line and line:find '%S' then lines[1] = shown(number, line, word or near) end
local hint
if kind == 'global' then
  hint = hint_variable(word) or hint_global(word)
elseif kind == 'field' or kind == 'method' then
  hint = hint_field(line, word)
elseif kind == 'local' or kind == 'upvalue' then
  hint = hint_variable(word)
elseif is_told then
  hint = hint_module() or hint_wait()
end
if hint then lines[#lines + 1] = '  ' .. hint end
return lines[1] and table.concat(lines, '\n') or nil
