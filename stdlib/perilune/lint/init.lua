--- What is wrong with scripts, as far as that can be seen without running them.

local arguments = require 'perilune.lint.arguments'
local guess = require('perilune.core.sys').guess
local lexer = require 'perilune.lint.lexer'
local parser = require 'perilune.lint.parser'
local schemas = require 'perilune.lint.schemas'
local values = require 'perilune.lint.values'

local M = {}

local ACTIONS_OF_FILES = { 'stat', 'get', 'put' }
local SCHEMAS = { params = true, returns = true, chunks = true } -- options of mesh.action

---@class perilune.lint.Finding
---@field path string
---@field line integer
---@field column integer
---@field text string

---@class perilune.lint.Script
---@field path string
---@field values perilune.lint.Values? While it is looked at.
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
    add(script, { line = line, column = column }, what or message)
  elseif problem then
    add(script, problem, problem.text)
  else
    return program
  end
end

--- Reads a script; what is no Lua is found here.
local function read(path, text)
  local script = { path = path, findings = {} }
  local program = compile(script, text)
  if program then script.values = values.new(program) end
  return script, program
end

--- All findings, script by script, from top to bottom.
local function sorted(scripts)
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

local function meant(word, names)
  table.sort(names)
  local nearest = guess(word, names)
  return nearest and ("; did you mean '%s'?"):format(nearest) or ''
end

local HAS_NAMES = { module = true, handle = true }

--- Names that a module or a handle has not.
local function check_index(script, node)
  local object = script.values:of(node.object)
  if not object or not HAS_NAMES[object.kind] or not node.key or node.is_target then return end
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
  if not value.class then return end
  local method = values.method(value, node.method)
  if not method then
    add(script, node, ("%s has no '%s'%s"):format(value.name, node.method, meant(node.method, values.names(value))))
  end
  return method and method.kind == 'function' and method or nil
end

local function literal(node) return node and node.kind == 'string' and node.value end

--- Notes an action that a script offers, with its parameters when they are written out.
local function note_action(script, call, offered)
  local name, options = literal(call.arguments[1]), call.arguments[3]
  if not name then
    offered.is_open = true
    return
  end
  local action = {}
  for _, item in ipairs(options and options.kind == 'table' and options.items or {}) do
    if SCHEMAS[item.name] then
      action[item.name] = schemas.read(item.value, item.name, function(node, text) add(script, node, text) end)
    end
  end
  -- Offered twice, either may take the call.
  offered.names[name] = offered.names[name] and {} or action
end

local function note_files(call, offered)
  local name = literal(call.arguments[1])
  if not name then offered.is_open = true end
  for _, what in ipairs(ACTIONS_OF_FILES) do
    if name then offered.names[name .. '.' .. what] = {} end
  end
end

local CALLS = { ['perilune.call'] = true, ['perilune.stream'] = true }

---@class perilune.lint.Call
---@field script perilune.lint.Script
---@field call table
---@field name string Of the action.
---@field place table Where the name stands.
---@field first integer Which argument of the call is the first of the action.

--- The action that a call of a script calls, as far as its name is known.
local function action_call(script, call, fn)
  local value = script.values:of(call.fn)
  local one = { script = script, call = call }
  if value and value.kind == 'action' and (not call.method or call.method == 'stream') then
    one.name, one.place, one.first = value.name, call.method and call.fn or call, 1
  elseif fn and CALLS[fn.full] and literal(call.arguments[1]) then
    one.name, one.place, one.first = call.arguments[1].value, call.arguments[1], 2
  end
  return one.name and one
end

---@class perilune.lint.Review
---@field scripts perilune.lint.Script[]
---@field calls perilune.lint.Call[] Of actions, by a name that is known.
---@field offered { names: table<string, table>, is_open: boolean } By the scripts.

local SIMULATES = { ['perilune.test'] = true, ['perilune.sim'] = true }

--- Only functions for simulated nodes, which specs have, find `mesh` as a global.
local function check_global(script, program)
  local use = program.uses.mesh
  if not use or program.globals.mesh then return end
  for _, call in ipairs(program.calls) do
    local is_require = call.fn.kind == 'name' and call.fn.name == 'require'
    if is_require and SIMULATES[literal(call.arguments[1])] then return end
  end
  add(script, use, "there is no global 'mesh'; missing: local mesh = require 'perilune'")
end

--- Looks at a script. What it offers, others of the review may call. Of the script itself nothing is kept but its
--- findings and calls.
---
---@param review perilune.lint.Review
---@param path string For the findings.
---@param text string
function M.add(review, path, text)
  local script, program = read(path, text)
  table.insert(review.scripts, script)
  if not program then return end
  local function report(node, what) add(script, node, what) end
  check_global(script, program)
  for _, node in ipairs(program.indexes) do check_index(script, node) end
  for _, call in ipairs(program.calls) do
    local fn = called(script, call)
    if fn then
      arguments.check(call, fn.fn, fn.name, report)
      if fn.full == 'perilune.action' then note_action(script, call, review.offered) end
      if fn.full == 'perilune.files.serve' then note_files(call, review.offered) end
    end
    review.calls[#review.calls + 1] = action_call(script, call, fn) or nil
  end
  script.values = nil
end

--- A review of scripts that belong together, without any.
---
---@return perilune.lint.Review
function M.new()
  return { scripts = {}, calls = {}, offered = { names = {}, is_open = false } }
end

local function check_call(one, actions, offered)
  local name = one.name
  local action = offered.names[name] or actions and actions[name]
  if action and action.params then
    schemas.check(one.call, one.first, action.params, function(node, text)
      add(one.script, node, ("'%s': %s"):format(name, text))
    end)
  end
  if action or not actions or offered.is_open or name:sub(1, 1) == '_' then return end
  local names = {}
  for _, list in ipairs { actions, offered.names } do
    for known in pairs(list) do names[#names + 1] = known end
  end
  add(one.script, one.place, ("no node provides '%s'%s"):format(name, meant(name, names)))
end

--- All that is wrong with the scripts, when it is known what the mesh provides.
---
---@param review perilune.lint.Review
---@param actions table<string, { params: table[]? }>? By name; nil: they are not known.
---@return perilune.lint.Finding[]
function M.findings(review, actions)
  for _, one in ipairs(review.calls) do check_call(one, actions, review.offered) end
  return sorted(review.scripts)
end

return M
