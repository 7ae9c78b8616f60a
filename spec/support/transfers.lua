--- Two nodes that exchange files, for functional specs: `b` offers a folder, `a` fetches and stores.
---
---     transfers.describe('files', function(world) … world.a, world.b, world.there, world.here … end)

local cluster = require 'spec.support.cluster'
local lfs = require 'lfs'
local process = require 'spec.support.process'

-- luacheck: globals mesh files fs, ignore 431 432

local M = {}

--- So many bytes, each page of them another.
function M.bytes(size)
  local pages = {}
  for i = 1, size // 4096 + 1 do pages[i] = ('%07d\n'):format(i):rep(512) end
  return table.concat(pages):sub(1, size)
end

function M.put(path, text)
  local file <close> = assert(io.open(path, 'wb'))
  file:write(text)
end

function M.get(path)
  local file <close> = assert(io.open(path, 'rb'))
  return file:read 'a'
end

--- The names in a folder, sorted.
function M.list(dir)
  local names = {}
  for name in lfs.dir(dir) do
    if name ~= '.' and name ~= '..' then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

--- The digest of a file, by another program.
function M.sha256(path)
  local pipe <close> = assert(io.popen(("sha256sum '%s'"):format(path)))
  return pipe:read(64)
end

--- How many this process has open.
function M.descriptors()
  local n = 0
  for _ in lfs.dir '/proc/self/fd' do n = n + 1 end
  return n
end

--- What every node has at hand.
function M.prepare()
  files, fs = require 'perilune.files', require 'perilune.fs'
end

---@class spec.Transfers
---@field net spec.Cluster
---@field a spec.Node
---@field b spec.Node
---@field there string The folder of `b`.
---@field here string
local World = {}
World.__index = World

--- Runs `files.download` or `files.upload` in `a`: size and digest, or the error.
function World:transfer(verb, from, to, options)
  return self.a:eval(function(verb, from, to, options)
    local ok, size, sha256 = pcall(files[verb], 'files', from, to, options)
    if ok then return size, sha256 end
    return size
  end, verb, from, to, options)
end

function World:download(name, options) return self:transfer('download', name, self.here .. '/' .. name, options) end

function World:upload(name, options) return self:transfer('upload', self.here .. '/' .. name, name, options) end

--- The same with code that has `done`, `total` and the folders `there` and `here`, after every block. `first` is where
--- it began.
function World:disturbed(verb, name, during, options)
  return self.a:eval(function(verb, name, there, here, during, options)
    local fn, path = assert(load('local done, total, there, here = ... ' .. during)), here .. '/' .. name
    options = options or {}
    local first
    options.progress = function(done, total)
      first = first or done
      fn(done, total, there, here)
    end
    local from, to = name, path
    if verb == 'upload' then from, to = path, name end
    local ok, size, sha256 = pcall(files[verb], 'files', from, to, options)
    return { ok = ok, code = not ok and size.code, message = not ok and size.message,
      size = ok and size, sha256 = sha256, first = first, outcome = not ok and size.outcome }
  end, verb, name, self.there, self.here, during, options)
end

--- Waits until nothing is open, and fails when a part of a file was left.
function World:assert_nothing_left(open)
  self:wait_for_end(open)
  for _, dir in ipairs { self.there, self.here } do
    for _, name in ipairs(M.list(dir)) do assert(not name:find '%.part$', name .. ' was left in ' .. dir) end
  end
end

--- Waits until no handler runs, and no more than `open` descriptors are open.
function World:wait_for_end(open)
  self.net:wait(function() return self.net:metrics().requests_now == 0 end, 'the end of the handlers')
  self.net:wait(function() return M.descriptors() <= open end, 'the end of open files')
end

--- A group of specs, each with a world of its own.
---
---@param text string
---@param body fun(world: spec.Transfers)
function M.describe(text, body)
  local busted = require 'busted'
  cluster.describe(text, { 'tcp' }, function(over)
    local world = setmetatable({}, World)
    busted.before_each(function()
      local net = over.net
      world.net, world.there, world.here = net, process.temp_dir(), process.temp_dir()
      world.b = net:node('b', {}, M.prepare)
      world.b:eval(function(dir) files.serve('files', dir, { write = true }) end, world.there)
      world.a = net:node('a', { peers = { world.b } }, M.prepare)
      world.a:eval(function() mesh.wait 'files.put' end)
    end)
    body(world)
  end)
end

return M
