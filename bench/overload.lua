--- Offers a node 1, 2 and 10 times the calls that it can serve: overload.lua [KIND SECONDS]
---
--- Without an argument it is the node. With them it is the client and prints one line, "p99_full=… good_1=… p99_1=…":
--- good answers in percent of what the node can give, and how long 99 % of them took, in milliseconds; "full" is with a
--- caller for each slot. KIND is "wait": handlers that wait, in four slots; "bound": handlers that compute, in four
--- slots; or "burn": handlers that compute, without a bound.

local mesh = require 'perilune'

local SLOTS, WAIT = 4, 0.01
local ROUNDS = 400000 -- some milliseconds
local SETTLE = 0.3 -- seconds of each load that do not count
local LOADS = { 1, 2, 10 }

local function compute()
  local x = 0
  for i = 1, ROUNDS do x = x + i % 7 end
  return x
end

if not arg[1] then
  mesh.action('wait', function() mesh.sleep(WAIT) end, { concurrency = SLOTS })
  mesh.action('bound', function() compute() end, { concurrency = SLOTS })
  mesh.action('burn', function() compute() end)
  return
end

local kind, seconds, line = arg[1], tonumber(arg[2]), {}
local call = mesh.with { retries = 0, wait = 10 }.call

local function p99(times)
  table.sort(times)
  return times[math.max(1, #times * 99 // 100)] * 1e3
end

--- Four callers, each with one call after the other. Returns the calls a second, and how long 99 % of them took.
local function full()
  local began, times = mesh.now(), {}
  mesh.scope(function(scope)
    for _ = 1, SLOTS do
      scope:spawn(function()
        while mesh.now() < began + seconds do
          local before = mesh.now()
          call(kind)
          times[#times + 1] = mesh.now() - before
        end
      end)
    end
  end)
  return #times / (mesh.now() - began), p99(times)
end

--- Calls at even distances. Returns the times of the answers that count.
local function offer(rate)
  local times, sent = {}, 0
  local began = mesh.now()
  local from, till = began + SETTLE, began + SETTLE + seconds
  local function one()
    local before = mesh.now()
    local ok, err = pcall(call, kind)
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
  return times
end

call(kind)
local most, late = full()
if kind == 'wait' then most = SLOTS / WAIT end
line[1] = ('p99_full=%.2f'):format(late)
for _, load in ipairs(LOADS) do
  local times = offer(load * most)
  local good = #times / seconds / most * 100
  line[#line + 1] = ('good_%d=%.1f p99_%d=%.2f'):format(load, good, load, p99(times))
end
print(table.concat(line, ' '))
