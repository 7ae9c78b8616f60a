--- Lines of Lua that are typed: compiled with `return` or without, run as a task each, and told in words.

local client = require 'perilune.cli.client'
local core_error = require 'perilune.core.error'
local mesh = require 'perilune'
local terminal = require 'perilune.core.terminal'

local M = {}

local CHUNK = '=repl'

--- What lines see: the globals of the program, of which they cannot take anything away, and their own.
---
---@return table
function M.environment()
  local environment = setmetatable({ mesh = mesh }, { __index = _G })
  environment._G = environment
  return environment
end

---@class perilune.repl.Compiled
---@field fn function?
---@field incomplete boolean? More lines must follow.
---@field message string? Why it cannot be compiled.

--- Compiles what was typed: an expression, or statements.
---
---@param text string
---@param environment table
---@return perilune.repl.Compiled
function M.compile(text, environment)
  local fn = load('return ' .. text .. '\n;', CHUNK, 't', environment)
  if fn then return { fn = fn } end
  local message
  fn, message = load(text, CHUNK, 't', environment)
  if fn then return { fn = fn } end
  return { message = message, incomplete = message:find "<eof>$" ~= nil }
end

--- The frames of what was typed and what it called, without those of the program itself; nothing when the line alone
--- is to blame.
local function own_frames(traceback)
  local lines, deep = {}, false
  for line in traceback:gmatch '[^\n]+' do
    if line:find "in function 'xpcall'" then break end
    local raised = #lines == 1 and line:find '^\t%[C%]: in' -- as error does
    if not raised then lines[#lines + 1] = line end
    deep = deep or line:find '^\t' and not line:find '^\t%[C%]' and not line:find 'in main chunk$'
  end
  return deep and table.concat(lines, '\n') or nil
end

-- Memory that is let go when a line has taken all there is, so that there is some to say so.
local RESERVE = 512 * 1024
local reserve

local function keep_reserve()
  if not reserve then
    local ok, text = pcall(string.rep, ' ', RESERVE)
    reserve = ok and text or nil
  end
end

keep_reserve()

local function let_go_of_reserve()
  reserve = nil
  collectgarbage()
end

---@class perilune.repl.Outcome
---@field ok boolean
---@field values table Packed results.
---@field interrupted boolean?
---@field lines string[]? What is said of the error.

local function describe(err, traceback, hint)
  local lines = client.describe(err)
  lines[#lines + 1] = hint
  if traceback then lines[#lines + 1] = own_frames(traceback) end
  return lines
end

-- Code that cannot be interrupted is ended by an error that no handler of a script runs for.
local NO_MEMORY = 'not enough memory'
local NO_MEMORY_TEXT = 'MEMORY_LIMIT: not enough memory, or too long a time in code that cannot be interrupted'

--- What came of a task that failed. Ctrl-C may come out of the line as the failure of a call.
local function failure(task, err, traceback, hint)
  if terminal.interrupted(task) then return { ok = false, interrupted = true, values = { n = 0 } } end
  local lines = err == NO_MEMORY and { NO_MEMORY_TEXT } or describe(err, traceback, hint)
  return { ok = false, values = { n = 0 }, lines = lines }
end

--- Runs a compiled line as a task, which Ctrl-C ends, and waits for it.
---
---@param fn function
---@param text string? What was typed.
---@return perilune.repl.Outcome
function M.run(fn, text)
  local traceback, hint
  local task = mesh.spawn(function()
    return table.pack(xpcall(fn, function(err)
      traceback = debug.traceback(nil, 2)
      local shown = text and type(err) == 'string' and core_error.hint(err, text)
      hint = shown and shown:match '\n(  [^ ][^\n]*)$' or nil -- the line is there to see
      return err
    end))
  end)
  terminal.unlimited(task)
  terminal.ends(task)
  local alive, results = pcall(task.await, task)
  if alive and results[1] then keep_reserve() else let_go_of_reserve() end
  terminal.ends(nil)
  if not alive then return failure(task, results) end
  if not results[1] then return failure(task, results[2], traceback, hint) end
  return { ok = true, values = table.pack(table.unpack(results, 2, results.n)) }
end

return M
