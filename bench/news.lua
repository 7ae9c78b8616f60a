-- What a node sends about the mesh itself, in bytes a minute: news.lua NODES [rest]
-- Nodes are busy, or with "rest" nothing happens at all.
local mesh = require 'perilune'

local busy = arg[2] ~= 'rest'
local SECONDS = busy and 20 or 120 -- at rest neighbours compare what they know every 30 s

local net <close> = mesh.sim { seed = 5, nodes = tonumber(arg[1]), topology = 'random', script = function()
  mesh.action('work', function(seconds) mesh.sleep(seconds) end)
end }

local function work()
  local here = mesh.with { node = mesh.self().id, timeout = 0 }
  mesh.every(1, function()
    for _ = 1, math.random(0, 30) do mesh.spawn(function() here.call('work', 0.9) end) end
  end)
end

if busy then
  for _, node in ipairs(net.nodes) do node:eval(work) end
end

local function sent()
  local bytes = 0
  for _, node in ipairs(net.nodes) do bytes = bytes + node:metrics().advert_bytes end
  return bytes
end

--- In steps: a large mesh takes its time, and a script that computes must wait now and then.
local function advance(seconds)
  for _ = 1, seconds do
    net:advance(1)
    mesh.sleep(0)
  end
end

advance(40)
local before = sent()
advance(SECONDS)
print(('nodes=%d bytes=%.0f'):format(#net.nodes, (sent() - before) / #net.nodes * 60 / SECONDS))
os.exit(0) -- calls still run: nobody waits for them
