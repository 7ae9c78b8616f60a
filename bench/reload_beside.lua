--- A script beside the one that is loaded anew: the longest that the thread of the loop has computed between two of its
--- turns, in milliseconds, since it was asked last.

local mesh = require 'perilune'

local clock <const> = assert(io.open '/proc/thread-self/schedstat')
clock:setvbuf 'no'

local function cpu_ms()
  clock:seek('set', 0)
  return clock:read 'n' / 1e6
end

local most, last = 0, cpu_ms()

mesh.action('most', function()
  local m = most
  most = 0
  return m
end)

mesh.action('cpu', os.clock)

mesh.every(0.0005, function()
  local now = cpu_ms()
  most = math.max(most, now - last)
  last = now
end)
