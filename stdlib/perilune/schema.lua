--- Schemas: what an action says of its arguments, results and chunks. Read once, when it is registered, into one form,
--- which is also what other nodes are told; lua/schema.c checks values against the rows that `rows` makes of it.
---
--- The one form of a schema S is a table with `type`, `list`, `enum` or `fields`:
---
---     { type = 'int', min = 1, max = 9 }            int number string bytes boolean table any
---     { type = 'string', min = 1, max = 80, pattern = '^%a+$' }
---     { list = S, min = 1, max = 9 }                elements 1 to n
---     { enum = { 'a', 'b' } }
---     { fields = { name = S }, extra = S }          `extra`: of all other fields
---
--- each with `optional = true` and `description = 'text'`; the last one of a list of values also with `rest = true`.

local guess = require('perilune.core.sys').guess
local sorted_keys = require 'perilune.sorted_keys'

local M = {}

local DEPTH_MAX, FIELDS_MAX, VALUES_MAX, LIST_MAX, ROWS_MAX = 16, 128, 256, 64, 1024
local PATTERN_MAX, TEXT_MAX, NAME_MAX = 256, 1024, 255

local TYPES = { 'any', 'boolean', 'bytes', 'int', 'number', 'string', 'table' }
local is_type = {}
for _, name in ipairs(TYPES) do is_type[name] = true end
local MEANT = { integer = 'int', float = 'number', bool = 'boolean', str = 'string', array = '{list = …}',
  map = 'a table of fields', object = 'a table of fields', ['nil'] = '?any' } -- words of other languages

local COMMON = { optional = true, description = true }
local TOP = { optional = true, description = true, rest = true }

-- What the long forms consist of, each by the key that tells it.
local FORMS = {
  type = { type = true, min = true, max = true, pattern = true },
  list = { list = true, min = true, max = true },
  enum = { enum = true },
  fields = { fields = true, extra = true },
}

local Problem = {}

local function wrong(at, ...)
  error(setmetatable({ text = at .. ': ' .. string.format(...) }, Problem), 0)
end

local function quote(value)
  if type(value) == 'string' then return ("'%s'"):format(value:sub(1, 40):gsub('%c', '?')) end
  return math.type(value) and tostring(value) or 'a ' .. type(value)
end

local function check_text(value, at, most)
  if type(value) ~= 'string' then wrong(at, 'a string expected, got %s', type(value)) end
  if #value > most then wrong(at, 'a text of at most %d bytes expected, got %d', most, #value) end
  if not utf8.len(value) then wrong(at, 'a text expected, got bytes that are no UTF-8') end
  return value
end

--- Why a pattern is none, or could mean something other than its writer thinks.
local function malformed(pattern)
  local at = 1
  while at <= #pattern do
    local c, next_one = pattern:sub(at, at), pattern:sub(at + 1, at + 1)
    if c == '%' then
      if next_one == '' then return "it ends with '%'" end
      if next_one:find '%d' then return "it refers to a capture ('%" .. next_one .. "')" end
      if next_one == 'b' and #pattern < at + 3 then return "'%b' needs two characters" end
      if next_one == 'f' and pattern:sub(at + 2, at + 2) ~= '[' then return "'%f' needs a set" end
      at = at + (next_one == 'b' and 4 or 2)
    elseif c == '[' then
      at = at + (next_one == '^' and 2 or 1)
      repeat
        if at > #pattern then return "its '[' has no ']'" end
        at = at + (pattern:sub(at, at) == '%' and 2 or 1)
      until pattern:sub(at, at) == ']'
      at = at + 1
    elseif c == '(' or c == ')' then
      return ("it has a capture, which means nothing here; a '%s' itself is '%%%s'"):format(c, c)
    else
      at = at + 1
    end
  end
end

local function check_pattern(value, kind, at)
  if kind ~= 'string' and kind ~= 'bytes' then wrong(at, "only 'string' and 'bytes' have a pattern, not '%s'", kind) end
  check_text(value, at, PATTERN_MAX)
  local why = malformed(value)
  if why then wrong(at, '%s is no pattern of Lua: %s', quote(value), why) end
  return value
end

--- Bounds of numbers are numbers; those of strings and lists are lengths.
local function check_bounds(given, out, kind, at)
  if given.min == nil and given.max == nil then return end
  local numbers = kind == 'int' or kind == 'number'
  if not numbers and kind ~= 'string' and kind ~= 'bytes' and kind ~= 'list' then
    wrong(at, "'%s' has no min and max", kind)
  end
  for _, key in ipairs { 'min', 'max' } do
    local value = given[key]
    local fits = value == nil or numbers and math.type(value) and value == value
      or not numbers and math.type(value) == 'integer' and value >= 0
    if not fits then
      wrong(at .. '.' .. key, '%s expected, got %s', numbers and 'a number' or 'a whole number from 0 on', quote(value))
    end
    out[key] = value
  end
  if out.min and out.max and out.min > out.max then
    wrong(at, 'min (%s) is more than max (%s)', tostring(out.min), tostring(out.max))
  end
end

local function read_word(word, at, top)
  local optional, name, rest = word:match '^(%??)(.-)(%.*)$'
  if not is_type[name] or rest ~= '' and not (top and rest == '...') then
    local meant = MEANT[name] or guess(name, TYPES)
    if meant and not meant:find ' ' then meant = ("'%s'"):format(meant) end
    if is_type[name] then meant = 'only the last argument or result may be repeated' end
    local hint = meant and (is_type[name] and meant or 'did you mean ' .. meant .. '?')
      or 'there are ' .. table.concat(TYPES, ', ') .. '; ? before it makes it optional'
    wrong(at, '%s is no type; %s', quote(word), hint)
  end
  return { type = name, optional = optional == '?' or nil, rest = rest == '...' or nil }
end

--- The key that tells the form of a table: nil for one of fields.
local function form_of(given)
  if type(given.type) == 'string' then return 'type' end
  if given.list ~= nil then return 'list' end
  if type(given.enum) == 'table' then return 'enum' end
  if type(given.fields) == 'table' then return 'fields' end
end

local function check_keys(given, form, at, top)
  for key, value in pairs(given) do
    local common = (top and TOP or COMMON)[key]
    if not FORMS[form][key] and not common then
      local names = {}
      for name in pairs(FORMS[form]) do names[#names + 1] = name end
      for name in pairs(top and TOP or COMMON) do names[#names + 1] = name end
      table.sort(names)
      local nearest = type(key) == 'string' and guess(key, names)
      wrong(at, "%s is no part of a schema with '%s'%s; a map with a field '%s' is written {fields = {%s = …}}",
        quote(key), form, nearest and (", did you mean '%s'?"):format(nearest) or '', form, form)
    end
    if (key == 'optional' or key == 'rest') and type(value) ~= 'boolean' then
      wrong(at .. '.' .. key, 'true or false expected, got %s', quote(value))
    end
  end
end

--- A map may well have the fields `type` and `description`: then the latter is a schema here.
local function read_description(text, form, at)
  if type(text) ~= 'string' or is_type[text:match '^%??(.*)$'] then
    wrong(at, "a description in words expected, got %s; a map with a field '%s' is written {fields = {%s = …}}",
      quote(text), form, form)
  end
  return check_text(text, at .. '.description', TEXT_MAX)
end

local function read_enum(values, at)
  local out, seen = {}, {}
  for key in pairs(values) do
    if math.type(key) ~= 'integer' or key < 1 or key > #values then
      wrong(at, 'a list expected, got the key %s', quote(key))
    end
  end
  if #values == 0 then wrong(at, 'it has no value') end
  if #values > VALUES_MAX then wrong(at, 'at most %d values, got %d', VALUES_MAX, #values) end
  for i, value in ipairs(values) do
    local kind = type(value)
    if kind == 'string' then
      check_text(value, ('%s[%d]'):format(at, i), NAME_MAX)
    elseif kind ~= 'boolean' and (kind ~= 'number' or value ~= value) then
      wrong(('%s[%d]'):format(at, i), 'a string, number or boolean expected, got %s', quote(value))
    end
    if seen[value] then wrong(('%s[%d]'):format(at, i), '%s is there twice', quote(value)) end
    seen[value] = true
    out[i] = value
  end
  return out
end

local read

local function read_fields(fields, state, at, depth)
  local out, names = {}, {}
  for name in pairs(fields) do
    if type(name) ~= 'string' then
      wrong(at, 'the name of a field is a string, got %s; an array is {list = …}', quote(name))
    end
    if name == '' or #name > NAME_MAX or name:find '%c' then
      wrong(at, 'the name of a field is 1 to %d bytes without control characters, got %s', NAME_MAX, quote(name))
    end
    names[#names + 1] = name
    if #names > FIELDS_MAX then wrong(at, 'more than %d fields', FIELDS_MAX) end
  end
  table.sort(names)
  for _, name in ipairs(names) do out[name] = read(fields[name], state, at .. '.' .. name, depth + 1) end
  return out
end

local function read_extra(extra, state, at, depth)
  if extra == nil or extra == false then return end
  if extra == true then extra = '?any' end
  return read(extra, state, at .. '.extra', depth + 1)
end

local readers = {
  type = function(given, _, at)
    local out = read_word(given.type, at .. '.type')
    check_bounds(given, out, out.type, at)
    if given.pattern ~= nil then out.pattern = check_pattern(given.pattern, out.type, at .. '.pattern') end
    return out
  end,
  list = function(given, state, at, depth)
    local out = { list = read(given.list, state, at .. '.list', depth + 1) }
    check_bounds(given, out, 'list', at)
    return out
  end,
  enum = function(given, state, at)
    local values = read_enum(given.enum, at .. '.enum')
    state.count = state.count + #values
    return { enum = values }
  end,
  fields = function(given, state, at, depth)
    return {
      fields = read_fields(given.fields, state, at .. '.fields', depth),
      extra = read_extra(given.extra, state, at, depth),
    }
  end,
}

--- Reads one schema into its one form. `top`: it is of an argument, result or value of a chunk.
function read(given, state, at, depth, top)
  state.count = state.count + 1
  if state.count > ROWS_MAX then wrong(at, 'more than %d schemas within one another', ROWS_MAX) end
  if depth > DEPTH_MAX then wrong(at, 'more than %d schemas deep', DEPTH_MAX) end
  if type(given) == 'string' then return read_word(given, at, top) end
  if type(given) ~= 'table' then wrong(at, 'a schema is a string or a table, got %s', quote(given)) end
  local form = form_of(given)
  if not form then return { fields = read_fields(given, state, at, depth) } end

  check_keys(given, form, at, top)
  local out = readers[form](given, state, at, depth)
  out.optional = out.optional or given.optional or nil
  if given.description ~= nil then out.description = read_description(given.description, form, at) end
  if not top then return out end
  out.rest = out.rest or given.rest or nil
  return out
end

local function read_list(list, at)
  for key in pairs(list) do
    if math.type(key) ~= 'integer' or key < 1 then
      wrong(at, 'a list of schemas expected, one for each value, got the key %s', quote(key))
    end
  end
  local n = 0
  for key in pairs(list) do n = math.max(n, key) end
  if n > LIST_MAX then wrong(at, 'at most %d values, got %d', LIST_MAX, n) end
  local out, state = {}, { count = 0 }
  for i = 1, n do
    local place = ('%s[%d]'):format(at, i)
    if list[i] == nil then wrong(place, 'it is missing') end
    out[i] = read(list[i], state, place, 1, true)
    if out[i].rest and i < n then wrong(place, 'only the last one may be repeated') end
  end
  return out
end

--- Reads a list of schemas, one for each value. Raises at `level` what is wrong, with its place.
---
---@param list table
---@param what string `params`
---@param name string Of the function that was given it.
---@param level integer
---@return table[]
function M.read(list, what, name, level)
  local ok, result = pcall(read_list, list, what)
  if ok then return result end
  if getmetatable(result) ~= Problem then error(result, 0) end
  error(("option '%s' of %s: %s"):format(what, name, result.text), level + 1)
end

-- Rows.

local fill

--- Puts rows for schemas one behind the other; the index of the first, from 0 on.
local function place(rows, schemas)
  local first = #rows
  for i in ipairs(schemas) do rows[first + i] = {} end
  for i, schema in ipairs(schemas) do fill(rows, rows[first + i], schema) end
  return first
end

local function place_fields(rows, row, schema)
  local names, schemas = sorted_keys(schema.fields), {}
  for i, name in ipairs(names) do schemas[i] = schema.fields[name] end
  row.kind, row.count, row.extra = 'map', #names, schema.extra ~= nil
  schemas[#schemas + 1] = schema.extra
  row.first = place(rows, schemas)
  for i, name in ipairs(names) do rows[row.first + i].name = name end
end

function fill(rows, row, schema)
  row.optional = schema.optional
  row.min, row.max, row.pattern = schema.min, schema.max, schema.pattern
  if schema.fields then
    place_fields(rows, row, schema)
  elseif schema.list then
    row.kind, row.count, row.first = 'list', 1, place(rows, { schema.list })
  elseif schema.enum then
    row.kind, row.count, row.first = 'enum', #schema.enum, #rows
    for _, value in ipairs(schema.enum) do rows[#rows + 1] = { kind = 'constant', value = value } end
  else
    row.kind = schema.type
  end
end

--- The rows of which lua/schema.c makes what it checks by: those of `params`, `returns` and `chunks` first, then what
--- they refer to.
---
---@param lists table<'params'|'returns'|'chunks', table[]?> at least one
---@return table[]
function M.rows(lists)
  local rows = { {}, {}, {} }
  for i, what in ipairs { 'params', 'returns', 'chunks' } do
    local list, row = lists[what], rows[i]
    if not list then
      row.kind = 'any'
    else
      local rest = #list > 0 and list[#list].rest or false
      row.kind, row.count, row.extra = 'values', rest and #list - 1 or #list, rest
      row.first = place(rows, list)
    end
  end
  return rows
end

return M
