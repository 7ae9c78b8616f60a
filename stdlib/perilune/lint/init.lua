--- What is wrong with scripts, as far as that can be seen without running them.

local arguments = require 'perilune.lint.arguments'
local guess = require('perilune.core.sys').guess
local lexer = require 'perilune.lint.lexer'
local parser = require 'perilune.lint.parser'
local values = require 'perilune.lint.values'

local M = {}

local ACTIONS_OF_FILES = { 'stat', 'get', 'put' }

---@class perilune.lint.Finding
---@field path string
---@field line integer
---@field column integer
---@field text string

---@class perilune.lint.Script
---@field path string
---@field program perilune.lint.Parser?
---@field values perilune.lint.Values?
---@field findings perilune.lint.Finding[]

local function add(script, node, text)
  table.insert(script.findings, { path = script.path, line = node.line, column = node.column, text = text })
end

--- What the compiler says, and where: it knows the line, and the parser the column when it fails there too.
local function compile(script, text)
  local fn, message = load(text:gsub('^#[^\n]*', '', 1), '=check', 't')
  local ok, program = pcall(parser.parse, text)
  local problem = not ok and getmetatable(program) == lexer.Problem and program
  if not ok and not problem then error(program, 0) end
  if not fn then
    local line, what = message:match '^check:(%d+): (.*)$'
    line = tonumber(line) or 1
    local column = problem and problem.line == line and problem.column or 1
    return add(script, { line = line, column = column }, what or message)
  end
  if problem then return add(script, problem, problem.text) end
  script.program = program
end

--- Reads a script; what is no Lua is found here.
---
---@param path string For the findings.
---@param text string
---@return perilune.lint.Script
function M.read(path, text)
  local script = { path = path, findings = {} }
  compile(script, text)
  if script.program then script.values = values.new(script.program) end
  return script
end

local function meant(word, names)
  table.sort(names)
  local nearest = guess(word, names)
  return nearest and ("; did you mean '%s'?"):format(nearest) or ''
end

--- Names that a module or a handle has not.
local function check_index(script, node)
  local object = script.values:of(node.object)
  if not object or object.kind == 'function' or object.kind == 'value' or not node.key or node.is_target then return end
  if values.member(object, node.key) then return end
  add(script, node, ("%s has no '%s'%s"):format(object.name, node.key, meant(node.key, values.names(object))))
end

--- The function of perilune that is called; nil when it is none, or it is not known.
local function called(script, node)
  local value = script.values:of(node.fn)
  if not value then return end
  if not node.method then
    -- Methods that are called with a dot have their handle as an argument.
    return value.kind == 'function' and not value.of and value or nil
  end
  if value.kind == 'module' then
    local short = value.module.short
    add(script, node, ("'%s' is no method: write %s.%s(…)"):format(node.method, short, node.method))
    return
  end
  if value.kind ~= 'handle' then return end
  local method = values.method(value, node.method)
  if not method then
    add(script, node, ("%s has no '%s'%s"):format(value.name, node.method, meant(node.method, values.names(value))))
  end
  return method and method.kind == 'function' and method or nil
end

local function literal(node) return node and node.kind == 'string' and node.value end

--- Notes the actions that a script offers.
local function note_actions(call, fn, known)
  local name = literal(call.arguments[1])
  if fn.full == 'perilune.action' then
    if name then known.names[name] = true else known.is_open = true end
  elseif fn.full == 'perilune.files.serve' then
    if not name then known.is_open = true end
    for _, what in ipairs(ACTIONS_OF_FILES) do
      if name then known.names[name .. '.' .. what] = true end
    end
  end
end

local CALLS = { ['perilune.call'] = true, ['perilune.stream'] = true }

local function check_action(script, call, known)
  local name = literal(call.arguments[1])
  if not name or known.is_open or known.names[name] or name:sub(1, 1) == '_' then return end
  local names = {}
  for one in pairs(known.names) do names[#names + 1] = one end
  add(script, call.arguments[1], ("no node provides '%s'%s"):format(name, meant(name, names)))
end

--- Looks at scripts that belong together: what one offers, another may call.
---
---@param scripts perilune.lint.Script[]
---@param actions string[]? Those of the mesh; nil: they are not known.
---@return perilune.lint.Finding[]
function M.check(scripts, actions)
  local known, calls = { names = {}, is_open = actions == nil }, {}
  for _, name in ipairs(actions or {}) do known.names[name] = true end
  for _, script in ipairs(scripts) do
    for _, node in ipairs(script.program and script.program.indexes or {}) do check_index(script, node) end
    for _, call in ipairs(script.program and script.program.calls or {}) do
      local fn = called(script, call)
      if fn then
        arguments.check(call, fn.fn, fn.name, function(node, text) add(script, node, text) end)
        note_actions(call, fn, known)
        if CALLS[fn.full] then calls[#calls + 1] = { script = script, call = call } end
      end
    end
  end
  for _, one in ipairs(calls) do check_action(one.script, one.call, known) end
  return M.sorted(scripts)
end

--- All findings, script by script, from top to bottom.
function M.sorted(scripts)
  local all = {}
  for _, script in ipairs(scripts) do
    table.sort(script.findings, function(a, b)
      if a.line ~= b.line then return a.line < b.line end
      if a.column ~= b.column then return a.column < b.column end
      return a.text < b.text
    end)
    table.move(script.findings, 1, #script.findings, #all + 1, all)
  end
  return all
end

return M
