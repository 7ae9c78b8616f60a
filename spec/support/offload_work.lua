--- What specs of mesh.offload have computed elsewhere.

local mesh = require 'perilune'

local M = { count = 0 }

function M.add(...)
  local sum = 0
  for _, n in ipairs { ... } do sum = sum + n end
  return sum, 'added'
end

--- How often it was called in this VM.
function M.counted()
  M.count = M.count + 1
  return M.count
end

function M.fail(details)
  local function deep() error { code = 'MINE', message = 'no such luck', details = details, retry_after = 2 } end
  deep()
end

function M.fail_with(value) error(value) end

function M.call() return mesh.call 'anything' end

return M
