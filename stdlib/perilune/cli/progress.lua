--- How far a transfer is, on one line of the terminal that standard error is: nothing where it is none.

local mesh = require 'perilune'
local sys = require 'perilune.core.sys'

local M = {}

local PERIOD = 0.2 -- seconds between two looks
local SMOOTH = 2 -- seconds over which the rate is told
local CELLS = 20
local WIDTH = 80 -- columns of a terminal that does not tell them

local UNITS = { 'B', 'kB', 'MB', 'GB', 'TB', 'PB', 'EB' }

--- A number of bytes in a few letters.
---
---@param bytes number
---@return string
function M.size(bytes)
  local unit = 1
  while bytes >= 999.5 and unit < #UNITS do bytes, unit = bytes / 1000, unit + 1 end
  return ((unit > 1 and bytes < 99.95) and '%.1f %s' or '%.0f %s'):format(bytes, UNITS[unit])
end

--- Seconds as 0:05, 12:34 or 3:00:00.
---
---@param seconds number
---@return string
function M.time(seconds)
  local s = math.floor(math.min(seconds, 359999) + 0.5)
  if s < 3600 then return ('%d:%02d'):format(s // 60, s % 60) end
  return ('%d:%02d:%02d'):format(s // 3600, s // 60 % 60, s % 60)
end

--- The line: without a total neither bar nor time left are known.
---
---@param done integer Bytes.
---@param total integer? Bytes.
---@param rate number Bytes a second.
---@param over boolean? The rate is that of the whole, and nothing is left.
---@return string
function M.line(done, total, rate, over)
  local speed = M.size(rate) .. '/s'
  if not total then return ('%s  %s'):format(M.size(done), speed) end
  local part = total > 0 and math.min(done / total, 1) or 1
  local cells = math.floor(part * CELLS)
  local line = ('[%s%s] %3d %%  %s of %s  %s'):format(('#'):rep(cells), ('-'):rep(CELLS - cells),
    math.floor(part * 100), M.size(done), M.size(total), speed)
  if over or done >= total or rate <= 0 then return line end
  return ('%s  %s left'):format(line, M.time((total - done) / rate))
end

--- The line for a terminal of so many columns: where it does not fit, first its bar is left out, then what comes last.
---
---@param line string
---@param columns integer
---@return string
function M.fit(line, columns)
  if #line >= columns then line = line:gsub('^%[[#-]*%] *', '') end
  while #line >= columns and line:find '  ' do line = line:match '^(.*)  ' end
  return line:sub(1, columns - 1)
end

---@class perilune.cli.Progress
---@field done integer Bytes; whoever moves them counts them here.
---@field total integer? Bytes, when that is known.
---@field package began number
---@field package rate number
---@field package seen { at: number, done: integer }
---@field package shown boolean?
local Progress = {}
Progress.__index = Progress

local function draw(self, line)
  local columns = sys.columns 'stderr' or WIDTH
  io.stderr:write('\r', M.fit(line, columns), '\27[K')
  self.shown = true
end

--- The rate lately: an average in which what is long ago counts less and less.
local function measure(self)
  local now = sys.monotonic()
  local since = now - self.seen.at
  if since < PERIOD / 2 then return end
  local weight = 1 - math.exp(-since / SMOOTH)
  local rate = (self.done - self.seen.done) / since
  self.rate = self.rate and self.rate + weight * (rate - self.rate) or rate
  self.seen = { at = now, done = self.done }
end

--- Takes the line away, for what else is written to the terminal.
function Progress:hide()
  if not self.shown then return end
  io.stderr:write '\r\27[K'
  self.shown = false
end

--- Ends it: with what came of it all, or with nothing.
---
---@param ok boolean
function Progress:finish(ok)
  if not self.task then return end
  self.task:cancel()
  self.task = nil
  if not ok then return self:hide() end
  local took = math.max(sys.monotonic() - self.began, 1e-3)
  draw(self, M.line(self.done, self.total, self.done / took, true))
  io.stderr:write '\n'
  self.shown = false
end

--- Shows how far it is until it is finished.
---
---@param total integer?
---@return perilune.cli.Progress
function M.start(total)
  local now = sys.monotonic()
  local self = setmetatable({ done = 0, total = total, began = now, seen = { at = now, done = 0 } }, Progress)
  if not sys.is_tty 'stderr' then return self end
  self.task = mesh.spawn(function()
    while true do
      mesh.sleep(PERIOD)
      measure(self)
      draw(self, M.line(self.done, self.total, self.rate or 0))
    end
  end)
  return self
end

return M
