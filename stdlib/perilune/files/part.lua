--- A file that is received: it is written beside its target, as `.NAME.part`, and gets its name when all of it is
--- there, is what was sent, and is on the disk. Nobody else can write it meanwhile.

require 'perilune.core.fs' -- which knows what open files are
local crypto = require 'perilune.crypto'
local folder = require 'perilune.core.folder'
local names = require 'perilune.files.names'
local sys = require 'perilune.core.sys'

local M = {}

local BLOCK = 65536
local LOOK = 1 -- seconds between two looks at whether it is still there
-- Written before it is waited for the disk, so that the wait at the end is short enough for the other end.
local SYNC = 64 * 1024 * 1024

---@class perilune.files.Part
---@field size integer Bytes written.
---@field package handle userdata
---@field package root string
---@field package file string Its name there.
---@field package name string What messages call it.
---@field package keep boolean
---@field package max integer
---@field package hasher perilune.Hasher
---@field package unsynced integer
---@field package looked number
---@field package done boolean?
local Part = {}
Part.__index = Part

local function is_short_of(self, bytes)
  return self.max < bytes
end

--- Forgets what an earlier transfer left.
function Part:restart()
  self.handle:truncate(0)
  self.size, self.hasher, self.unsynced = 0, crypto.hasher(), 0
end

--- Goes on behind the first `n` bytes of what an earlier transfer left, and returns their digest.
---
---@param n integer At most `size`.
---@param each fun()? Called after every block.
---@return string
function Part:resume(n, each)
  self.handle:seek('set', 0)
  self.hasher = crypto.hasher()
  local at = 0
  while at < n do
    local block = self.handle:read(math.min(BLOCK, n - at))
    if not block then names.fail('CHANGED', ('%s: its part has become shorter'):format(self.name)) end
    at = at + #block
    self.hasher:update(block)
    if each then each() end
  end
  self.handle:truncate(n)
  self.size = n
  return self:digest()
end

---@param bytes string
function Part:write(bytes)
  if is_short_of(self, self.size + #bytes) then
    names.fail('TOO_LARGE', ('%s: more than %d bytes'):format(self.name, self.max))
  end
  self.handle:write(bytes)
  self.hasher:update(bytes)
  self.size, self.unsynced = self.size + #bytes, self.unsynced + #bytes
  if self.unsynced >= SYNC then
    self.handle:sync()
    self.unsynced = 0
  end
  if sys.monotonic() - self.looked < LOOK then return end
  self.looked = sys.monotonic()
  if self.handle:stat().links == 0 then
    names.fail('CHANGED', ('%s: its part was removed while it was written'):format(self.name))
  end
end

--- The SHA-256 of what has been written, in hexadecimal digits.
---
---@return string
function Part:digest() return self.hasher:digest { hex = true } end

--- Gives the file its name. What is not as it should be is removed: `CHECKSUM`.
---
---@param size integer? That it should have.
---@param sha256 string? That it should have.
---@return integer size, string sha256
function Part:commit(size, sha256)
  local digest = self:digest()
  local wrong
  if size and size ~= self.size then
    wrong = ('%d bytes came of %d'):format(self.size, size)
  elseif sha256 and sha256:lower() ~= digest then
    wrong = 'what came is not what was sent'
  end
  if wrong then
    self.keep = false
    names.fail('CHECKSUM', ('%s: %s'):format(self.name, wrong))
  end
  local ok, err = pcall(folder.publish, self.handle, self.root, self.file, self.name)
  if not ok then
    local errno = type(err) == 'table' and err.details and err.details.errno
    if errno ~= 'ENOENT' then error(err, 0) end
    names.fail('CHANGED', ('%s: its part was removed while it was written'):format(self.name))
  end
  self.done = true
  return self.size, digest
end

--- Removes what is not whole, unless it shall be gone on with later.
function Part:__close()
  if not self.done and not self.keep then pcall(folder.discard, self.handle, self.root, self.file) end
  -- Waits, so that the next writer is not refused because of this one.
  if not pcall(self.handle.close, self.handle) then self.handle:release() end
end

---@class perilune.files.PartOptions
---@field keep boolean? What has come stays when the rest does not.
---@field max integer? Bytes that the file may have.
---@field size integer? Bytes that it will have, as far as is known.
---@field label string? What messages call it, else by its name.

--- Opens the part of a file below a folder. It has what an earlier transfer left: `resume` or `restart` comes next.
---
---@param root string
---@param file string
---@param options perilune.files.PartOptions
---@return perilune.files.Part
function M.open(root, file, options)
  local name = options.label or file
  local self = {
    root = root, file = file, name = name, keep = options.keep or false, max = options.max or math.maxinteger,
  }
  if is_short_of(self, options.size or 0) then
    names.fail('TOO_LARGE', ('%s: %d bytes are more than %d'):format(name, options.size, self.max))
  end
  local ok, handle, stat = pcall(folder.part, root, file, name)
  if not ok then
    names.refuse_busy(handle, name)
    error(handle, 0)
  end
  self.handle, self.size, self.looked = handle, stat.size, sys.monotonic()
  self.hasher, self.unsynced = crypto.hasher(), 0
  return setmetatable(self, Part)
end

return M
