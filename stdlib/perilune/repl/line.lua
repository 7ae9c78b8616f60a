--- The text that is edited, and where the cursor is in it. It may have several lines.

local width = require 'perilune.repl.width'

local M = {}

local TEXT_MAX = 256 * 1024 -- bytes
M.TEXT_MAX = TEXT_MAX

---@class perilune.repl.Line
---@field text string UTF-8.
---@field at integer Byte before which the cursor is, from 1 to one more than there are.
---@field package cut string What was cut last.
local Line = {}
Line.__index = Line

local WORD = '[%w_\128-\255]'

--- Whether a character begins at `at`, with all that combines with it.
local function is_boundary(text, at)
  if at <= 1 or at > #text then return true end
  local byte = text:byte(at)
  if byte >= 0x80 and byte < 0xc0 then return false end
  return byte < 0x80 or width.of_code(utf8.codepoint(text, at)) > 0
end

local function before(text, at)
  if at <= 1 then return 1 end
  repeat at = at - 1 until is_boundary(text, at)
  return at
end

local function after(text, at)
  if at > #text then return #text + 1 end
  repeat at = at + 1 until is_boundary(text, at)
  return at
end

local function word_before(text, at)
  while at > 1 and not text:sub(at - 1, at - 1):find(WORD) do at = at - 1 end
  while at > 1 and text:sub(at - 1, at - 1):find(WORD) do at = at - 1 end
  return at
end

local function word_after(text, at)
  while at <= #text and not text:sub(at, at):find(WORD) do at = at + 1 end
  while at <= #text and text:sub(at, at):find(WORD) do at = at + 1 end
  return at
end

--- Where the line in which the cursor is begins, and where its newline is.
local function bounds(self)
  local from = self.at
  while from > 1 and self.text:byte(from - 1) ~= 10 do from = from - 1 end
  local newline = self.text:find('\n', self.at, true)
  return from, newline or #self.text + 1
end

--- Replaces the bytes from `from` up to and without `to`; the cursor is behind.
local function replace(self, from, to, text)
  self.text = self.text:sub(1, from - 1) .. text .. self.text:sub(to)
  self.at = from + #text
end

--- False when there is no room.
---
---@param text string
---@return boolean
function Line:insert(text)
  if #self.text + #text > TEXT_MAX then return false end
  replace(self, self.at, self.at, text)
  return true
end

--- Replaces all of it; the cursor is at the end.
---@param text string
function Line:set(text) self.text, self.at = text, #text + 1 end

local function cut(self, from, to)
  if to > from then self.cut = self.text:sub(from, to - 1) end
  replace(self, from, to, '')
end

--- Moves, by their name in the table of keys.
local moves = {
  left = function(self) self.at = before(self.text, self.at) end,
  right = function(self) self.at = after(self.text, self.at) end,
  word_left = function(self) self.at = word_before(self.text, self.at) end,
  word_right = function(self) self.at = word_after(self.text, self.at) end,
  home = function(self) self.at = bounds(self) end,
  last = function(self) self.at = select(2, bounds(self)) end,
  backspace = function(self) replace(self, before(self.text, self.at), self.at, '') end,
  delete = function(self)
    local at = self.at
    replace(self, at, after(self.text, at), '')
  end,
  cut_to_end = function(self)
    local _, to = bounds(self)
    cut(self, self.at, to == self.at and math.min(to + 1, #self.text + 1) or to)
  end,
  cut_to_home = function(self) cut(self, bounds(self), self.at) end,
  cut_word = function(self) -- up to a space
    local from = self.at
    while from > 1 and self.text:sub(from - 1, from - 1):find '%s' do from = from - 1 end
    while from > 1 and not self.text:sub(from - 1, from - 1):find '%s' do from = from - 1 end
    cut(self, from, self.at)
  end,
  cut_word_after = function(self) cut(self, self.at, word_after(self.text, self.at)) end,
  put_back = function(self) self:insert(self.cut) end,
}

--- Moves the cursor, or cuts: `left`, `right`, `word_left`, `word_right`, `home`, `last`, `backspace`, `delete`,
--- `cut_to_end`, `cut_to_home`, `cut_word`, `cut_word_after`, `put_back`.
---
---@param name string
function Line:move(name) moves[name](self) end

--- Moves to the line above or below, to the same column. False when there is none.
---
---@param by -1|1
---@return boolean
function Line:move_line(by)
  local from, to = bounds(self)
  local column = utf8.len(self.text, from, self.at - 1) or 0
  if by < 0 and from == 1 or by > 0 and to > #self.text then return false end
  self.at = by < 0 and from - 1 or to + 1
  local first, last = bounds(self)
  self.at = math.min(utf8.offset(self.text, column + 1, first) or last, last)
  return true
end

---@return perilune.repl.Line
function M.new() return setmetatable({ text = '', at = 1, cut = '' }, Line) end

return M
