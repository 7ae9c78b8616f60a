--- Calls the actions of bench/server.lua for a while: client.lua WORKLOAD SECONDS
---
--- Prints one line, "workload=… count=… seconds=…", with "p50_us=…" where one call at a time
--- is in flight. The product and the prototype run this same file.

local mesh = require 'perilune'

local BLOCK = 65536
local STREAM_INTEGERS = 200000 -- in one stream: opening it must not show
local STREAM_BLOCKS = 4000
local WARM_UP_PART = 0.1
local CALLS_PER_SAMPLE = 8

local function sum()
  if mesh.call('sum', { 10, 20, 30 }) ~= 60 then error('wrong sum') end
end

local function echo(payload)
  return function()
    if #mesh.call('echo', payload) ~= #payload then error('wrong echo') end
  end
end

local function integers()
  local last
  for i in mesh.stream('count', STREAM_INTEGERS) do last = i end
  if last ~= STREAM_INTEGERS then error('wrong last integer') end
  return STREAM_INTEGERS
end

--- A stream of so many blocks, to its end.
local function blocks(count)
  return function()
    local bytes = 0
    for block in mesh.stream('blocks', count, BLOCK) do bytes = bytes + #block end
    if bytes ~= count * BLOCK then error('wrong number of bytes') end
    return count
  end
end

--- Repeats `work` in `in_flight` tasks at once.
---@return integer count, number seconds
local function repeat_for(seconds, in_flight, work)
  local stop, count = false, 0

  local function worker()
    local mine = 0
    while not stop do mine = mine + (work() or 1) end
    count = count + mine
  end

  local started = mesh.now()
  local tasks = { mesh.spawn(function()
    mesh.sleep(seconds)
    stop = true
  end) }
  for _ = 1, in_flight do tasks[#tasks + 1] = mesh.spawn(worker) end
  mesh.all(tasks)
  return count, mesh.now() - started
end

--- `work` that notes how long its runs take, as the mean over a few of them: the clock may be
--- coarser than one call.
local function timed(work)
  local samples = {}
  return samples, function()
    local started = mesh.now()
    for _ = 1, CALLS_PER_SAMPLE do work() end
    samples[#samples + 1] = (mesh.now() - started) / CALLS_PER_SAMPLE
    return CALLS_PER_SAMPLE
  end
end

local text = ('a small document of text '):rep(41):sub(1, 1024)
local function binary(size) return ('\255\0\1\2'):rep(size // 4) end

local workloads = {
  unary_1 = { in_flight = 1, work = sum, latency = true },
  unary_64 = { in_flight = 64, work = sum },
  unary_512 = { in_flight = 512, work = sum },
  echo_1k = { in_flight = 64, work = echo(text) },
  echo_64k = { in_flight = 64, work = echo(binary(BLOCK)) },
  echo_256k = { in_flight = 16, work = echo(binary(4 * BLOCK)) },
  echo_1m = { in_flight = 8, work = echo(binary(16 * BLOCK)) },
  integers = { in_flight = 1, work = integers },
  blocks_64k = { in_flight = 1, work = blocks(STREAM_BLOCKS) },
  stream_1m = { in_flight = 1, work = blocks(16) },
  stream_5m = { in_flight = 1, work = blocks(80) },
  stream_10m = { in_flight = 1, work = blocks(160) },
}

local name, seconds = arg[1], tonumber(arg[2])
local workload = workloads[name] or error('no such workload: ' .. tostring(name))

-- Behind many relays the product hears of its server a moment after its neighbours.
if mesh.wait then mesh.wait('sum', 10) end
repeat_for(seconds * WARM_UP_PART, workload.in_flight, workload.work)

local line = 'workload=%s count=%d seconds=%.6f'
if workload.latency then
  local samples, work = timed(workload.work)
  local count, elapsed = repeat_for(seconds, workload.in_flight, work)
  table.sort(samples)
  print((line .. ' p50_us=%.3f'):format(name, count, elapsed, samples[#samples // 2 + 1] * 1e6))
else
  print(line:format(name, repeat_for(seconds, workload.in_flight, workload.work)))
end
