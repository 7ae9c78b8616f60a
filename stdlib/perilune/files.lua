--- Files over the mesh, of any size with constant memory: served below a folder, fetched, stored, and the parts of
--- which scripts make transfers of their own.

local check = require 'perilune.check'
local client = require 'perilune.files.client'
local fs = require 'perilune.fs'
local inputs = require 'perilune.input'
local names = require 'perilune.files.names'
local parts = require 'perilune.files.part'
local server = require 'perilune.files.server'
local sources = require 'perilune.files.source'

local M = {}

--- Offers the files below a folder: with the name `files` the actions `files.stat`, `files.get`, and with
--- `write = true` also `files.put`. Names that lead out of the folder, and links, are refused.
---
---@param name string
---@param folder string
---@param options perilune.files.ServeOptions?
function M.serve(name, folder, options)
  check.arg(name, 'text', 1, 'files.serve')
  check.arg(folder, 'path', 2, 'files.serve')
  options = check.options(options, { write = 'boolean', max_size = 'count', concurrency = 'count' }, 3, 'files.serve')
  if fs.stat(folder).type ~= 'directory' then error(("files.serve: '%s' is no folder"):format(folder), 2) end
  server.serve(name, folder, options)
end

local TRANSFER = {
  progress = 'function', resume = 'boolean', offset = 'count', max_size = 'count', node = 'bytes',
  timeout = 'seconds', idle = 'seconds', wait = 'seconds', priority = 'priority', meta = 'table',
}

local function nothing() end

--- What is left out, in a table of its own.
local function completed(options)
  local all = { progress = nothing }
  for key, value in pairs(options) do all[key] = value end
  return all
end

---@class perilune.files.TransferOptions
---@field progress fun(done: integer, total: integer)? Called at the beginning and after every block.
---@field resume boolean? Keeps what has come when it breaks off, and goes on from there the next time.
---@field offset integer? The part of the file from this byte on is what is transferred.
---@field max_size integer? Bytes that a download may have.
---@field node string? As for `mesh.with`, as all that follow.
---@field timeout number?
---@field idle number?
---@field wait number?
---@field priority 'high'|'normal'|'low'|nil
---@field meta table?

--- Fetches a file from a node that offers it. It has its name when all of it is there and its digest is right.
---
---@param name string Of `files.serve` there.
---@param remote string
---@param path string
---@param options perilune.files.TransferOptions?
---@return integer size, string sha256
function M.download(name, remote, path, options)
  check.arg(name, 'bytes', 1, 'files.download')
  check.arg(remote, 'bytes', 2, 'files.download')
  check.arg(path, 'path', 3, 'files.download')
  options = check.options(options, TRANSFER, 4, 'files.download')
  return client.download(name, remote, path, completed(options))
end

--- Stores a file at a node that takes them.
---
---@param name string Of `files.serve` there.
---@param path string
---@param remote string
---@param options perilune.files.TransferOptions?
---@return integer size, string sha256
function M.upload(name, path, remote, options)
  check.arg(name, 'bytes', 1, 'files.upload')
  check.arg(path, 'path', 2, 'files.upload')
  check.arg(remote, 'bytes', 3, 'files.upload')
  options = check.options(options, TRANSFER, 4, 'files.upload')
  return client.upload(name, path, remote, completed(options))
end

--- What a node has of a file: `size` and `modified`, `part` (bytes of an upload that is not whole), `node`.
---
---@param name string Of `files.serve` there.
---@param remote string
---@param options perilune.files.TransferOptions?
---@return { size: integer?, modified: number?, part: integer?, node: string }
function M.stat(name, remote, options)
  check.arg(name, 'bytes', 1, 'files.stat')
  check.arg(remote, 'bytes', 2, 'files.stat')
  options = check.options(options, TRANSFER, 3, 'files.stat')
  return client.stat(name, remote, completed(options))
end

--- Iterates over a file in blocks of 64 KiB: `for block in files.blocks(path) do`. Its first value has `size` and
--- `digest()`. Raises `CHANGED` when the file does not stay what it is. With `root` the path is a name below that
--- folder.
---
---@param path string
---@param options { offset: integer?, root: string? }?
---@return perilune.files.Source next, nil, nil, perilune.files.Source closing
function M.blocks(path, options)
  check.arg(path, 'bytes', 1, 'files.blocks')
  options = check.options(options, { offset = 'count', root = 'path' }, 2, 'files.blocks')
  local source
  if options.root then
    names.check(path)
    source = names.opening(path, sources.open, options.root, path, options.offset)
  else
    source = sources.open(nil, path, options.offset)
  end
  return source, nil, nil, source
end

---@class perilune.files.StoreOptions
---@field size integer? That it must have.
---@field sha256 string? That it must have, in hexadecimal digits.
---@field max_size integer?
---@field root string? The path is a name below this folder.

local STORE = { size = 'count', sha256 = 'text', max_size = 'count', root = 'path' }

--- Stores the strings that an iterator gives. The file has its name when all of them are on the disk; when the iterator
--- fails there is nothing.
---
---@param path string
---@param blocks function|table An iterator, or the values of a generic `for` in a table.
---@param options perilune.files.StoreOptions?
---@return integer size, string sha256
function M.store(path, blocks, options)
  check.arg(path, 'bytes', 1, 'files.store')
  options = check.options(options, STORE, 3, 'files.store')
  local iterator = inputs.iterator(blocks, "bad argument #2 to 'files.store'", 3)
  local bounds = { max = options.max_size, size = options.size, label = path }
  local part <close> = (function()
    if not options.root then
      local folder, file = names.split(path)
      return parts.open(folder, file, bounds)
    end
    names.check(path)
    return names.opening(path, parts.open, options.root, path, bounds)
  end)()
  part:restart()
  for block in table.unpack(iterator, 1, 4) do
    if type(block) ~= 'string' then names.fail('INVALID', 'files.store: a block is a string') end
    part:write(block)
  end
  local size, sha256 = part:commit(options.size, options.sha256)
  return size, sha256
end

return M
