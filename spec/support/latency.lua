--- How long calls of a node in a process of its own take.

local M = {}

--- For the source of a script: `used()` returns the CPU seconds of its thread, and how many seconds that has waited for
--- a processor. What a call takes of the first says how long other scripts hold it up, whatever else the machine does.
M.CLOCK = [[
local clock <const> = assert(io.open '/proc/thread-self/schedstat')
clock:setvbuf 'no'
local function used()
  clock:seek('set', 0)
  local computed, waited = clock:read('n', 'n')
  return computed / 1e9, waited / 1e9
end
]]

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
