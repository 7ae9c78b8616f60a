--- Lets workers count and search a file, calls them as fast as it can, and gives them tasks without a pause.
---   perilune run client.lua --peer URL -- FILE [MARK]      when tasks flow, writes who they go by into the file MARK

local mesh = require 'perilune'
local fs = require 'perilune.fs'
local stdio = require 'perilune.stdio'

local path = assert(arg[1], 'which file? perilune run client.lua --peer URL -- FILE')
local mark = arg[2]
local MB = 1000 * 1000
local CALLERS, CALL_SECONDS = 64, 2
local TASKERS, TASK_SECONDS = 16, 6
local live = stdio.is_tty() -- on a terminal the running count is drawn over itself

local function show(report)
  local words = {}
  for i, entry in ipairs(report.top) do
    words[i] = ('%s %d'):format(entry.word, entry.count)
  end
  local line = ('%3d %%  %s'):format(100 * report.bytes // report.total, table.concat(words, '  '))
  if live then
    io.write('\r\27[K', line:sub(1, (stdio.columns() or 80) - 1))
  else
    print(line)
  end
  io.flush()
end

--- Returns the bytes that were read.
local function count_words()
  local bytes = 0
  local counting <close> = mesh.stream('words', path)
  for report in counting do
    show(report)
    bytes = report.bytes
  end
  if live then print() end
  print(('%d words, %d different'):format(counting:result()))
  return bytes
end

local function search()
  local seen = 0
  for number, line in mesh.stream('search', path, 'the') do
    print(('%6d: %s'):format(number, line:sub(1, 68)))
    seen = seen + 1
    if seen == 5 then break end -- cancels the search on the worker
  end
end

--- Calls `fn` again and again until the deadline, in so many tasks at once. Returns how often.
local function repeatedly(tasks, deadline, fn)
  local calls, callers = 0, {}
  for i = 1, tasks do
    callers[i] = mesh.spawn(function()
      while mesh.now() < deadline do
        fn()
        calls = calls + 1
      end
    end)
  end
  mesh.all(callers)
  return calls
end

local function call_until(deadline)
  return repeatedly(CALLERS, deadline, function() assert(mesh.call('length', 'perilune') == 8) end)
end

--- The neighbours of the entry that are on the ways to the workers, a list.
local function way_to_workers()
  local seen, list = {}, {}
  for name, via in pairs(mesh.call 'ways') do
    if name:find '^worker' and not seen[via] then
      seen[via] = true
      list[#list + 1] = via
    end
  end
  table.sort(list)
  return list
end

--- Returns how many tasks were done by each worker, how many while the way was which, and how many failed.
local function give_tasks()
  local started = mesh.now()
  local deadline = started + TASK_SECONDS
  local by, over, failed = {}, {}, 0
  local way

  local function watch()
    while mesh.now() < deadline do
      local list = way_to_workers()
      local now = #list > 0 and table.concat(list, ' and ') or 'nobody'
      if way == nil and mark then fs.write(mark, now:match '%S+') end
      if now ~= way then print(('  %4.1f s  the way to the workers is by %s'):format(mesh.now() - started, now)) end
      way = now
      mesh.sleep(0.05)
    end
  end

  local function task()
    local ok, result = pcall(mesh.call, 'task')
    if ok then
      by[result] = (by[result] or 0) + 1
      if way then over[way] = (over[way] or 0) + 1 end
    else
      failed = failed + 1
      print(('  %4.1f s  %s'):format(mesh.now() - started, result))
    end
  end

  mesh.scope(function(scope)
    scope:spawn(watch)
    repeatedly(TASKERS, deadline, task)
  end)
  return by, over, failed
end

--- One line for each, in the order of their names.
local function print_tasks(counts, word)
  local names = {}
  for name in pairs(counts) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do print(('tasks  %8d    %s %s'):format(counts[name], word, name)) end
end

--- The results of a function, after the seconds that it took.
local function timed(fn, ...)
  local started = mesh.now()
  local result = fn(...)
  return mesh.now() - started, result
end

print 'a worker counts the words of the file, and streams the top ten while it reads:'
local counted_in, bytes = timed(count_words)

print '\nit searches for "the"; this client leaves after five lines:'
search()

print(('\n%d callers at once call it for %d seconds'):format(CALLERS, CALL_SECONDS))
local called_in, calls = timed(call_until, mesh.now() + CALL_SECONDS)

local text = '\n%d tasks at a time for %d seconds; meanwhile a relay is killed and comes back'
print(text:format(TASKERS, TASK_SECONDS))
local by, over, failed = give_tasks()

print(('\nwords  %8.1f MB in %.1f s  %10.1f MB/s'):format(bytes / MB, counted_in, bytes / MB / counted_in))
print(('calls  %8d    in %.1f s  %10.0f calls/s'):format(calls, called_in, calls / called_in))
print_tasks(by, 'done by')
print_tasks(over, 'while the way was by')
print(('tasks  %8d    failed'):format(failed))
os.exit(failed == 0)
