--- Reads types as LuaCATS writes them, as far as perilune.api uses them, and says whether a value that is known before
--- a script runs can be of one.

local M = {}

local parse_type

local function skip(text, at) return text:match('^%s*()', at) end

--- Past `word` at `at`, or nil.
local function take(text, at, word)
  at = skip(text, at)
  if text:sub(at, at + #word - 1) == word then return at + #word end
end

--- `name: type` pairs up to the closing bracket, the names with `?` where they have one. Of parameters the type may
--- be missing.
local function parse_pairs(text, at, close)
  local list = {}
  at = skip(text, at)
  while not take(text, at, close) do
    local name, after = text:match('^([%w_.]+%??)%s*()', at)
    if not name then
      name, after = text:match("^%[('?[^%]']*'?)%]%s*()", at) -- ['a key'], or [string]: of others
    end
    if not name then return nil end
    local entry = { name = name:gsub('%?$', '') }
    at = take(text, after, ':') or after
    if at ~= after then
      entry.type, at = parse_type(text, at)
      if not entry.type then return nil end
    end
    if not entry.type and close ~= ')' then return nil end
    list[#list + 1] = entry
    local comma = take(text, at, ',')
    if not comma and not take(text, at, close) then return nil end
    at = skip(text, comma or at)
  end
  return list, take(text, at, close)
end

local function parse_function(text, at)
  local params, after = parse_pairs(text, at, ')')
  if not params then return nil end
  local colon = take(text, after, ':')
  if not colon then return { kind = 'function' }, after end
  at = colon
  repeat
    local dots = take(text, at, '...')
    local more = dots and take(text, dots, ':')
    local one
    one, at = parse_type(text, more or at)
    if not one then return nil end
    local comma = take(text, at, ',')
    at = comma or at
  until not comma
  return { kind = 'function' }, at
end

local function parse_arguments(text, at)
  local list = {}
  repeat
    local one
    one, at = parse_type(text, at)
    if not one then return nil end
    list[#list + 1] = one
    local comma = take(text, at, ',')
    at = comma or at
  until not comma
  at = take(text, at, '>')
  return at and list, at
end

local function parse_name(text, at)
  local name, after = text:match('^([%a_][%w_.]*)()', at)
  if not name then return nil end
  if name == 'fun' and text:sub(after, after) == '(' then return parse_function(text, after + 1) end
  if text:sub(after, after) ~= '<' then return { kind = 'name', name = name }, after end
  local arguments
  arguments, after = parse_arguments(text, after + 1)
  if not arguments then return nil end
  return { kind = 'name', name = name, arguments = arguments }, after
end

local function parse_primary(text, at)
  at = skip(text, at)
  local literal, after = text:match("^'([^']*)'()", at)
  if literal then return { kind = 'literal', value = literal }, after end
  literal, after = text:match('^(%-?%d+)()', at)
  if literal then return { kind = 'literal', value = math.tointeger(literal) }, after end
  local open = text:sub(at, at)
  if open == '{' then
    local fields
    fields, after = parse_pairs(text, at + 1, '}')
    if fields then return { kind = 'fields', fields = fields }, after end
    return nil
  end
  if open == '(' then
    local inner
    inner, after = parse_type(text, at + 1)
    after = inner and take(text, after, ')')
    if after then return inner, after end
    return nil
  end
  if text:sub(at, at + 2) == '...' then return { kind = 'name', name = 'any' }, at + 3 end
  return parse_name(text, at)
end

function parse_type(text, at)
  local list = {}
  repeat
    local one, after = parse_primary(text, at)
    if not one then return nil end
    while text:sub(after, after + 1) == '[]' do
      one, after = { kind = 'list', of = one }, after + 2
    end
    list[#list + 1] = one
    if text:sub(after, after) == '?' then
      list[#list + 1] = { kind = 'name', name = 'nil' }
      after = after + 1
    end
    at = after
    local bar = take(text, at, '|')
    at = bar or at
  until not bar
  return #list == 1 and list[1] or { kind = 'union', list = list }, at
end

--- The type at a place of a text, and where what follows begins; nil when there is none.
---
---@param text string
---@param at integer?
---@return table?
---@return integer?
function M.parse(text, at) return parse_type(text, at or 1) end

return M
