--- How long calls of a node in a process of its own take.

local M = {}

--- The times of so many calls of `add`, one after the other, in seconds, sorted.
---
---@param client table A client of spec.support.nodes.
---@param count integer
---@return number[]
function M.call_times(client, count)
  return client:eval([[
    local times = {}
    for i = 1, ... do
      local before = mesh.now()
      mesh.call('add', 2, 3)
      times[i] = mesh.now() - before
    end
    table.sort(times)
    return times
  ]], count)
end

---@param times number[] Sorted.
---@param percent integer
---@return number
function M.at_percentile(times, percent) return times[math.max(1, #times * percent // 100)] end

return M
