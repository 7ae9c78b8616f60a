--- Standard output that is written while the command waits for something else, in as few writes
--- as the reader allows, and never late: what is put leaves when nothing more is at hand.

local mesh = require 'perilune'
local stdio = require 'perilune.stdio'

local M = {}

local HIGH = 256 * 1024 -- bytes at which `put` waits for the reader

---@class perilune.cli.Output
---@field failed any? The error of writing: whoever read is gone, or the disk is full.
local Output = {}
Output.__index = Output

--- @param on_failure fun() Called once, when writing fails.
function M.new(on_failure)
  return setmetatable({ parts = {}, bytes = 0, on_failure = on_failure }, Output)
end

local function drain(self)
  while self.bytes > 0 and not self.failed do
    local text = table.concat(self.parts)
    self.parts, self.bytes = {}, 0
    local ok, err = pcall(stdio.write, text)
    if not ok then
      self.failed = err
      self.on_failure()
    end
  end
  self.writer = nil
end

---@param text string
function Output:put(text)
  if self.failed or text == '' then return end
  self.parts[#self.parts + 1] = text
  self.bytes = self.bytes + #text
  self.writer = self.writer or mesh.spawn(drain, self) -- runs when this task waits
  if self.bytes >= HIGH then self.writer:await() end
end

--- Waits until all is written; raises what went wrong.
function Output:finish()
  if self.writer then self.writer:await() end
  if self.failed then error(self.failed, 0) end
end

return M
