--- The actions that offer the files below a folder: NAME.stat, NAME.get, and NAME.put where writing is allowed.

local actions = require 'perilune.actions'
local folders = require 'perilune.core.folder'
local log = require 'perilune.log'
local names = require 'perilune.files.names'
local node = require 'perilune.core.node'
local parts = require 'perilune.files.part'
local requests = require 'perilune.core.action'
local sources = require 'perilune.files.source'
local sys = require 'perilune.core.sys'

local M = {}

local TELL = 1 -- seconds between two chunks by which the other end knows that work goes on
local CONCURRENCY = 16

--- What a caller wants of a transfer, as far as it makes sense.
local function wishes(given)
  if given == nil then return {} end
  if type(given) ~= 'table' then names.fail('INVALID', 'the second argument is no table') end
  for _, key in ipairs { 'offset', 'at', 'size' } do
    local n = given[key]
    if n ~= nil and (math.type(n) ~= 'integer' or n < 0) then
      names.fail('INVALID', ("field '%s' is no number of bytes"):format(key))
    end
  end
  local digest = given.sha256
  if digest ~= nil and (type(digest) ~= 'string' or not digest:find '^%x+$' or #digest ~= 64) then
    names.fail('INVALID', "field 'sha256' is no digest")
  end
  if given.at and not digest then names.fail('INVALID', "field 'at' without 'sha256'") end
  return given
end

--- A function that yields a chunk now and then, while the caller waits for something long.
local function teller()
  local told = sys.monotonic()
  return function()
    if sys.monotonic() - told < TELL then return end
    told = sys.monotonic()
    coroutine.yield { busy = true }
  end
end

--- Without a size there is no such file, which is no failure: uploads ask before they begin.
local function stat(folder, writable, name)
  names.check(name)
  local found = folders.stat(folder, name)
  local part = writable and folders.stat(folder, name, nil, true)
  if found and found.type ~= 'file' then names.fail('NOT_A_FILE', name .. ': it is no file') end
  return {
    size = found and found.size,
    modified = found and found.modified,
    part = part and part.size or nil,
    node = node.self().id,
  }
end

--- Logs what is logged of no handler: that its caller broke off in the middle.
local function watch(what, name)
  return setmetatable({}, {
    __close = function(_, err)
      if type(err) ~= 'table' or err.code ~= 'CANCELLED' and err.code ~= 'PEER_LOST' then return end
      log.warn(what .. ' broken off', { file = tostring(name), error = tostring(err) })
    end,
  })
end

local function get(folder, name, given)
  names.check(name)
  local wanted = wishes(given)
  local watcher <close> = watch('download', name) -- luacheck: ignore 211
  local source <close> = names.opening(name, sources.open, folder, name, wanted.offset)
  requests.info { size = source.size, modified = source.modified }
  if wanted.at then
    local same = wanted.at <= source.size and source:prefix(wanted.at, teller()) == wanted.sha256
    if not same then source:rewind() end
    coroutine.yield { at = source.at }
  end
  for block in source do coroutine.yield(block) end
  return { size = source.size, sha256 = source:digest() }
end

--- Writes what the caller sends; what it says at the end of its size and digest.
local function receive(part)
  local last
  for item in requests.input() do
    if last or type(item) ~= 'string' then
      if last or type(item) ~= 'table' then names.fail('INVALID', 'blocks are strings, and at last a table') end
      last = wishes(item)
    else
      part:write(item)
    end
  end
  return last or {}
end

local function put(folder, max_size, name, given)
  names.check(name)
  local wanted = wishes(given)
  local watcher <close> = watch('upload', name) -- luacheck: ignore 211
  local options = { keep = wanted.keep == true, max = max_size, size = wanted.size }
  local part <close> = names.opening(name, parts.open, folder, name, options)
  local at = wanted.at
  local same = at and at <= part.size and part:resume(at, teller()) == wanted.sha256
  if not same then part:restart() end
  if at then coroutine.yield { at = part.size } end
  local last = receive(part)
  local size, sha256 = part:commit(last.size or wanted.size, last.sha256)
  return { size = size, sha256 = sha256 }
end

---@class perilune.files.ServeOptions
---@field write boolean? Files may be stored there, too.
---@field max_size integer? Bytes of one that is stored.
---@field concurrency integer? Transfers of one kind at once; 16 by default.

--- Registers the actions.
---
---@param name string
---@param folder string
---@param options perilune.files.ServeOptions
function M.serve(name, folder, options)
  local function offer(verb, fn, description)
    actions.action(('%s.%s'):format(name, verb), fn, {
      concurrency = options.concurrency or CONCURRENCY, description = description, idempotent = verb == 'stat',
    })
  end
  offer('stat', function(file) return stat(folder, options.write, file) end, 'size and age of a file')
  offer('get', function(...) return get(folder, ...) end, 'streams a file')
  if not options.write then return end
  offer('put', function(...) return put(folder, options.max_size, ...) end, 'stores a file')
end

return M
