--- Lua source as a task in a VM of its own on a real loop: for specs of the standard library. The source gets the
--- arguments as `...`. Whatever it leaves behind (a handle, a timer, work) fails the test.

local native = require('perilune.testing').stdlib

local M = {}

local PRELUDE = [[
  local task = require 'perilune.task'
  local fs, process = require 'perilune.fs', require 'perilune.process'
  --- Code and message of what `fn` raises.
  local function catch(fn, ...)
    local ok, err = pcall(fn, ...)
    if ok then return 'no error' end
    if type(err) ~= 'table' then return err end
    return err.code, err.message, err.details and err.details.errno
  end
]]

local function start(source, ...)
  return native.run((PRELUDE:gsub('%-%-[^\n]*', ''):gsub('\n', ' ')) .. source, ...)
end

--- The results of the source; what it raises is raised.
function M.run(source, ...)
  local ok, results = start(source, ...)
  if not ok then
    local err = results[1]
    error(type(err) == 'table' and ('%s: %s'):format(err.code, err.message) or tostring(err), 2)
  end
  return table.unpack(results, 1, results.n)
end

--- What the source raises.
function M.fails(source, ...)
  local ok, results = start(source, ...)
  if ok then error('the script did not fail', 2) end
  return results[1]
end

--- The lines it logged, and its results as a table.
function M.log(source, ...)
  local ok, results, log = start(source, ...)
  if not ok then error(tostring(results[1]), 2) end
  return log, results
end

return M
