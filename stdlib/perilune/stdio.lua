--- Standard input and output without holding up other tasks. `io.read` and `io.lines` read through this module.

local core = require 'perilune.core.fs'
local sys = require 'perilune.core.sys'
local check = require 'perilune.check'
local readers = require 'perilune.reader'

local M = {}

-- A process has one standard input, and what was read ahead from it belongs to whoever reads next.
local input, output

local function stdin()
  input = input or readers.new(core.standard(0))
  return input
end

--- Reads from standard input as `io.read` does. One task may read at a time.
---
---@param ... string|integer `'l'` (default), `'L'`, `'a'`, `'n'`, or a number of bytes.
---@return string|number|nil ... Nil at the end.
function M.read(...)
  readers.check('read', 2, ...)
  return stdin():read(...)
end

--- Reads a line of at most `max` bytes from standard input; a longer one raises `TOO_LARGE`.
---
---@param max integer
---@return string? # nil at the end
function M.line(max)
  check.arg(max, 'integer', 1, 'stdio.line')
  return stdin():line(max)
end

--- Iterates over standard input.
---
---@param ... string|integer As for `read`.
---@return fun(): string|number|nil ...
function M.lines(...)
  readers.check('lines', 2, ...)
  return stdin():lines(...)
end

--- Writes to standard output and waits until whoever reads it has room. `print` does not wait.
---
---@param ... string|number
function M.write(...)
  local bytes = check.join('stdio.write', ...)
  io.stdout:flush() -- what print has written before comes before
  output = output or core.standard(1)
  output:write(bytes)
end

local names = { stdin = true, stdout = true, stderr = true }

--- Whether a standard stream is a terminal.
---
---@param name 'stdin'|'stdout'|'stderr'|nil Default `'stdout'`.
---@return boolean
function M.is_tty(name)
  name = name or 'stdout'
  if not names[name] then error("bad argument #1 to 'stdio.is_tty' (stdin, stdout or stderr expected)", 2) end
  return sys.is_tty(name)
end

--- The width of the terminal that standard output is; nil when it is none.
---
---@return integer?
function M.columns()
  return sys.columns 'stdout'
end

return M
