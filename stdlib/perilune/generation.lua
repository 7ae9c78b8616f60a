--- Generations: a script that is loaded anew while it serves, and what one version of it hands over to the next.

local check = require 'perilune.check'
local core = require 'perilune.core.reload'
local core_task = require 'perilune.core.task'

local M = {}

local function set(kind, fn)
  local before = core.hook(kind, fn)
  if not before then return end
  core.hook(kind, before)
  error(('mesh.on_%s: there is a function already'):format(kind), 3)
end

--- What `fn` returns is handed over to the next version, which gets it in `mesh.on_load`. It runs when the next version
--- has loaded, and while this one still serves. Once in a script.
---
---@param fn fun(): ...: any
function M.on_unload(fn)
  check.arg(fn, 'function', 1, 'mesh.on_unload')
  set('unload', fn)
end

--- `fn` gets what the version before has handed over, and runs before this one serves. When it fails, this one never
--- does. It does not run when the script starts. Once in a script.
---
---@param fn fun(...: any)
function M.on_load(fn)
  check.arg(fn, 'function', 1, 'mesh.on_load')
  set('load', fn)
end

--- `fn` runs when the last call that this version serves is over, after another has taken its place. Of several the
--- last comes first.
---
---@param fn fun()
function M.on_close(fn)
  check.arg(fn, 'function', 1, 'mesh.on_close')
  local before
  before = core.hook('close', function()
    xpcall(fn, function(e) core_task.log_failure(e, debug.traceback(nil, 2)) end)
    if before then before() end
  end)
end

return M
