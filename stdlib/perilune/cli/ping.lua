--- perilune ping NODE

local client = require 'perilune.cli.client'
local mesh = require 'perilune'
local node = require 'perilune.core.node'

local PAUSE = 0.2 -- seconds between two

local function summary(name, times)
  local least, most, sum = math.huge, 0, 0
  for _, time in ipairs(times) do
    least, most, sum = math.min(least, time), math.max(most, time), sum + time
  end
  return { node = name, times = mesh.array(times), min = least, mean = sum / #times, max = most }
end

local function as_milliseconds(seconds)
  return ('%.3f ms'):format(seconds * 1e3)
end

client.run(function()
  local options, words = client.arguments()
  local count = math.tointeger(tonumber(options.count or 4))
  if not count or count < 1 then
    client.refuse(("INVALID: --count: '%s' is not 1, 2, 3 or more"):format(options.count))
  end
  local timeout = tonumber(options.timeout) or node.options().request_timeout.value
  client.join()

  local name, times = words[1], {}
  for i = 1, count do
    if i > 1 then mesh.sleep(PAUSE) end
    times[i] = mesh.ping(name, timeout)
    if not options.json then client.write(('%s: %s\n'):format(name, as_milliseconds(times[i]))) end
  end
  local all = summary(name, times)
  if options.json then return client.write(client.json(all) .. '\n') end
  client.write(('%d round trips: least %s, mean %s, most %s\n'):format(
    count, as_milliseconds(all.min), as_milliseconds(all.mean), as_milliseconds(all.max)))
end)
