--- Small helpers for the specs of scripts.

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

return M
