--- What worker threads bring and cost: workers.lua [SECONDS]
---
--- Without an argument it is the node, on as many threads as it is started with. With SECONDS it is the client and
--- prints one line: the calls a second with 64 in flight, of a handler that computes for about a millisecond
--- (`computes`) and of one that does nothing (`nothing`), and how long one of the latter takes alone (`p50_us`).

local mesh = require 'perilune'

local ROUNDS = 100000 -- about a millisecond

if not arg[1] then
  mesh.action('computes', function()
    local x = 0
    for i = 1, ROUNDS do x = x + i % 7 end
    return x
  end)
  mesh.action('nothing', function() end)
  return
end

local seconds = tonumber(arg[1])

local function rate(action, in_flight)
  local stop, count = false, 0
  local from = mesh.now()
  local tasks = { mesh.spawn(function() -- with the others: while a script loads, tasks begin when they are awaited
    mesh.sleep(seconds)
    stop = true
  end) }
  for _ = 1, in_flight do
    tasks[#tasks + 1] = mesh.spawn(function()
      while not stop do
        if pcall(mesh.call, action) then count = count + 1 end -- it may be `BUSY`
      end
    end)
  end
  mesh.all(tasks)
  return count / (mesh.now() - from)
end

local function alone(action)
  local samples, stop_at = {}, mesh.now() + seconds
  while mesh.now() < stop_at do
    local from = mesh.now()
    mesh.call(action)
    samples[#samples + 1] = mesh.now() - from
  end
  table.sort(samples)
  return samples[#samples // 2 + 1] * 1e6
end

mesh.wait('nothing', 10)
mesh.sleep(0.2)
print(('computes=%.0f nothing=%.0f p50_us=%.1f'):format(rate('computes', 64), rate('nothing', 64), alone 'nothing'))
