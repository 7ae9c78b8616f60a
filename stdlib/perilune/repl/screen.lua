--- The lines that are edited, on the terminal: drawn, taken away, and drawn again.

local out = require 'perilune.repl.out'
local width = require 'perilune.repl.width'

local M = {}

---@class perilune.repl.Drawing
---@field columns integer
---@field rows integer
---@field package at integer Row of the cursor, from the first that is drawn; 0 when nothing is.
---@field package drawn boolean
local Drawing = {}
Drawing.__index = Drawing

local TAB = '    '

--- Rows of the terminal for a text with its prompts, and where the cursor is: row and column, both from 0.
---
---@param text string
---@param cursor integer Byte before which the cursor is.
---@param prompts string[] Of the first line, and of the others.
---@param columns integer
---@return string[] rows
---@return integer row
---@return integer column
function M.layout(text, cursor, prompts, columns)
  local rows, parts, cells = {}, { prompts[1] }, width.of(prompts[1])
  local row, column
  local function next_row(prompt)
    rows[#rows + 1] = table.concat(parts)
    parts, cells = { prompt }, width.of(prompt)
  end
  for at, code in utf8.codes(text) do
    local size = code == 9 and #TAB or code == 10 and 0 or width.of_code(code)
    if code ~= 10 and cells + size > columns and cells > 0 then next_row '' end
    if at == cursor then row, column = #rows, cells end
    if code == 10 then
      next_row(prompts[2])
    else
      parts[#parts + 1] = code == 9 and TAB or utf8.char(code)
      cells = cells + size
    end
  end
  if not row and cells >= columns then next_row '' end -- the cursor has no place behind a full row
  if not row then row, column = #rows, cells end
  next_row ''
  return rows, row, math.min(column, columns - 1)
end

--- The rows that are shown when there is no room for all: those around the cursor.
local function window(rows, row, most)
  if #rows <= most then return 1, #rows end
  local first = math.max(1, math.min(row + 1 - most // 2, #rows - most + 1))
  return first, first + most - 1
end

local function move(n, letter) return n > 0 and ('\27[%d%s'):format(n, letter) or '' end

--- What takes away what was drawn; the cursor is where it began then.
local function erase(self)
  if not self.drawn then return '' end
  self.drawn = false
  return '\r' .. move(self.at, 'A') .. '\27[J'
end

--- Draws the text in place of what was drawn before.
---
---@param text string
---@param cursor integer
---@param prompts string[]
function Drawing:draw(text, cursor, prompts)
  local rows, row, column = M.layout(text, cursor, prompts, self.columns)
  local first, last = window(rows, row, self.rows)
  local output = erase(self) .. table.concat(rows, '\r\n', first, last)
  output = output .. move(last - 1 - row, 'A') .. '\r' .. move(column, 'C')
  self.at, self.drawn = row - first + 1, true
  out.put(output)
end

--- Takes it away, for what else is written.
function Drawing:hide()
  out.put(erase(self))
end

--- Leaves it as it is: what is written next comes below.
---
---@param text string
---@param prompts string[]
---@param ending string? Written behind it.
function Drawing:leave(text, prompts, ending)
  self:draw(text, #text + 1, prompts)
  self.drawn = false
  out.put(ending or '', '\r\n')
end

--- Clears the whole terminal; what is drawn next is at its top.
function Drawing:clear()
  self.drawn = false
  out.put '\27[H\27[2J'
end

--- The terminal has another size. What was drawn may have been moved about by it.
---
---@param columns integer?
---@param rows integer?
function Drawing:resize(columns, rows)
  self.columns, self.rows = math.max(columns or 80, 1), math.max(rows or 24, 1)
end

---@return perilune.repl.Drawing
function M.new() return setmetatable({ columns = 80, rows = 24, at = 0, drawn = false }, Drawing) end

return M
