--- What worker threads bring and cost: workers.lua [SECONDS [PART]]
---
--- Without an argument it is the node, on as many threads as it is started with. With SECONDS it is the client and
--- prints one line: the calls a second with 64 in flight, of a handler that computes for about a millisecond
--- (`computes`) and of one that does nothing (`nothing`), how long one of the latter takes alone (`p50_us`), and the
--- p99 of calls to bench/workers_beside.lua, when nobody else calls (`idle_ms`) and while two handlers compute all the
--- time, a second each (`beside_ms`). A turn of theirs is 10 ms, and on the thread of the node most calls wait for one.
--- A PART is `computes` alone, or what is `beside`.

local mesh = require 'perilune'

local ROUNDS = 100000 -- about a millisecond
local SAMPLES = 300 -- at least: of less than a hundred, 99 % take as long as the worst

if not arg[1] then
  mesh.action('computes', function(ms)
    local x = 0
    for i = 1, ROUNDS * (ms or 1) do x = x + i % 7 end
    return x
  end)
  mesh.action('nothing', function() end)
  return
end

local seconds, only = tonumber(arg[1]), arg[2]

--- Runs `work` in so many tasks until the seconds are over; returns how often, and how long that took.
local function repeated(tasks, work)
  local stop, count = false, 0
  local from = mesh.now()
  local all = { mesh.spawn(function() -- with the others: while a script loads, tasks begin when they are awaited
    mesh.sleep(seconds)
    stop = true
  end) }
  for _ = 1, tasks do
    all[#all + 1] = mesh.spawn(function()
      while not stop do
        if pcall(work) then count = count + 1 end -- it may be `BUSY`
      end
    end)
  end
  mesh.all(all)
  return count, mesh.now() - from
end

local function rate(action)
  local count, took = repeated(64, function() mesh.call(action) end)
  return count / took
end

--- Seconds that calls take which are made one after the other, sorted. They go on until there are enough.
local function latencies(action, pause)
  local samples, stop = {}, mesh.now() + seconds
  while #samples < SAMPLES or mesh.now() < stop do
    local from = mesh.now()
    mesh.call(action)
    samples[#samples + 1] = mesh.now() - from
    if pause > 0 then mesh.sleep(pause) end
  end
  table.sort(samples)
  return samples
end

mesh.wait('nothing', 10)
mesh.wait('beside', 10)
mesh.sleep(0.2)
local line = {}

local function tell(format, ...) line[#line + 1] = format:format(...) end

local function part(samples, percent) return samples[(#samples * percent + 99) // 100] end

local function tell_beside()
  local idle = latencies('beside', 0.001)
  local burning = true
  local function burn()
    while burning do pcall(mesh.call, 'computes', 1000) end -- on a busy machine it may take too long
  end
  local beside = mesh.all({ mesh.spawn(function()
    local samples = latencies('beside', 0.001)
    burning = false
    return samples
  end), mesh.spawn(burn), mesh.spawn(burn) })[1]
  tell('idle_ms=%.3f beside_ms=%.3f', part(idle, 99) * 1e3, part(beside, 99) * 1e3)
end

if only ~= 'beside' then tell('computes=%.0f', rate 'computes') end
if not only then tell('nothing=%.0f p50_us=%.1f', rate 'nothing', part(latencies('nothing', 0), 50) * 1e6) end
if only ~= 'computes' then tell_beside() end
print(table.concat(line, ' '))
