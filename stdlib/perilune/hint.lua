--- What is shown below an error of a script: its line, marked, and what may have been meant. It runs where nothing can
--- be preempted, and the script may have replaced every function there is: so it calls no others than those of `lib`,
--- which are Lua's own, uses no methods of strings, and looks at no more than so many names. It is given those, the
--- globals, the error as it is shown, the traceback or nil, and
---
--- - `line_of(path, number)`: that line of the script or of a module of it; of a path as Lua shows it;
--- - `value_of(name)`: of a variable where the error arose, and whether that is an argument;
--- - `guess(word, list)`.

local lib, globals, message, traceback, line_of, value_of, guess = ...

local find, gmatch, gsub, match = lib.find, lib.gmatch, lib.gsub, lib.match
local format, rep, sub, len, offset = lib.format, lib.rep, lib.sub, lib.len, lib.offset
local concat, sort = lib.concat, lib.sort
local next, rawget, tonumber, type = lib.next, lib.rawget, lib.tonumber, lib.type

local LINE_MAX = 160
local KEYS_MAX, WORD_MAX = 1000, 32 -- of a table; of a word that may be meant
local CHARACTER = '[\0-\x7F\xC2-\xFD][\x80-\xBF]*'

local MODULES = { 'perilune' } -- and those below it
for name in gmatch('crypto dns files fs json log msgpack process stdio test time url', '%a+') do
  MODULES[#MODULES + 1] = 'perilune.' .. name
end

--- The line where it arose, its number, and whether the message says so; else it is the innermost line of the script in
--- the traceback.
local function place()
  local path, number = match(message, '^([^\n]-):(%d+): ')
  local line = path and line_of(path, tonumber(number))
  if line then return line, tonumber(number), true end
  for frame_path, frame_number in gmatch(traceback or '', '\n%s*([^\n]-):(%d+): in ') do
    line = line_of(frame_path, tonumber(frame_number))
    if line then return line, tonumber(frame_number), false end
  end
end

--- Where a word stands in a line, when it does so once.
local function find_once(line, word)
  local pattern = '%f[%w_]' .. gsub(word, '%p', '%%%0') .. '%f[^%w_]'
  if not find(word, '^[%a_]') then pattern = gsub(word, '%p', '%%%0') end
  local first, last = find(line, pattern)
  if first and not find(line, pattern, last + 1) then return first, last end
end

--- The line with its number and, when it is known what is wrong, a mark below.
local function shown(number, line, word)
  local head = format('%5d | ', number)
  local printable = gsub(line, '[%c\127]', function(c) return c == '\t' and c or '?' end)
  if #printable > LINE_MAX then
    local cut = offset(printable, 0, LINE_MAX) or LINE_MAX
    return head .. sub(printable, 1, cut - 1) .. '…'
  end
  local first, last = nil, nil
  if word then first, last = find_once(line, word) end
  if not first then return head .. printable end
  local before = sub(printable, 1, first - 1)
  local gap = gsub(before, '[^\t]', ' ')
  if len(before) then gap = gsub(before, CHARACTER, function(c) return c == '\t' and c or ' ' end) end
  return head .. printable .. '\n      | ' .. gap .. rep('^', last - first + 1)
end

local function keys_of(t)
  local list, seen = {}, 0
  for key in next, t do
    seen = seen + 1
    if seen > KEYS_MAX then return {} end -- too many to look at; and a part of them would be any
    if type(key) == 'string' and #key <= WORD_MAX then list[#list + 1] = key end
  end
  sort(list)
  return list
end

--- What `a.b.c` is where the error arose.
local function owner_of(path)
  local value
  for name in gmatch(path, '[%a_][%w_]*') do
    if value == nil then
      value = value_of(name)
      if value == nil then value = rawget(globals, name) end
    else
      value = rawget(value, name)
    end
    if type(value) ~= 'table' then return end
  end
  return value
end

local function hint_field(line, word)
  local path = match(line, '([%a_][%w_.]*)%s*[.:]%s*' .. word .. '%f[^%w_]')
  local owner = path and owner_of(path)
  if not owner then return end
  local nearest = guess(word, keys_of(owner))
  return nearest and format('did you mean %s.%s?', path, nearest)
end

local function is_module(name)
  for i = 1, #MODULES do
    if MODULES[i] == name then return true end
  end
end

local function hint_global(word)
  local module = word == 'mesh' and 'perilune' or 'perilune.' .. word
  if is_module(module) then return format("missing: local %s = require '%s'", word, module) end
  local nearest = guess(word, keys_of(globals))
  return nearest and format('did you mean %s?', nearest)
end

local function hint_module()
  local name = match(message, "module '([^'\n]+)' not found")
  local nearest = name and guess(name, MODULES)
  return nearest and format("did you mean require '%s'?", nearest)
end

--- Of handles that are taken for what they lead to.
local HANDLES = {
  ['perilune.Task'] = '%s is a task; its results are those of %s:await()',
  ['perilune.Stream'] = '%s is a stream; its chunks come from %s:next(), its results from %s:result()',
}

local function hint_variable(word)
  local handle = HANDLES[match(message, 'a ([%w_.]+) value %(') or '']
  if handle then return (gsub(handle, '%%s', word)) end
  local value, is_argument = value_of(word)
  if value == nil and is_argument then return word .. ' is an argument, and was not given' end
end

--- Of waits and chunks where there can be none.
local function hint_wait()
  local boundary = match(message, 'cannot wait across a C boundary %(([^()]+)%)')
  if boundary then return format('%s is C and cannot be left halfway: wait before it, or after', boundary) end
  if find(message, 'attempt to yield a chunk outside an action', 1, true) then
    return 'chunks are yielded by the handler itself; a task that it spawned has its results only'
  end
end

local line, number, is_told = place()
local kind, word, near
if is_told then -- and not by another node, of another text
  kind, word = match(message, "%((%a+) '([%a_][%w_]*)'%)")
  near = match(message, "near '([^'\n]+)'$") or match(message, "unknown option '([%a_][%w_]*)'")
end
local lines = {}
if line and find(line, '%S') then lines[1] = shown(number, line, word or near) end
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
return lines[1] and concat(lines, '\n') or nil
