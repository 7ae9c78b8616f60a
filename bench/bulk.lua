--- Streams that are big or many, and what they cost others: bulk.lua PART SECONDS [NAME PID ...]
---
--- Prints one line of "name=value" for bench/run. PART is "beside": calls of bench/server.lua while a stream of blocks
--- comes; "many": a thousand streams at once; "items": small chunks down, and as many up; or "down" and "up": 100 MB in
--- one stream, and by how many bytes this process and those that are named grew at most meanwhile.

local mesh = require 'perilune'

local BLOCK = 65536
local CALLS = 2000
local STREAMS = 1000
local ITEMS = 200000
local BLOCKS = 100 * 1000000 // BLOCK

local part, seconds = arg[1], tonumber(arg[2])
mesh.wait('sum', 10)

--- Microseconds that 99 of 100 calls take at most.
local function p99()
  local times = {}
  for i = 1, CALLS do
    local began = mesh.now()
    if mesh.call('sum', { 1, 2 }) ~= 3 then error('wrong sum') end
    times[i] = mesh.now() - began
  end
  table.sort(times)
  return times[#times * 99 // 100] * 1e6
end

local function beside()
  p99() -- warms up
  local idle = p99()
  local stop = false
  local reader = mesh.spawn(function()
    repeat
      for _ in mesh.stream('blocks', 1 << 20, BLOCK) do
        if stop then break end
      end
    until stop
  end)
  mesh.scope(function(scope)
    scope:spawn(function() reader:await() end)
    mesh.sleep(0.1)
    local busy = p99()
    stop = true
    print(('idle_us=%.1f busy_us=%.1f'):format(idle, busy))
  end)
end

--- Items that a thousand streams bring together in a second, once all of them are open.
local function many()
  local count, open, stop = 0, 0, false
  local tasks, began = {}, nil
  for i = 1, STREAMS do
    tasks[i] = mesh.spawn(function()
      local first = true
      for _ in mesh.stream('count', 1 << 40) do
        if first then open, first = open + 1, false end
        if open == STREAMS then count = count + 1 end
        if stop then break end
      end
    end)
  end
  tasks[#tasks + 1] = mesh.spawn(function()
    while open < STREAMS do mesh.sleep(0.01) end
    began = mesh.now()
    mesh.sleep(seconds)
    print(('items=%.0f'):format(count / (mesh.now() - began)))
    stop = true
  end)
  mesh.all(tasks)
end

--- What /proc says of the memory of a process, in bytes.
local function memory_of(pid, what)
  local file <close> = assert(io.open(('/proc/%s/status'):format(pid)))
  return tonumber(file:read('a'):match(what .. ':%s+(%d+) kB')) * 1024
end

--- Measures how long `work`, which moves all blocks, takes, and what it costs in memory.
local function move(work)
  local nodes = { client = 'self' }
  for i = 3, #arg, 2 do nodes[arg[i]] = arg[i + 1] end
  local before, line = {}, {}
  for name, pid in pairs(nodes) do
    local file <close> = assert(io.open(('/proc/%s/clear_refs'):format(pid), 'w'))
    file:write '5' -- the peak is what it has now
    before[name] = memory_of(pid, 'VmRSS')
  end
  local began = mesh.now()
  local bytes = work()
  local took = mesh.now() - began
  if bytes ~= BLOCKS * BLOCK then error('wrong number of bytes') end
  line[1] = ('rate=%.0f'):format(bytes / took)
  for name, pid in pairs(nodes) do
    line[#line + 1] = ('peak_%s=%d'):format(name, math.max(0, memory_of(pid, 'VmHWM') - before[name]))
  end
  print(table.concat(line, ' '))
end

--- Nanoseconds for a small chunk each way, the best of several.
local function items()
  local function ns_of(work)
    local began = mesh.now()
    work()
    return (mesh.now() - began) / ITEMS * 1e9
  end
  local function get()
    local count = 0
    for _ in mesh.stream('count', ITEMS) do count = count + 1 end
    if count ~= ITEMS then error('wrong number of items') end
  end
  local function put()
    local i = 0
    local sum = mesh.with { input = function()
      i = i + 1
      if i <= ITEMS then return i end
    end }.call 'total'
    if sum ~= ITEMS * (ITEMS + 1) // 2 then error('wrong total') end
  end
  local best_get, best_put = math.huge, math.huge
  for _ = 1, 6 do best_get, best_put = math.min(best_get, ns_of(get)), math.min(best_put, ns_of(put)) end
  print(('down_ns=%.1f up_ns=%.1f'):format(best_get, best_put))
end

local function down()
  move(function()
    local bytes = 0
    for block in mesh.stream('blocks', BLOCKS, BLOCK) do bytes = bytes + #block end
    return bytes
  end)
end

local function up()
  move(function()
    local block, left = ('\0\255'):rep(BLOCK // 2), BLOCKS
    return mesh.with { input = function()
      left = left - 1
      return left >= 0 and block or nil
    end }.call 'take'
  end)
end

local parts = { items = items, beside = beside, many = many, down = down, up = up }
local work = parts[part] or error('no such part: ' .. tostring(part))
work()
