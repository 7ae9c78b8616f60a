--- What specs of scripts need: meshes in virtual time, stand-ins for actions, folders, waiting.

local crypto = require 'perilune.core.crypto'
local check = require 'perilune.check'
local fs = require 'perilune.fs'
local sys = require 'perilune.core.sys'

local M = {}

local eventually_options = { timeout = 'number', interval = 'number' }

--- Calls `fn` until it returns something true, and returns that. What it raised last, or that nothing came true, is
--- raised after `timeout` seconds (2). Between two looks other tasks run for `interval` seconds (0.01).
---
---@generic T
---@param fn fun(): T
---@param options { timeout: number?, interval: number? }?
---@return T
function M.eventually(fn, options)
  check.arg(fn, 'function', 1, 'test.eventually')
  options = check.options(options, eventually_options, 2, 'test.eventually')
  local sleep = require('perilune.task').sleep
  local last = sys.monotonic() + (options.timeout or 2)
  while true do
    local ok, result = pcall(fn)
    if ok and result then return result end
    if sys.monotonic() >= last then
      error(ok and 'eventually: it did not come true' or result, 2)
    end
    sleep(options.interval or 0.01)
  end
end

---@class perilune.test.TempDir
---@field path string
local TempDir = {}
TempDir.__index = TempDir

--- Removes the folder with all that is in it.
function TempDir:remove()
  if fs.exists(self.path) then fs.remove(self.path, { recursive = true }) end
end

TempDir.__close = TempDir.remove

function TempDir:__tostring()
  return self.path
end

--- Makes a folder of its own, with files in it: `local dir <close> = test.temp_dir { ['a.txt'] = 'text' }` removes it
--- again at the end.
---
---@param files table<string, string>?
---@return perilune.test.TempDir
function M.temp_dir(files)
  check.arg(files, '?table', 1, 'test.temp_dir')
  local path = (os.getenv 'TMPDIR' or '/tmp') .. '/perilune-' .. crypto.hex(crypto.random(8))
  fs.mkdir(path, { mode = tonumber('700', 8) })
  for name, text in pairs(files or {}) do
    local folder = name:match '^(.*)/[^/]*$'
    if folder then fs.mkdir(path .. '/' .. folder, { parents = true }) end
    fs.write(path .. '/' .. name, text)
  end
  return setmetatable({ path = path }, TempDir)
end

--- The text of a script, for a node of `test.mesh`.
---
---@param path string
---@return string
function M.script(path)
  check.arg(path, 'bytes', 1, 'test.script')
  return fs.read(path)
end

local MESH = {
  seed = 'integer', nodes = 'any', script = 'any', topology = 'string', options = 'table', leaks = 'boolean',
}

--- A mesh in this process, in virtual time, as mesh.sim makes it. It ends with the test at the latest, and raises
--- then when a node has more tasks, calls or streams open than at its beginning, unless `leaks` is true.
---
---@param options table? Those of mesh.sim, and `leaks`.
---@return perilune.sim.Net
function M.mesh(options)
  options = check.options(options, MESH, 1, 'test.mesh')
  return require('perilune.test.meshes').open(options)
end

--- Provides an action that answers with the results of a function, or with values, and keeps its calls: what the
--- script under test calls elsewhere. It goes with the test, or `setup` or the file, that made it.
---
---@param name string
---@param ... any A function, or the values.
---@return perilune.test.Fake
function M.fake(name, ...)
  check.arg(name, 'bytes', 1, 'test.fake')
  return require('perilune.test.fakes').put(name, ...)
end

return M
