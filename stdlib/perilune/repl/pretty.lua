--- Values for people: as Lua would write them, but never more than can be read.

local value = require 'perilune.core.value'

local M = {}

local DEPTH = 6 -- of tables in tables that are shown
local ITEMS = 100 -- of one table
local NODES = 1000 -- of all
local TEXT = 2000 -- bytes of one string
local WIDTH = 76 -- columns up to which a table stays on one line

local KEYWORDS = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat return then true
  until while]]):gmatch '%a+' do
  KEYWORDS[word] = true
end

local ESCAPES = { ['\n'] = '\\n', ['\r'] = '\\r', ['\t'] = '\\t', ['"'] = '\\"', ['\\'] = '\\\\' }

local function escape_byte(c) return ESCAPES[c] or ('\\x%02x'):format(c:byte()) end

--- Control characters and what is not UTF-8 would steer the terminal.
local function escaped(text)
  if not utf8.len(text) then return (text:gsub('[%c"\\\127-\255]', escape_byte)) end
  local plain = text:gsub('[%z\1-\31"\\\127]', escape_byte)
  return (plain:gsub('\194[\128-\159]', function(c) return ('\\u{%x}'):format(utf8.codepoint(c)) end))
end

local function quoted(text)
  if #text <= TEXT then return '"' .. escaped(text) .. '"' end
  local last = utf8.len(text) and utf8.offset(text, 0, TEXT + 1) - 1 or TEXT
  return ('"%s"… (%d bytes)'):format(escaped(text:sub(1, last)), #text)
end

local function number(n)
  if math.type(n) == 'integer' then return ('%d'):format(n) end
  if n ~= n then return 'nan' end
  if n == math.huge or n == -math.huge then return n > 0 and 'inf' or '-inf' end
  local text = ('%.14g'):format(n)
  if tonumber(text) ~= n then text = ('%.17g'):format(n) end
  return text:find '[%.eE]' and text or text .. '.0'
end

local function of_function(fn)
  local info = debug.getinfo(fn, 'S')
  if info.what == 'C' then return '<function>' end
  return ('<function %s:%d>'):format(escaped(info.short_src), info.linedefined)
end

--- What the value's own __tostring or its kind says.
local function named(v)
  local ok, text = pcall(tostring, v)
  text = ok and text or type(v)
  if #text > TEXT then text = text:sub(1, TEXT) .. '…' end
  return '<' .. escaped(text) .. '>'
end

local scalars = {
  ['nil'] = function() return 'nil' end,
  boolean = tostring,
  number = number,
  string = quoted,
  ['function'] = of_function,
}

local ORDER = { number = 1, string = 2, boolean = 3 }

--- Numbers, then texts, then the rest, each in its order.
local function comes_before(a, b)
  local kind_a, kind_b = ORDER[type(a)] or 9, ORDER[type(b)] or 9
  if kind_a ~= kind_b then return kind_a < kind_b end
  if kind_a <= 2 then return a < b end
  return tostring(a) < tostring(b)
end

--- The keys behind those of the array, at most so many, and whether there are more.
local function other_keys(t, length, most)
  local keys, more = {}, false
  local function take(key)
    if math.type(key) == 'integer' and key >= 1 and key <= length then return true end
    if #keys >= most then
      more = true
      return false
    end
    keys[#keys + 1] = key
    return true
  end
  local meta = getmetatable(t)
  if type(meta) == 'table' and meta.__pairs then
    pcall(function()
      for key in pairs(t) do
        if not take(key) then break end
      end
    end)
  else
    for key in next, t do
      if not take(key) then break end
    end
  end
  table.sort(keys, comes_before)
  return keys, more
end

local function array_length(t)
  local ok, length = pcall(function() return #t end)
  return ok and math.type(length) == 'integer' and math.max(length, 0) or 0
end

local show

local function key_text(state, key)
  if type(key) == 'string' and key:find '^[%a_][%w_]*$' and not KEYWORDS[key] then return key end
  return '[' .. show(state, key, DEPTH) .. ']'
end

--- On one line if there is room, else one below the other.
local function join(parts, depth)
  local line = '{ ' .. table.concat(parts, ', ') .. ' }'
  local is_short = #line + 2 * depth <= WIDTH or (utf8.len(line) or #line) + 2 * depth <= WIDTH
  if is_short and not line:find('\n', 1, true) then return line end
  local indent = ('  '):rep(depth)
  return '{\n' .. indent .. '  ' .. table.concat(parts, ',\n' .. indent .. '  ') .. ',\n' .. indent .. '}'
end

local function contents(state, t, depth)
  local parts, length = {}, array_length(t)
  local shown = math.min(length, ITEMS)
  for i = 1, shown do
    if state.left <= 0 then break end
    parts[i] = show(state, t[i], depth + 1)
  end
  local keys, more = other_keys(t, length, ITEMS - shown)
  for _, key in ipairs(keys) do
    if state.left <= 0 then break end
    parts[#parts + 1] = key_text(state, key) .. ' = ' .. show(state, t[key], depth + 1)
  end
  if state.left <= 0 or length > shown or more then
    parts[#parts + 1] = length > shown and ('… (%d items)'):format(length) or '…'
  end
  return parts
end

local function of_table(state, t, depth)
  if state.open[t] then return '<cycle>' end
  if depth >= DEPTH then return next(t) == nil and '{}' or '{ … }' end
  state.open[t] = true
  local parts = contents(state, t, depth)
  state.open[t] = nil
  return #parts == 0 and '{}' or join(parts, depth)
end

function show(state, v, depth)
  state.left = state.left - 1
  local scalar = scalars[type(v)]
  if scalar then return scalar(v) end
  if v == value.null then return 'null' end
  if type(v) ~= 'table' then return named(v) end
  local meta = getmetatable(v)
  if type(meta) == 'table' and meta.__tostring then return named(v) end
  return of_table(state, v, depth)
end

--- One value as text, of several lines if need be. It may wait, as the value's own functions may.
---
---@param v any
---@return string
function M.value(v)
  return show({ left = NODES, open = {} }, v, 0)
end

return M
