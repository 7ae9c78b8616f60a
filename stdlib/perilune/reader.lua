--- Reading lines, numbers and counted bytes from a source that yields chunks, as the files of Lua do.
---
--- A read that is broken off (cancelled, timed out) loses nothing: what had arrived is there for the next one; only of
--- several formats what those before have read is gone. Tasks may read from one reader in turn; after each wait one
--- looks again at what there is.

local errors = require 'perilune.core.error'

local M = {}

---@class perilune.Source
---@field read fun(self: perilune.Source, n: integer): string? The next bytes, nil at the end.

---@class perilune.Reader
---@field package source perilune.Source
---@field package buffer string
---@field package at integer Position in `buffer` of the first byte not read.
---@field package more string[] Chunks behind `buffer`.
---@field package size integer Bytes not read, in all.
---@field package turn integer Counts fetches and reads.
local Reader = {}
Reader.__index = Reader

local CHUNK = 65536

local find, sub = string.find, string.sub

--- Fetches one more chunk; nil at the end. It may be empty when another task has read meanwhile, which may have had to
--- give way before it could keep what it read: it goes on first.
local function fill(self, n)
  local chunk = self.source:read(n or CHUNK)
  if not chunk then return nil end
  if chunk == '' then require('perilune.core.task').sleep(0) end -- offloaded code has no tasks to read meanwhile
  self.turn = self.turn + 1
  self.more[#self.more + 1] = chunk
  self.size = self.size + #chunk
  return chunk
end

--- Joins the chunks, so that `buffer` from `at` on is all there is.
local function merge(self)
  if #self.more == 0 then return end
  local rest = self.at > #self.buffer and '' or self.buffer:sub(self.at)
  self.buffer = #self.more == 1 and rest == '' and self.more[1] or rest .. table.concat(self.more)
  self.at = 1
  self.more = {}
end

local function take(self, n)
  local bytes = self.buffer:sub(self.at, self.at + n - 1)
  self.turn = self.turn + 1
  self.at = self.at + n
  self.size = self.size - n
  return bytes
end

--- The number of bytes up to and with the next newline; nil when the source ends before.
local function find_newline(self)
  merge(self)
  local newline = self.buffer:find('\n', self.at, true)
  if newline then return newline - self.at + 1 end
  while true do
    local before, turn = self.size, self.turn
    local chunk = fill(self, math.min(math.max(before, CHUNK), 1 << 20))
    if self.turn ~= turn + 1 then
      if not chunk and self.turn == turn then return nil end
      return find_newline(self) -- another task has read
    end
    newline = chunk:find('\n', 1, true)
    if newline then return before + newline end
  end
end

--- The next line. Most are whole in the buffer, and that way is short.
local function read_line(self, keep)
  local from = self.at
  local newline = #self.more == 0 and find(self.buffer, '\n', from, true)
  if newline then
    self.turn = self.turn + 1
    self.at = newline + 1
    self.size = self.size - (newline + 1 - from)
    return sub(self.buffer, from, keep and newline or newline - 1)
  end
  local n = find_newline(self)
  merge(self)
  if n then
    local line = take(self, n)
    return keep and line or line:sub(1, -2)
  end
  if self.size == 0 then return nil end
  return take(self, self.size)
end

local function read_count(self, n)
  while self.size < math.max(n, 1) do
    if not fill(self, math.min(math.max(n - self.size, CHUNK), 1 << 20)) then break end
  end
  merge(self)
  if self.size == 0 then return nil end
  return take(self, math.min(n, self.size))
end

local function read_all(self)
  while fill(self) do end
  merge(self)
  return take(self, self.size)
end

--- The byte at `offset` from the first not read, as a string; '' at the end.
local function peek(self, offset)
  while self.size <= offset do
    if not fill(self) then return '' end
  end
  merge(self)
  return self.buffer:sub(self.at + offset, self.at + offset)
end

local NUMERAL_MAX = 200

--- Reads a numeral as Lua does: the longest prefix that may be one is consumed, and nil says that it was none.
local function read_number(self)
  local space = 0
  while peek(self, space):find '^%s' do space = space + 1 end
  take(self, space)
  local n = 0
  local function accept(set)
    if n >= NUMERAL_MAX or not peek(self, n):find(set) then return false end
    n = n + 1
    return true
  end
  accept '^[+-]'
  local digit, exponent = '^%d', '^[eE]'
  local seen = accept '^0'
  if seen and accept '^[xX]' then digit, exponent, seen = '^%x', '^[pP]', false end
  while accept(digit) do seen = true end
  if accept '^%.' then
    while accept(digit) do seen = true end
  end
  if seen and accept(exponent) then
    accept '^[+-]'
    while accept '^%d' do end
  end
  return tonumber(take(self, n))
end

local formats = {
  l = function(self) return read_line(self, false) end,
  L = function(self) return read_line(self, true) end,
  a = read_all,
  n = read_number,
}

--- The function and argument of a format, or nil when it is none.
local function parse(format)
  if type(format) == 'number' then
    local n = math.tointeger(format)
    if n and n >= 0 then return read_count, n end
    return nil
  end
  if type(format) ~= 'string' then return nil end
  return formats[format] or formats[format:gsub('^%*', ''):sub(1, 1)]
end

--- Raises at `level` when a value is no format of `read`.
---
---@param name string
---@param level integer
---@param ... any
function M.check(name, level, ...)
  for i = 1, select('#', ...) do
    if not parse((select(i, ...))) then
      error(("bad argument #%d to '%s' (invalid format)"):format(i, name), level + 1)
    end
  end
end

--- Reads one value per format (`'l'` without any); nil for the first that fails, and nothing after it.
---
---@param ... string|integer `'l'`, `'L'`, `'a'`, `'n'` or a number of bytes.
---@return string|number|nil ...
function Reader:read(...)
  local count = select('#', ...)
  if count == 0 then return read_line(self, false) end
  local results = {}
  for i = 1, count do
    local read, n = parse((select(i, ...)))
    results[i] = read(self, n)
    if results[i] == nil then return table.unpack(results, 1, i) end
  end
  return table.unpack(results, 1, count)
end

--- An iterator that reads the formats each time.
---
---@param ... string|integer
---@return fun(): string|number|nil ...
function Reader:lines(...)
  local format = ... or 'l'
  if select('#', ...) < 2 and (format == 'l' or format == 'L') then
    local keep = format == 'L'
    return function() return read_line(self, keep) end
  end
  local all = table.pack(...)
  return function() return self:read(table.unpack(all, 1, all.n)) end
end

--- The next line, nil at the end. Raises `TOO_LARGE` when there are more than `max` bytes without an end, and then
--- they are gone.
---
---@param max integer
---@return string?
function Reader:line(max)
  while true do
    merge(self)
    local newline = find(self.buffer, '\n', self.at, true)
    local size = newline and newline - self.at or self.size
    if size > max then
      take(self, newline and size + 1 or size)
      error(errors.new { code = 'TOO_LARGE', message = ('a line has more than %d bytes'):format(max) }, 0)
    end
    if newline then return read_line(self, false) end
    if not fill(self) then return self.size > 0 and take(self, self.size) or nil end -- a terminal goes on after its end
  end
end

--- The next bytes, whatever their number; nil at the end.
---
---@return string?
function Reader:chunk()
  merge(self)
  if self.size > 0 then return take(self, self.size) end
  return self.source:read(CHUNK)
end

--- Forgets what is buffered and returns its size.
---
---@return integer
function Reader:reset()
  local size = self.size
  self.buffer, self.at, self.more, self.size = '', 1, {}, 0
  return size
end

---@param source perilune.Source
---@return perilune.Reader
function M.new(source)
  return setmetatable({ source = source, buffer = '', at = 1, more = {}, size = 0, turn = 0 }, Reader)
end

return M
