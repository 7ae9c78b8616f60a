--- A file that is sent: its blocks in order, their digest, and the certainty that it is one and the same file from the
--- first to the last of them.

require 'perilune.core.fs' -- which knows what open files are
local crypto = require 'perilune.crypto'
local folder = require 'perilune.core.folder'
local names = require 'perilune.files.names'
local sys = require 'perilune.core.sys'

local M = {}

local BLOCK = 65536
local LOOK = 1 -- seconds between two looks at whether the file is still what it was

---@class perilune.files.Source
---@field size integer Bytes from its beginning to the end of the file.
---@field at integer Bytes that have been read of them.
---@field modified number Seconds since 1970.
---@field package handle userdata
---@field package name string
---@field package offset integer Of its beginning in the file.
---@field package stat table
---@field package hasher perilune.Hasher
---@field package looked number
local Source = {}
Source.__index = Source
Source.__name = 'perilune.files.Source'

--- Back to the beginning.
function Source:rewind()
  self.handle:seek('set', self.offset)
  self.at, self.hasher = 0, crypto.hasher()
end

local function changed(self, how)
  names.fail('CHANGED', ('%s: %s while it was read'):format(self.name, how))
end

local function look(self)
  self.looked = sys.monotonic()
  local now = self.handle:stat()
  if now.links == 0 then changed(self, 'it was removed or replaced') end
  if now.size ~= self.stat.size then
    changed(self, ('its size went from %d to %d bytes'):format(self.stat.size, now.size))
  end
  if now.modified ~= self.stat.modified then changed(self, 'it was written to') end
end

--- The next block of 64 KiB; the last one may be shorter. Nil at the end. Raises `CHANGED` when the file is no more
--- what it was at first.
---
---@return string?
function Source:next()
  local left = self.size - self.at
  if left == 0 or sys.monotonic() - self.looked >= LOOK then look(self) end
  if left == 0 then return nil end
  local block = self.handle:read(math.min(BLOCK, left))
  if not block then look(self) end
  if not block then changed(self, 'it ended') end
  self.at = self.at + #block
  self.hasher:update(block)
  return block
end

Source.__call = Source.next

--- Reads the first `n` bytes and returns their digest.
---
---@param n integer At most its size.
---@param each fun()? Called after every block.
---@return string
function Source:prefix(n, each)
  self:rewind()
  while self.at < n do
    local block = self.handle:read(math.min(BLOCK, n - self.at))
    if not block then changed(self, 'it ended') end
    self.at = self.at + #block
    self.hasher:update(block)
    if each then each() end
  end
  return self:digest()
end

--- The SHA-256 of what has been read, in hexadecimal digits.
---
---@return string
function Source:digest() return self.hasher:digest { hex = true } end

function Source:close() self.handle:release() end

Source.__close = Source.close

--- Opens a file to be sent. Without a root it is any path; else a name below that folder.
---
---@param root string?
---@param name string
---@param offset integer? Where it begins.
---@return perilune.files.Source
function M.open(root, name, offset)
  offset = offset or 0
  local handle, stat = folder.open(root, name)
  if offset > stat.size then
    handle:release()
    names.fail('INVALID', ('%s: offset %d is behind its end, at %d'):format(name, offset, stat.size))
  end
  local self = setmetatable({
    handle = handle, name = name, offset = offset, stat = stat, at = 0,
    size = stat.size - offset, modified = stat.modified, hasher = crypto.hasher(), looked = sys.monotonic(),
  }, Source)
  if offset > 0 then self:rewind() end
  return self
end

return M
