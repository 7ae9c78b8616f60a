--- Tokens of Lua 5.4, of any text: what is no token raises a Problem with its place.

local M = {}

---@class perilune.lint.Problem What is wrong with a text, and where.
---@field line integer
---@field column integer
---@field text string
local Problem = {}
M.Problem = Problem

function M.fail(line, column, text)
  error(setmetatable({ line = line, column = column, text = text }, Problem), 0)
end

local KEYWORDS = {}
for word in ('and break do else elseif end false for function goto if in local nil not or repeat return then true '
  .. 'until while'):gmatch '%a+' do
  KEYWORDS[word] = true
end

-- Longest first.
local OPERATORS = {
  '...', '<<', '>>', '//', '==', '~=', '<=', '>=', '::', '..',
  '+', '-', '*', '/', '%', '^', '#', '&', '~', '|', '<', '>', '=', '(', ')', '{', '}', '[', ']', ';', ':', ',', '.',
}
local BY_FIRST = {}
for _, operator in ipairs(OPERATORS) do
  local first = operator:sub(1, 1)
  BY_FIRST[first] = BY_FIRST[first] or {}
  table.insert(BY_FIRST[first], operator)
end

local ESCAPES = {
  a = '\a', b = '\b', f = '\f', n = '\n', r = '\r', t = '\t', v = '\v', ['\\'] = '\\', ['"'] = '"', ["'"] = "'",
  ['\n'] = '\n', ['\r'] = '\n',
}

--- What an escape stands for, and where what follows begins; nil for none.
local function read_escape(text, at)
  local c = text:sub(at, at)
  if ESCAPES[c] then return ESCAPES[c], at + 1 end
  if c == 'z' then return '', text:match('^%s*()', at + 1) end
  local hex = text:match('^x(%x%x)', at)
  if hex then return string.char(tonumber(hex, 16)), at + 3 end
  local digits = text:match('^%d%d?%d?', at)
  if digits and tonumber(digits) < 256 then return string.char(tonumber(digits)), at + #digits end
  local code = text:match('^u{(%x+)}', at)
  if code and #code <= 8 and tonumber(code, 16) < 0x80000000 then
    return utf8.char(tonumber(code, 16)), at + #code + 3
  end
end

---@class perilune.lint.Lexer
---@field text string
---@field at integer
---@field line integer
---@field start integer Where the line begins.
local Lexer = {}
Lexer.__index = Lexer

function Lexer:fail(at, text) M.fail(self.line, at - self.start + 1, text) end

--- Counts the lines of what lies before `to`.
function Lexer:advance(to)
  for after in self.text:sub(self.at, to - 1):gmatch '\n()' do
    self.line, self.start = self.line + 1, self.at + after - 1
  end
  self.at = to
end

--- The text of a long bracket at `at`, and where what follows begins; nil when there is none.
function Lexer:long_bracket(at)
  local level = self.text:match('^%[(=*)%[', at)
  if not level then return nil end
  local first = at + #level + 2
  local close, after = self.text:find(']' .. level .. ']', first, true)
  if not close then self:fail(at, 'a long string or comment does not end') end
  return self.text:sub(first, close - 1):gsub('^\r?\n', ''), after + 1
end

function Lexer:skip_blank()
  while true do
    local after = self.text:match('^%s*()', self.at)
    if after > self.at then self:advance(after) end
    if self.text:sub(after, after + 1) ~= '--' then return end
    local _, past = self:long_bracket(after + 2)
    self:advance(past or self.text:find('\n', after, true) or #self.text + 1)
  end
end

function Lexer:string(quote)
  local parts, at = {}, self.at + 1
  while true do
    local plain, stop = self.text:match('^([^\\\n\'"]*)()', at)
    parts[#parts + 1] = plain
    local c = self.text:sub(stop, stop)
    if c == quote then return table.concat(parts), stop + 1 end
    if c == '' or c == '\n' then self:fail(self.at, 'a string does not end') end
    at = stop + 1
    if c == '\\' then
      local value
      value, at = read_escape(self.text, at)
      if not value then self:fail(stop, 'an unknown escape') end
      parts[#parts + 1] = value
    else
      parts[#parts + 1] = c
    end
  end
end

function Lexer:number()
  local hex = self.text:match('^0[xX][%x.]*[pP]?', self.at)
  local body = hex or self.text:match('^[%d.]*[eE]?', self.at)
  local after = self.at + #body
  if body:find(hex and '[pP]$' or '[eE]$') then after = self.text:match('^[+-]?%d*()', after) end
  local value = tonumber(self.text:sub(self.at, after - 1))
  if not value or self.text:find('^[%w_]', after) then self:fail(self.at, 'a malformed number') end
  return value, after
end

function Lexer:operator()
  for _, operator in ipairs(BY_FIRST[self.text:sub(self.at, self.at)] or {}) do
    if self.text:sub(self.at, self.at + #operator - 1) == operator then return operator end
  end
  self:fail(self.at, 'an unexpected character')
end

--- The next token: `kind` is `name`, `string`, `number`, `end` (of the text), or the keyword or operator itself.
---
---@return { kind: string, value: any, line: integer, column: integer }
function Lexer:next()
  self:skip_blank()
  local text, at = self.text, self.at
  local token = { line = self.line, column = at - self.start + 1 }
  local first = text:sub(at, at)
  local after
  if first == '' then
    token.kind, after = 'end of file', at
  elseif first:find '[%a_]' then
    local word = text:match('^[%w_]+', at)
    token.kind, token.value, after = KEYWORDS[word] and word or 'name', word, at + #word
  elseif first:find '%d' or text:find('^%.%d', at) then
    token.kind = 'number'
    token.value, after = self:number()
  elseif first == '"' or first == "'" then
    token.kind = 'string'
    token.value, after = self:string(first)
  elseif text:find('^%[=*%[', at) then
    token.kind = 'string'
    token.value, after = self:long_bracket(at)
  else
    token.kind = self:operator()
    after = at + #token.kind
  end
  if token.kind == 'string' then self:advance(after) else self.at = after end
  return token
end

--- A lexer of a text. A first line that begins with `#` is no Lua.
---
---@param text string
---@return perilune.lint.Lexer
function M.new(text)
  if text:sub(1, 1) == '#' then text = text:gsub('^#[^\n]*', '', 1) end
  return setmetatable({ text = text, at = 1, line = 1, start = 1 }, Lexer)
end

return M
