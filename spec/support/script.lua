--- VMs for specs: Lua source runs as tasks in virtual time, and what leaks fails the spec.

local native = require('perilune.testing').lua

local M = {}

local open = {}

--- What every source begins with.
M.prelude = [[
local mesh = require 'perilune.task'
local spec = require 'spec'
local function log(...) table.insert(spec, table.concat({ ... }, ' ')) end
local function logged() return table.concat(spec, ',') end
]]

--- A VM on a virtual loop of its own; closed by `M.close_all`.
function M.vm(options)
  collectgarbage() -- what earlier specs left is not this VM's
  local vm = assert(native.vm(options))
  table.insert(open, vm)
  return vm
end

--- Closes all VMs and checks that they leave no block, timer or work behind.
function M.close_all()
  for i = #open, 1, -1 do
    local vm = table.remove(open, i)
    collectgarbage()
    local left = vm:close()
    assert(left == 0, ('the VM left %d blocks behind'):format(left))
  end
end

--- Starts a task; the prelude takes no line.
function M.start(vm, source, options)
  return vm:start(M.prelude:gsub('\n', ' ') .. source, options)
end

--- Runs a task in a VM of its own for a minute of virtual time.
---
---@return string state, string result, string traceback
function M.run(source, options)
  local vm = M.vm(options)
  local run = M.start(vm, source)
  vm:advance(60 * 1000000)
  return run:state()
end

--- The same for a task that must end well.
---
---@return string result
function M.eval(source, options)
  local state, result, trace = M.run(source, options)
  assert(state == 'done', state .. ': ' .. result .. '\n' .. trace)
  return result
end

return M
