--- What was typed before, in this run and in others: kept in a file that only its owner can read.

local fs = require 'perilune.fs'

local M = {}

local ENTRIES = 1000
local FILE_MAX = 4 * 1024 * 1024 -- bytes that are read of the file
local ENTRY_MAX = 16 * 1024 -- bytes of what is worth keeping

---@class perilune.repl.History
---@field entries string[] Oldest first.
---@field path string? Nil: it is not kept.
local History = {}
History.__index = History

local function encode(entry) return (entry:gsub('\\', '\\\\'):gsub('\n', '\\n')) .. '\n' end

local function decode(line)
  return (line:gsub('\\(.)', function(c) return c == 'n' and '\n' or c end))
end

--- Where it is kept: below $XDG_STATE_HOME, else ~/.local/state. Nil without either.
---
---@return string?
function M.path()
  local state, home = os.getenv 'XDG_STATE_HOME', os.getenv 'HOME'
  local base = state and state:find '^/' and state or home and home:find '^/' and home .. '/.local/state'
  return base and base .. '/perilune/history' or nil
end

--- An entry that is as the one before, or begins with a space, is not kept.
local function accepts(entries, text)
  return #text <= ENTRY_MAX and text:find '%S' and not text:find '^ ' and entries[#entries] ~= text
end

local function trim(entries)
  local excess = #entries - ENTRIES
  if excess <= 0 then return end
  table.move(entries, excess + 1, #entries, 1)
  for i = #entries, ENTRIES + 1, -1 do entries[i] = nil end
end

local function encode_all(entries)
  local lines = {}
  for i, entry in ipairs(entries) do lines[i] = encode(entry) end
  return table.concat(lines)
end

--- Reads what there is; what cannot be read, or is no text, is as if it was not there.
local function load(self)
  local ok, text = pcall(fs.read, self.path, { max = FILE_MAX })
  if not ok then return end
  local count = 0
  for line in text:gmatch '[^\n]+' do
    count = count + 1
    local entry = decode(line)
    if utf8.len(entry) and not entry:find '[%z\1-\8\11-\31\127]' and accepts(self.entries, entry) then
      self.entries[#self.entries + 1] = entry
    end
  end
  trim(self.entries)
  if count > 2 * ENTRIES then pcall(fs.write, self.path, encode_all(self.entries), { atomic = true, mode = 384 }) end
end

--- Adds what was typed, here and in the file.
---
---@param text string
function History:add(text)
  if not accepts(self.entries, text) then return end
  self.entries[#self.entries + 1] = text
  trim(self.entries)
  if not self.path then return end
  local ok = pcall(fs.write, self.path, encode(text), { append = true, mode = 384 }) -- 0600
  if not ok then self.path = nil end -- it cannot be kept, which is no reason to stop
end

--- The newest entry before the one at `from` that has the text, and its number.
---
---@param text string
---@param from integer
---@return integer?
function History:find(text, from)
  for i = math.min(from - 1, #self.entries), 1, -1 do
    if self.entries[i]:find(text, 1, true) then return i end
  end
end

--- Opens the history that is kept at `path`; without one it is of this run only.
---
---@param path string?
---@return perilune.repl.History
function M.open(path)
  local self = setmetatable({ entries = {}, path = path }, History)
  if path then
    local ok = pcall(fs.mkdir, path:match '^(.*)/', { parents = true, mode = 448 }) -- 0700
    if not ok then self.path = nil end
    load(self)
  end
  return self
end

return M
