--- Offers a node 1, 2 and 10 times the calls that it has slots for: overload.lua [SECONDS]
---
--- Without an argument it is the node. With one it is the client and prints one line, "good_1=… p99_1=…": good answers
--- in percent of what the slots can give, and how long 99 % of them took, in milliseconds.

local mesh = require 'perilune'

local SLOTS, WORK = 4, 0.01
local CAPACITY = SLOTS / WORK
local SETTLE = 0.3 -- seconds of each load that do not count
local LOADS = { 1, 2, 10 }

if not arg[1] then
  mesh.action('work', function() mesh.sleep(WORK) end, { concurrency = SLOTS })
  return
end

local call = mesh.with { retries = 0, wait = 10 }.call

--- Calls at even distances. Returns how many of those that count were answered, and their sorted times.
local function offer(rate, seconds)
  local times, sent = {}, 0
  local began = mesh.now()
  local from, till = began + SETTLE, began + SETTLE + seconds
  local function one()
    local before = mesh.now()
    local ok, err = pcall(call, 'work')
    if not ok and err.code ~= 'BUSY' then error(err) end
    local after = mesh.now()
    if ok and after >= from and after < till then times[#times + 1] = after - before end
  end
  mesh.scope(function(scope)
    while mesh.now() < till do
      local due = (mesh.now() - began) * rate
      for _ = sent + 1, due do
        sent = sent + 1
        scope:spawn(one)
      end
      mesh.sleep(0.001)
    end
  end)
  table.sort(times)
  return times
end

local seconds, line = tonumber(arg[1]), {}
call 'work'
for _, load in ipairs(LOADS) do
  local times = offer(load * CAPACITY, seconds)
  local good = #times / seconds / CAPACITY * 100
  line[#line + 1] = ('good_%d=%.1f p99_%d=%.2f'):format(load, good, load, times[math.max(1, #times * 99 // 100)] * 1e3)
end
print(table.concat(line, ' '))
