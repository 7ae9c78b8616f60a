--- Lets the worker count and search a file, then calls it as fast as it can.
---   perilune run client.lua --peer URL -- FILE

local mesh = require 'perilune'
local stdio = require 'perilune.stdio'

local path = assert(arg[1], 'which file? perilune run client.lua --peer URL -- FILE')
local MB = 1000 * 1000
local CALLERS, CALL_SECONDS = 64, 2
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

--- Returns the number of calls.
local function call_until(deadline)
  local calls, callers = 0, {}
  for i = 1, CALLERS do
    callers[i] = mesh.spawn(function()
      while mesh.now() < deadline do
        assert(mesh.call('length', 'perilune') == 8)
        calls = calls + 1
      end
    end)
  end
  mesh.all(callers)
  return calls
end

--- The results of a function, after the seconds that it took.
local function timed(fn, ...)
  local started = mesh.now()
  local result = fn(...)
  return mesh.now() - started, result
end

print 'the worker counts the words of the file, and streams the top ten while it reads:'
local counted_in, bytes = timed(count_words)

print '\nit searches for "the"; this client leaves after five lines:'
search()

print(('\n%d callers at once call it for %d seconds'):format(CALLERS, CALL_SECONDS))
local called_in, calls = timed(call_until, mesh.now() + CALL_SECONDS)

print(('\nwords  %8.1f MB in %.1f s  %10.1f MB/s'):format(bytes / MB, counted_in, bytes / MB / counted_in))
print(('calls  %8d    in %.1f s  %10.0f calls/s'):format(calls, called_in, calls / called_in))
