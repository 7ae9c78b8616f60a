--- Reads a text as Lua 5.4 and keeps what `perilune check` looks at: calls, fields that are taken, and what the local
--- variables hold. Any text comes to an end: a Problem, or the program; nothing of it is run.
---
--- An expression is a table with `kind`, `line` and `column`: `nil boolean number string` (with `value`), `vararg`,
--- `function`, `table` (with `items` of `name` or `key`, and `value`), `name` (with `name`, and `binding` unless it is
--- global), `index` (with `object`, and `key` when it is a known string), `call` (with `fn`, `arguments`, and `method`
--- when it is one), `first` (of the values of a call in parentheses, `of`), or `other`.

local lexer = require 'perilune.lint.lexer'

local M = {}

local DEPTH_MAX = 200 -- as Lua itself

---@class perilune.lint.Parser
---@field lexer perilune.lint.Lexer
---@field token table
---@field ahead table?
---@field scope table
---@field depth integer
---@field calls table[] In the order in which they end.
---@field indexes table[]
---@field bindings table[] Local variables, in the order in which they begin.
---@field globals table<string, boolean> That are assigned.
---@field uses table<string, table> The first use of each global.
local Parser = {}
Parser.__index = Parser

function Parser:fail(text)
  lexer.fail(self.token.line, self.token.column, ("%s near '%s'"):format(text, self.token.value or self.token.kind))
end

function Parser:advance()
  local token = self.token
  self.token, self.ahead = self.ahead or self.lexer:next(), nil
  return token
end

function Parser:peek()
  self.ahead = self.ahead or self.lexer:next()
  return self.ahead.kind
end

function Parser:take(kind)
  if self.token.kind == kind then return self:advance() end
end

function Parser:need(kind)
  return self:take(kind) or self:fail(("'%s' expected"):format(kind))
end

function Parser:enter()
  self.depth = self.depth + 1
  if self.depth > DEPTH_MAX then self:fail 'too deep' end
end

function Parser:leave() self.depth = self.depth - 1 end

local function node(kind, token, more)
  more = more or {}
  more.kind, more.line, more.column = kind, token.line, token.column
  return more
end

-- Scopes.

function Parser:open() self.scope = setmetatable({}, { __index = self.scope, up = self.scope }) end

function Parser:close() self.scope = getmetatable(self.scope).up end

--- Declares a local variable; `init` is the expression that it holds from the beginning, when that is known.
function Parser:declare(name, init)
  local binding = { name = name, init = init }
  self.bindings[#self.bindings + 1] = binding
  self.scope[name] = binding
end

function Parser:assign(target)
  if target.kind == 'name' then
    if target.binding then target.binding.assigned = true else self.globals[target.name] = true end
  elseif target.kind == 'index' then
    target.is_target = true
  end
end

-- Expressions.

function Parser:index(object, token, key)
  local index = node('index', token, { object = object, key = key })
  self.indexes[#self.indexes + 1] = index
  return index
end

function Parser:call(fn, token, method)
  local arguments
  if self.token.kind == 'string' then
    local text = self:advance()
    arguments = { node('string', text, { value = text.value }) }
  elseif self.token.kind == '{' then
    arguments = { self:table() }
  else
    self:need '('
    arguments = self.token.kind == ')' and {} or self:expressions()
    self:need ')'
  end
  local call = node('call', token, { fn = fn, method = method and method.value, arguments = arguments })
  self.calls[#self.calls + 1] = call
  return call
end

function Parser:primary()
  local token = self.token
  if self:take '(' then
    local inner = self:expression()
    self:need ')'
    -- Of several values only the first is left.
    return inner.kind == 'call' and node('first', token, { of = inner }) or inner
  end
  local name = self:need 'name'
  local one = node('name', name, { name = name.value, binding = self.scope[name.value] })
  if not one.binding then self.uses[one.name] = self.uses[one.name] or one end
  return one
end

local CALLS = { ['('] = true, ['{'] = true, string = true }

function Parser:suffixed()
  local left = self:primary()
  while true do
    local token = self.token
    if self:take '.' then
      local key = self:need 'name'
      left = self:index(left, key, key.value)
    elseif self:take '[' then
      local key = self:expression()
      self:need ']'
      left = self:index(left, token, key.kind == 'string' and key.value or nil)
    elseif self:take ':' then
      local method = self:need 'name'
      left = self:call(left, method, method)
    elseif CALLS[token.kind] then
      left = self:call(left, left.kind == 'index' and left or token)
    else
      return left
    end
  end
end

function Parser:table()
  local items = {}
  local open = self:need '{'
  while self.token.kind ~= '}' do
    local item = { line = self.token.line, column = self.token.column }
    if self.token.kind == 'name' and self:peek() == '=' then
      item.name = self:advance().value
      self:advance()
    elseif self:take '[' then
      item.key = self:expression()
      self:need ']'
      self:need '='
      if item.key.kind == 'string' then item.name = item.key.value end
    end
    item.value = self:expression()
    items[#items + 1] = item
    if not self:take ',' and not self:take ';' then break end
  end
  self:need '}'
  return node('table', open, { items = items })
end

function Parser:parameters()
  self:need '('
  if self.token.kind ~= ')' then
    repeat
      if self:take '...' then break end
      self:declare(self:need 'name'.value)
    until not self:take ','
  end
  self:need ')'
end

function Parser:body(token, is_method)
  self:open()
  if is_method then self:declare 'self' end
  self:parameters()
  self:block()
  self:need 'end'
  self:close()
  return node('function', token)
end

local WORDS = { ['nil'] = 'nil', ['true'] = 'boolean', ['false'] = 'boolean' }

function Parser:simple()
  local token = self.token
  if token.kind == 'number' or token.kind == 'string' then
    self:advance()
    return node(token.kind, token, { value = token.value })
  end
  if WORDS[token.kind] then
    self:advance()
    return node(WORDS[token.kind], token, { value = token.kind == 'true' })
  end
  if self:take '...' then return node('vararg', token) end
  if token.kind == '{' then return self:table() end
  if self:take 'function' then return self:body(token) end
  return self:suffixed()
end

local UNARY = { ['not'] = true, ['-'] = true, ['#'] = true, ['~'] = true }
local BINARY = {}
for word in ('or and < > <= >= ~= == | ~ & << >> .. + - * / // % ^'):gmatch '%S+' do BINARY[word] = true end

--- Precedence does not matter here: what operators make is not looked at.
function Parser:operand()
  local token = self.token
  if not UNARY[token.kind] then return self:simple() end
  self:enter()
  self:advance()
  local inner = self:operand()
  self:leave()
  if token.kind == '-' and inner.kind == 'number' then return node('number', token, { value = -inner.value }) end
  return node('other', token)
end

function Parser:expression()
  self:enter()
  local first = self:operand()
  local left = first
  while BINARY[self.token.kind] do
    self:advance()
    self:operand()
    left = node('other', first)
  end
  self:leave()
  return left
end

function Parser:expressions()
  local list = {}
  repeat list[#list + 1] = self:expression() until not self:take ','
  return list
end

-- Statements.

local statements = {}

statements['local'] = function(self)
  if self:take 'function' then
    local name = self:need 'name'
    self:declare(name.value, node('function', name))
    self:body(name)
    return
  end
  local names = {}
  repeat
    names[#names + 1] = self:need 'name'
    if self:take '<' then
      self:need 'name'
      self:need '>'
    end
  until not self:take ','
  local values = self:take '=' and self:expressions() or {}
  for i, name in ipairs(names) do self:declare(name.value, values[i]) end
end

statements['function'] = function(self)
  local name = self:need 'name'
  local target = node('name', name, { name = name.value, binding = self.scope[name.value] })
  local is_method = false
  while self.token.kind == '.' or self.token.kind == ':' do
    is_method = self:advance().kind == ':'
    local key = self:need 'name'
    target = self:index(target, key, key.value)
    if is_method then break end
  end
  self:assign(target)
  self:body(name, is_method)
end

statements['if'] = function(self)
  repeat
    self:expression()
    self:need 'then'
    self:scoped_block()
  until not self:take 'elseif'
  if self:take 'else' then self:scoped_block() end
  self:need 'end'
end

statements['while'] = function(self)
  self:expression()
  self:need 'do'
  self:scoped_block()
  self:need 'end'
end

statements['do'] = function(self)
  self:scoped_block()
  self:need 'end'
end

statements['for'] = function(self)
  local names = {}
  repeat names[#names + 1] = self:need 'name'.value until not self:take ','
  if not self:take '=' then self:need 'in' end
  self:expressions()
  self:need 'do'
  self:open()
  for _, name in ipairs(names) do self:declare(name) end
  self:block()
  self:close()
  self:need 'end'
end

statements['repeat'] = function(self)
  self:open()
  self:block()
  self:need 'until'
  self:expression()
  self:close()
end

statements['return'] = function(self)
  if not self:at_end() and self.token.kind ~= ';' then self:expressions() end
  self:take ';'
  if not self:at_end() then self:fail "'end' expected" end
end

statements['goto'] = function(self) self:need 'name' end
statements['break'] = function() end
statements[';'] = function() end

statements['::'] = function(self)
  self:need 'name'
  self:need '::'
end

function Parser:expression_statement()
  local left = self:suffixed()
  if self.token.kind ~= '=' and self.token.kind ~= ',' then
    if left.kind ~= 'call' then self:fail 'syntax error' end
    return
  end
  local targets = { left }
  while self:take ',' do targets[#targets + 1] = self:suffixed() end
  self:need '='
  self:expressions()
  for _, target in ipairs(targets) do self:assign(target) end
end

local ENDS = { ['end'] = true, ['else'] = true, ['elseif'] = true, ['until'] = true, ['end of file'] = true }

function Parser:at_end() return ENDS[self.token.kind] end

function Parser:block()
  self:enter()
  while not self:at_end() do
    local statement = statements[self.token.kind]
    if statement then
      self:advance()
      statement(self)
    else
      self:expression_statement()
    end
  end
  self:leave()
end

function Parser:scoped_block()
  self:open()
  self:block()
  self:close()
end

--- Reads a text. Raises a Problem when it is no Lua.
---
---@param text string
---@return perilune.lint.Parser
function M.parse(text)
  local parser = setmetatable({
    lexer = lexer.new(text), scope = {}, depth = 0, calls = {}, indexes = {}, bindings = {}, globals = {},
    uses = {},
  }, Parser)
  parser.token = parser.lexer:next()
  parser:block()
  if parser.token.kind ~= 'end of file' then parser:fail "'end of file' expected" end
  return parser
end

return M
