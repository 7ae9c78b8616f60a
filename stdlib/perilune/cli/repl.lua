--- perilune repl

local client = require 'perilune.cli.client'
local commands = require 'perilune.repl.commands'
local complete = require 'perilune.repl.complete'
local editors = require 'perilune.repl.editor'
local evaluate = require 'perilune.repl.evaluate'
local histories = require 'perilune.repl.history'
local node = require 'perilune.core.node'
local out = require 'perilune.repl.out'
local pretty = require 'perilune.repl.pretty'
local stdio = require 'perilune.stdio'
local terminal = require 'perilune.core.terminal'

-- Of what is typed before it is whole: with each line all of it is compiled.
local BYTES_MAX = 256 * 1024
local LINES_MAX = 2000

local environment = evaluate.environment()

--- The values of a line as text.
local function format(values)
  local lines = {}
  for i = 1, values.n do lines[i] = pretty.value(values[i]) .. '\n' end
  return table.concat(lines)
end

local function complain(lines)
  io.stdout:flush()
  io.stderr:write(client.printable(table.concat(lines, '\n')), '\n')
end

--- What came of a line, if it did not do what it should.
local function complain_of(outcome)
  if node.stopping() then return true end -- by os.exit, in the line
  complain(outcome.interrupted and { '', 'interrupted' } or outcome.lines) -- ^C stands in the first line
  return false
end

--- Runs a whole line and shows its values, of which the first is kept. Returns whether it did what it should.
local function run(fn, text)
  local outcome = evaluate.run(fn, text)
  if not outcome.ok then return complain_of(outcome) end
  local values = outcome.values
  if values.n == 0 then return true end
  environment._ = values[1]
  local shown = evaluate.run(function() return format(values) end) -- values may have functions of their own
  if not shown.ok then return complain_of(shown) end
  client.write(shown.values[1])
  return true
end

---@class perilune.cli.Typed What has been typed and is not whole yet.
---@field text string
---@field lines integer

--- Takes one more line, and runs what is whole. Returns false when it failed, and true when it is to end.
---
---@param typed perilune.cli.Typed
---@param line string
---@param is_terminal boolean
---@return boolean ok
---@return boolean? quit
local function take(typed, line, is_terminal)
  if typed.lines == 0 then
    local output, quit = commands.run(line, is_terminal)
    if output then client.write(output) end
    if output then return true, quit end
  end
  local text = typed.text .. line
  local compiled = evaluate.compile(text, environment)
  local lines = typed.lines + 1
  typed.text, typed.lines = '', 0
  if compiled.fn then return run(compiled.fn, text), node.stopping() end
  if not compiled.incomplete then
    complain { compiled.message }
  elseif lines >= LINES_MAX or #text >= BYTES_MAX then
    complain { ('TOO_LARGE: %d lines are not whole'):format(lines) }
  else
    typed.text, typed.lines = text .. '\n', lines
    return true
  end
  return false
end

--- Standard input, line by line: without prompts, and an error does not end it.
local function run_input()
  local typed, failed = { text = '', lines = 0 }, false
  for line in stdio.line, BYTES_MAX do
    local ok, quit = take(typed, line, false)
    failed = failed or not ok
    if quit then return failed end
  end
  if typed.lines == 0 then return failed end
  complain { evaluate.compile(typed.text, environment).message }
  return true
end

local function is_whole(text)
  if text:find '^%s*:' then return true end
  return not evaluate.compile(text, environment).incomplete
end

--- Lines from the terminal, until who sits there leaves.
local function run_terminal()
  local editor = editors.new {
    prompts = { '> ', '... ' },
    history = histories.open(histories.path()),
    complete = function(text) return complete.candidates(text, environment) end,
    is_whole = is_whole,
  }
  out.capture(function() return editor.editing end, function(text) editor:show_above(text) end)
  terminal.take(true)
  local quit, why
  repeat
    local text
    text, why = editor:read()
    if text then
      local _
      _, quit = take({ text = '', lines = 0 }, text, true)
      io.stdout:flush()
    end
  until quit or why == 'quit' or why == 'gone'
  terminal.take(false)
end

--- Where a line can be edited: a terminal that moves its cursor.
local function has_terminal()
  return stdio.is_tty 'stdin' and stdio.is_tty 'stdout' and os.getenv 'TERM' ~= 'dumb'
end

client.run(function()
  client.arguments()
  client.join()
  local code = 0
  if has_terminal() then
    run_terminal() -- whatever still runs in the background ends
  elseif run_input() then
    code = 1
  end
  if not node.stopping() then os.exit(code) end
end)
