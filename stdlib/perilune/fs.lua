--- Files and folders. Every function waits for the system without holding up other tasks, and raises an error
--- object when the system refuses: `err.message` is `open /x: no such file or directory`, `err.details.errno` is
--- `ENOENT`.

local core = require 'perilune.core.fs'
local errors = require 'perilune.core.error'
local check = require 'perilune.check'
local readers = require 'perilune.reader'

local M = {}

local READ_MAX = 64 * 1024 * 1024
local CHUNK = 65536
local ALL = tonumber('777', 8) -- permissions, of which the umask takes some

---@class perilune.File
---@field package handle userdata
---@field package reader perilune.Reader
---@field package path string
local File = {}
File.__index = File
File.__name = 'perilune.fs.File'

function File:__tostring()
  return ('file (%s)'):format(self.closed and 'closed' or self.path)
end

--- Reads as the files of Lua do.
---
---@param ... string|integer `'l'` (default), `'L'`, `'a'`, `'n'`, or a number of bytes.
---@return string|number|nil ... One value a format, nil at the end of the file.
function File:read(...)
  readers.check('read', 2, ...)
  return self.reader:read(...)
end

--- Iterates over the rest of the file.
---
---@param ... string|integer As for `read`.
---@return fun(): string|number|nil ...
function File:lines(...)
  readers.check('lines', 2, ...)
  return self.reader:lines(...)
end

--- Bytes that were read ahead are given back, so that the position is the one the script believes in. What has no
--- position keeps them for the next read.
local function rewind(self)
  if self.handle:polled() then return end
  local ahead = self.reader:reset()
  if ahead > 0 then self.handle:seek('cur', -ahead) end
end

--- Writes strings and numbers, all of them or none is lost without an error.
---
---@param ... string|number
---@return perilune.File self
function File:write(...)
  local bytes = check.join('write', ...)
  rewind(self)
  self.handle:write(bytes)
  return self
end

--- Moves the position, as in Lua.
---
---@param whence 'set'|'cur'|'end'|nil Default `'cur'`.
---@param offset integer? Default 0.
---@return integer position From the start of the file.
function File:seek(whence, offset)
  whence, offset = whence or 'cur', offset or 0
  if whence ~= 'set' and whence ~= 'cur' and whence ~= 'end' then
    error(("bad argument #1 to 'seek' (invalid option '%s')"):format(tostring(whence)), 2)
  end
  check.arg(offset, 'integer', 2, 'seek')
  rewind(self)
  return self.handle:seek(whence, offset)
end

--- Waits until what was written is on the disk.
---
---@return perilune.File self
function File:sync()
  self.handle:sync()
  return self
end

--- Closes the file and raises what the system reports of it. Closing twice is fine.
function File:close()
  self.closed = true
  self.handle:close()
end

--- As `close`, but waits for nothing: for `local f <close> = fs.open(…)`.
function File:__close()
  self.closed = true
  self.handle:release()
end

local function wrap(handle, path)
  return setmetatable({ handle = handle, reader = readers.new(handle), path = path }, File)
end

local flags = {
  r = core.RDONLY,
  ['r+'] = core.RDWR,
  w = core.WRONLY | core.CREAT | core.TRUNC,
  ['w+'] = core.RDWR | core.CREAT | core.TRUNC,
  wx = core.WRONLY | core.CREAT | core.EXCL,
  a = core.WRONLY | core.CREAT | core.APPEND,
  ['a+'] = core.RDWR | core.CREAT | core.APPEND,
}

--- Opens a file. A FIFO waits for its other end, which can be cancelled like any wait.
---
---@param path string
---@param mode string? `r` (default), `w`, `a`, `r+`, `w+`, `a+`, or `wx`: the file must not exist.
---@return perilune.File
function M.open(path, mode)
  check.arg(path, 'path', 1, 'fs.open')
  check.arg(mode, '?string', 2, 'fs.open')
  local bits = flags[((mode or 'r'):gsub('b', ''))]
  if not bits then error(("bad argument #2 to 'fs.open' (invalid mode '%s')"):format(mode), 2) end
  return wrap(core.open(path, bits), path)
end

--- What a FIFO or terminal brings until its end.
local function read_to_end(handle, path, max)
  local file <close> = wrap(handle, path)
  local parts, size = {}, 0
  for chunk in function() return handle:read(CHUNK) end do
    size = size + #chunk
    if size > max then
      error(errors.new {
        code = 'TOO_LARGE',
        outcome = 'executed',
        message = ('read %s: more than %d bytes'):format(file.path, max),
      }, 0)
    end
    parts[#parts + 1] = chunk
  end
  return table.concat(parts)
end

--- Reads a whole file. One larger than `max` (64 MiB) is refused with `TOO_LARGE`.
---
---@param path string
---@param options { max: integer? }?
---@return string
function M.read(path, options)
  check.arg(path, 'path', 1, 'fs.read')
  options = check.options(options, { max = 'integer' }, 2, 'fs.read')
  local max = options.max or READ_MAX
  if max < 0 then error("option 'max' of fs.read: negative", 2) end
  local result = core.read(path, max)
  if type(result) == 'string' then return result end
  return read_to_end(result, path, max)
end

---@class perilune.fs.WriteOptions
---@field append boolean? Behind what the file holds.
---@field atomic boolean? Others see the old bytes or the new ones, never a part: writes beside the file and renames.
---@field sync boolean? Waits until it is on the disk.
---@field exclusive boolean? The file must not exist.
---@field mode integer? Permissions of a new file, default 0666 less the umask.

--- Writes a whole file.
---
---@param path string
---@param data string
---@param options perilune.fs.WriteOptions?
function M.write(path, data, options)
  check.arg(path, 'path', 1, 'fs.write')
  check.arg(data, 'bytes', 2, 'fs.write')
  options = check.options(options, {
    append = 'boolean', atomic = 'boolean', sync = 'boolean', exclusive = 'boolean', mode = 'integer',
  }, 3, 'fs.write')
  if options.atomic and (options.append or options.exclusive) then
    error("fs.write: 'atomic' replaces the file, it goes with neither 'append' nor 'exclusive'", 2)
  end
  local handle = core.write(path, data, options, options.mode or tonumber('666', 8))
  if handle then
    local file <close> = wrap(handle, path)
    file:write(data)
  end
end

--- Iterates over the lines of a file, without their newlines; `keep` keeps them. Leaving the loop closes the file.
---
---@param path string
---@param options { keep: boolean? }?
---@return fun(): string? next, nil, nil, perilune.File closing
function M.lines(path, options)
  check.arg(path, 'path', 1, 'fs.lines')
  options = check.options(options, { keep = 'boolean' }, 2, 'fs.lines')
  local file = wrap(core.open(path, core.RDONLY), path)
  return file.reader:lines(options.keep and 'L' or 'l'), nil, nil, file
end

--- Iterates over a file in pieces of at most `size` bytes (64 KiB). Leaving the loop closes the file.
---
---@param path string
---@param size integer?
---@return fun(): string? next, nil, nil, perilune.File closing
function M.chunks(path, size)
  check.arg(path, 'path', 1, 'fs.chunks')
  check.arg(size, '?integer', 2, 'fs.chunks')
  size = size or CHUNK
  if size < 1 or size > READ_MAX then error("bad argument #2 to 'fs.chunks' (out of range)", 2) end
  local handle = core.open(path, core.RDONLY)
  return function() return handle:read(size) end, nil, nil, handle
end

---@class perilune.fs.Stat
---@field type 'file'|'directory'|'link'|'fifo'|'socket'|'device'
---@field size integer
---@field mode integer Permissions.
---@field modified number Seconds since 1970, as `accessed` and `changed`.
---@field accessed number
---@field changed number
---@field uid integer
---@field gid integer
---@field links integer
---@field inode integer
---@field device integer

--- What the system knows of a path. A link is followed unless `follow = false`.
---
---@param path string
---@param options { follow: boolean? }?
---@return perilune.fs.Stat
function M.stat(path, options)
  check.arg(path, 'path', 1, 'fs.stat')
  options = check.options(options, { follow = 'boolean' }, 2, 'fs.stat')
  return core.stat(path, options.follow ~= false)
end

--- True when the path leads to something; an error other than its absence is raised.
---
---@param path string
---@return boolean
function M.exists(path)
  check.arg(path, 'path', 1, 'fs.exists')
  return core.exists(path)
end

--- The names in a folder, sorted by their bytes.
---
---@param path string
---@return string[]
function M.list(path)
  check.arg(path, 'path', 1, 'fs.list')
  return core.list(path)
end

--- Makes a folder. With `parents` those above it too, and one that exists is fine.
---
---@param path string
---@param options { parents: boolean?, mode: integer? }?
function M.mkdir(path, options)
  check.arg(path, 'path', 1, 'fs.mkdir')
  options = check.options(options, { parents = 'boolean', mode = 'integer' }, 2, 'fs.mkdir')
  local mode = options.mode or ALL
  if not options.parents then
    core.mkdir(path, mode)
    return
  end
  for slash in path:gmatch '()/+' do
    if slash > 1 then core.mkdir(path:sub(1, slash - 1), ALL, true) end
  end
  if path:sub(-1) ~= '/' then core.mkdir(path, mode, true) end
end

--- Renames within a file system; what has the new name is replaced.
---
---@param from string
---@param to string
function M.rename(from, to)
  check.arg(from, 'path', 1, 'fs.rename')
  check.arg(to, 'path', 2, 'fs.rename')
  core.rename(from, to)
end

--- Removes what is below a folder; links are removed, not followed.
local function clear(path)
  for _, name in ipairs(core.list(path)) do
    local inner = path .. '/' .. name
    if core.stat(inner, false).type == 'directory' then clear(inner) end
    core.remove(inner)
  end
end

--- Removes a file, a link or an empty folder; with `recursive` a folder with all that is in it.
---
---@param path string
---@param options { recursive: boolean? }?
function M.remove(path, options)
  check.arg(path, 'path', 1, 'fs.remove')
  options = check.options(options, { recursive = 'boolean' }, 2, 'fs.remove')
  if options.recursive and core.stat(path, false).type == 'directory' then clear(path) end
  core.remove(path)
end

---@class perilune.fs.Change
---@field kind 'change'|'rename'|'overflow' `rename`: appeared, vanished or was renamed; `overflow`: some were lost.
---@field name string? In the watched folder.

---@class perilune.fs.Watcher
---@field package handle userdata
local Watcher = {}
Watcher.__index = Watcher
Watcher.__name = 'perilune.fs.Watcher'

--- Waits for the next change; nil once closed.
---
---@return perilune.fs.Change?
function Watcher:next()
  local name, kind = self.handle:next()
  return kind and { name = name, kind = kind }
end

Watcher.__call = Watcher.next

function Watcher:close()
  self.handle:close()
end

Watcher.__close = Watcher.close

--- Watches a file or a folder (not those below it): `for change in fs.watch 'dir' do`. Changes are kept from the
--- call on; leaving the loop ends it.
---
---@param path string
---@return perilune.fs.Watcher next, nil, nil, perilune.fs.Watcher closing
function M.watch(path)
  check.arg(path, 'path', 1, 'fs.watch')
  local watcher = setmetatable({ handle = core.watch(path) }, Watcher)
  return watcher, nil, nil, watcher
end

return M
