--- What it costs to load a script anew: bench/reload_app.lua in the server, again and again. Prints one line of
--- "name=value". Arguments: seconds, and a folder in which it may make a file.

local mesh = require 'perilune'

local seconds, folder = tonumber(arg[1]), arg[2]
local TIMES = 7
local GENERATIONS = 6 -- that live beside the one that serves
local PAUSE = 0.1
local WINDOWS = 5
local TEXT = [[
local function f(a)
  local t = { n = "%d", v = a or %d }
  for j = 1, #t.n do t.v = t.v + j * %d end
  if t.v > a then t.v, t.m = a, ("%%s:%%d"):format(t.n, a) end
  return t
end
keep = f
]] -- 230 bytes
local line = {}

mesh.wait 'sum'
mesh.wait 'most'
local server = mesh.actions()[1].providers[1].id
local at = mesh.with { node = server, timeout = 60 }

local function tell(name, value) line[#line + 1] = ('%s=%.4g'):format(name, value) end

local function median(values)
  table.sort(values)
  return values[(#values + 1) // 2]
end

local function reload()
  local report = at.call('_perilune.reload')
  for _, one in ipairs(report) do
    if one.script:find 'reload_app' then return assert(not one.failure and one, one.failure) end
  end
end

--- CPU seconds of both processes.
local function cpu() return os.clock() + mesh.call 'cpu' end

--- Calls a second of 64 at once; of CPU time, which is what both have where a processor is theirs.
local function rate()
  local count, going = 0, true
  local tasks = {}
  for i = 1, 64 do
    tasks[i] = mesh.spawn(function()
      while going do
        mesh.call('sum', i, 1)
        count = count + 1
      end
    end)
  end
  mesh.sleep(0.2)
  local from, began = count, cpu()
  mesh.sleep(seconds / WINDOWS)
  local reached = (count - from) / (cpu() - began)
  going = false
  mesh.all(tasks)
  return reached
end

--- That while the script is loaded anew ten times a second.
local function rate_reloading()
  local going = true
  local reloads = mesh.spawn(function()
    local due = mesh.now()
    while going do
      reload()
      due = due + PAUSE
      mesh.sleep(math.max(0, due - mesh.now()))
    end
  end)
  local reached = rate()
  going = false
  reloads:await()
  return reached
end

--- Percent of the calls that remain: the median over windows, each beside one without reloads.
local function remaining()
  local list = {}
  for i = 1, WINDOWS do
    local with = rate_reloading()
    list[i] = 100 * with / rate()
  end
  return median(list)
end

--- The median over reloads of the longest turn of the loop, from the beginning of each to when the old one is gone.
local function pause()
  local list = {}
  reload()
  for i = 1, TIMES do
    mesh.sleep(0.3)
    mesh.call 'most'
    reload()
    mesh.sleep(0.3)
    list[i] = mesh.call 'most'
  end
  return median(list)
end

local function start_of_vm()
  local list = {}
  for i = 1, TIMES do
    list[i] = reload().took_us / 1000
    mesh.sleep(0.05)
  end
  return median(list)
end

local function memory()
  local m = at.call '_perilune.mem'
  for _, script in ipairs(m.scripts) do
    if script.script:find 'reload_app' then return m.process.resident / 1024, script.bytes / 1024 end
  end
end

--- KiB of resident memory for each generation that lives beside the one that serves.
local function of_generation()
  local before = memory()
  local parked = {}
  for i = 1, GENERATIONS do
    parked[i] = mesh.stream 'park'
    parked[i]:next()
    reload()
  end
  mesh.sleep(0.3)
  local each = (memory() - before) / GENERATIONS
  for _, stream in ipairs(parked) do stream:close() end
  mesh.sleep(0.3)
  return each
end

mesh.spawn(function()
  tell('vm_start', start_of_vm())
  tell('vm_memory', select(2, memory()))
  tell('generation', of_generation())
  tell('reload_rate', remaining())

  mesh.call('set', 'mib', 15)
  tell('reload_pause', pause())
  mesh.call('set', 'mib', 0)
  local name = 'perilune_bench_text'
  local path = folder .. '/' .. name .. '.lua'
  local file = assert(io.open(path, 'w'))
  for i = 1, 4500 do
    if i % 150 == 1 then file:write 'do\n' end -- a function has 200 local variables at most
    file:write(TEXT:format(i, i, i))
    if i % 150 == 0 then file:write 'end\n' end
  end
  file:close()
  mesh.call('set', 'module', name)
  mesh.call('set', 'folder', folder)
  tell('reload_text', pause())
  os.remove(path)
  print(table.concat(line, ' '))
  os.exit(0)
end)
