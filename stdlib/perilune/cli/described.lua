--- What the nodes of the mesh say of their actions.

local mesh = require 'perilune'

local M = {}

local AT_ONCE = 16
local TIMEOUT = 5

--- Descriptions of actions by name. Of one that nobody describes, because it has gone meanwhile, or its node does not
--- know how, there is only `description` of the directory.
---
---@param actions perilune.Action[]
---@return table<string, perilune.Description>
function M.of(actions)
  local described, at = {}, 0
  local function work()
    while at < #actions do
      at = at + 1
      local action = actions[at]
      local ok, told = pcall(mesh.describe, action.name, { timeout = TIMEOUT })
      described[action.name] = ok and type(told) == 'table' and told or { description = action.description }
    end
  end
  local tasks = {}
  for i = 1, math.min(AT_ONCE, #actions) do tasks[i] = mesh.spawn(work) end
  mesh.all(tasks)
  return described
end

return M
