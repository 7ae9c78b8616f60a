--- What a terminal shows after the bytes that were written to it: the part of a VT100 and its successors that
--- programs here use. What it does not know it shows as it stands, so that a spec sees it.

local native = require('perilune.testing').terminal

local M = {}

---@class spec.Screen
---@field columns integer
---@field rows integer
---@field row integer Of the cursor, from 1.
---@field column integer Of the cursor, from 1; one more than there are when the last one was just written.
---@field cursor boolean It is shown.
---@field modes table<string, boolean> Private modes that are on, as '2004'.
---@field alternate boolean The screen beside the ordinary one is shown.
---@field bells integer
local Screen = {}
Screen.__index = Screen

local function blank(rows)
  local cells = {}
  for i = 1, rows do cells[i] = {} end
  return cells
end

local function scroll(self)
  table.remove(self.cells, 1)
  self.cells[self.rows] = {}
end

local function line_feed(self)
  if self.row < self.rows then self.row = self.row + 1 else scroll(self) end
end

--- Writes one character where the cursor is. One at the end of a line stays there until the next comes.
local function put(self, character)
  local width = native.width(utf8.codepoint(character))
  if width == 0 then
    local line, at = self.cells[self.row], math.max(self.column - 1, 1)
    line[at] = (line[at] or ' ') .. character
    return
  end
  if self.column + width - 1 > self.columns then
    self.column = 1
    line_feed(self)
  end
  local line = self.cells[self.row]
  line[self.column] = character
  for i = 1, width - 1 do line[self.column + i] = '' end
  self.column = self.column + width
end

local function bound(value, most) return math.max(1, math.min(value, most)) end

local function erase(line, from, to)
  for i = from, to do line[i] = nil end
end

local function erase_lines(self, from, to)
  for i = from, to do self.cells[i] = {} end
end

--- On leaving the other screen the ordinary one is there as it was.
local function switch(self, to_alternate)
  if to_alternate == self.alternate then return end
  self.alternate = to_alternate
  if to_alternate then
    self.kept = { self.cells, self.row, self.column }
    self.cells = blank(self.rows)
  else
    self.cells, self.row, self.column = table.unpack(self.kept)
  end
end

local function set_modes(self, text, on)
  for mode in text:gmatch '%d+' do
    self.modes[mode] = on or nil
    if mode == '25' then self.cursor = on end
    if mode == '1049' then switch(self, on) end
  end
end

local controls = {
  A = function(self, n) self.row = bound(self.row - math.max(n, 1), self.rows) end,
  B = function(self, n) self.row = bound(self.row + math.max(n, 1), self.rows) end,
  C = function(self, n) self.column = bound(self.column + math.max(n, 1), self.columns) end,
  D = function(self, n) self.column = bound(math.min(self.column, self.columns) - math.max(n, 1), self.columns) end,
  G = function(self, n) self.column = bound(n, self.columns) end,
  H = function(self, n, m) self.row, self.column = bound(n, self.rows), bound(m, self.columns) end,
  J = function(self, n)
    if n == 0 then erase(self.cells[self.row], self.column, self.columns) end
    erase_lines(self, n == 0 and self.row + 1 or 1, self.rows)
  end,
  K = function(self, n)
    erase(self.cells[self.row], n == 0 and self.column or 1, n == 1 and self.column or self.columns)
  end,
  m = function() end, -- colours are not kept
}

--- One control sequence: parameters and the letter that ends it.
local function control(self, private, parameters, letter)
  if private == '?' and (letter == 'h' or letter == 'l') then return set_modes(self, parameters, letter == 'h') end
  local act = private == '' and controls[letter]
  if not act then
    for c in ('<CSI %s%s%s>'):format(private, parameters, letter):gmatch '.' do put(self, c) end
    return
  end
  local first, second = parameters:match '^(%d*);?(%d*)'
  act(self, tonumber(first) or 0, tonumber(second) or 0)
end

local simple = {
  ['\r'] = function(self) self.column = 1 end,
  ['\n'] = line_feed,
  ['\b'] = function(self) self.column = bound(math.min(self.column, self.columns) - 1, self.columns) end,
  ['\t'] = function(self) self.column = bound((self.column - 1) // 8 * 8 + 9, self.columns) end,
  ['\a'] = function(self) self.bells = self.bells + 1 end,
}

--- Takes what begins at `at`, and returns where the next begins; nil when it is not whole yet.
local function step(self, text, at)
  local byte = text:sub(at, at)
  if simple[byte] then
    simple[byte](self)
    return at + 1
  end
  if byte == '\27' then
    local private, parameters, letter, after = text:match('^\27%[([?>]?)([%d;]*)([@-~])()', at)
    if private then control(self, private, parameters, letter) end
    if after or #text - at < 32 then return after end
  end
  local character = text:match('^[%z\1-\127]', at) or text:match('^[\194-\244][\128-\191]*', at)
  local whole = character and utf8.len(character)
  if not whole and #text - at < 3 then return nil end
  put(self, whole and not character:find '%c' and character or '?')
  return at + (whole and #character or 1)
end

--- Takes bytes as they come, in pieces of any size.
---
---@param bytes string
function Screen:write(bytes)
  local text, at = self.rest .. bytes, 1
  while at <= #text do
    local after = step(self, text, at)
    if not after then break end
    at = after
  end
  self.rest = text:sub(at)
end

--- One line, without the spaces at its end.
---
---@param row integer
---@return string
function Screen:line(row)
  local line, parts, last = self.cells[row], {}, 0
  for column in pairs(line) do last = math.max(last, column) end
  for i = 1, last do parts[i] = line[i] or ' ' end
  return (table.concat(parts):gsub(' +$', ''))
end

--- All lines down to the last that has something.
---
---@return string
function Screen:text()
  local lines = {}
  for row = 1, self.rows do lines[row] = self:line(row) end
  return (table.concat(lines, '\n'):gsub('\n+$', ''))
end

--- The size is another one: lines that have no room any more go at the top, as long as the cursor stays.
---
---@param columns integer
---@param rows integer
function Screen:resize(columns, rows)
  while self.rows > rows do
    if self.row > rows then
      table.remove(self.cells, 1)
      self.row = self.row - 1
    else
      self.cells[self.rows] = nil
    end
    self.rows = self.rows - 1
  end
  for i = self.rows + 1, rows do self.cells[i] = {} end
  self.columns, self.rows = columns, rows
  self.column = math.min(self.column, columns)
  for _, line in ipairs(self.cells) do
    for column in pairs(line) do
      if column > columns then line[column] = nil end
    end
  end
end

---@param columns integer
---@param rows integer
---@return spec.Screen
function M.new(columns, rows)
  return setmetatable({
    columns = columns, rows = rows, cells = blank(rows), row = 1, column = 1, cursor = true, modes = {},
    alternate = false, bells = 0, rest = '',
  }, Screen)
end

return M
