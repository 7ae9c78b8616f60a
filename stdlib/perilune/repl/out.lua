--- What goes to the terminal while a line is edited: the editor's own output, and that of everything else, which would
--- break the line.

local stdio = require 'perilune.stdio'

local M = {}

local methods = getmetatable(io.stdout).__index
local write_file, flush_file, print_values, write_waiting = methods.write, methods.flush, print, stdio.write

--- Writes to the terminal, at once.
---
---@param ... string
function M.put(...)
  write_file(io.stdout, ...)
  flush_file(io.stdout)
end

local function joined(...)
  local parts = table.pack(...)
  for i = 1, parts.n do parts[i] = tostring(parts[i]) end
  return table.concat(parts, '\t') .. '\n'
end

local function is_text(...)
  for i = 1, select('#', ...) do
    local kind = type((select(i, ...)))
    if kind ~= 'string' and kind ~= 'number' then return false end
  end
  return true
end

--- From now on `take` gets what is printed and written to standard output and standard error, while `is_editing()`.
---
---@param is_editing fun(): boolean
---@param take fun(text: string)
function M.capture(is_editing, take)
  print = function(...) -- luacheck: globals print
    if not is_editing() then return print_values(...) end
    take(joined(...))
  end

  function methods.write(file, ...)
    local is_ours = (file == io.stdout or file == io.stderr) and is_editing() and is_text(...)
    if not is_ours then return write_file(file, ...) end
    take(table.concat { ... })
    return file
  end

  function io.write(...) return io.output():write(...) end -- luacheck: globals io.write

  function stdio.write(...)
    if not is_editing() or not is_text(...) then return write_waiting(...) end
    take(table.concat { ... })
  end
end

return M
