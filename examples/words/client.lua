--- Lets the worker count and search a file, then calls it as fast as it can.
---   perilune run client.lua --peer URL -- FILE

local mesh = require 'perilune'
local stdio = require 'perilune.stdio'

local path = assert(arg[1], 'which file? perilune run client.lua --peer URL -- FILE')
local MB = 1000 * 1000
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

print('counting the words of ' .. path)
local started = mesh.now()
local bytes = 0
local counting <close> = mesh.stream('words', path)
for report in counting do
  show(report)
  bytes = report.bytes
end
local words, different = counting:result()
local counted_in = mesh.now() - started
if live then print() end
print(('%d words, %d different'):format(words, different))

print()
print 'searching for "the", leaving after five lines'
local seen = 0
for number, line in mesh.stream('search', path, 'the') do
  print(('%6d: %s'):format(number, line:sub(1, 68)))
  seen = seen + 1
  if seen == 5 then break end -- cancels the search on the worker
end

print()
print 'calling the worker, 64 calls in flight'
local calls, deadline = 0, mesh.now() + 2
local callers = {}
for i = 1, 64 do
  callers[i] = mesh.spawn(function()
    while mesh.now() < deadline do
      assert(mesh.call('length', 'perilune') == 8)
      calls = calls + 1
    end
  end)
end
started = mesh.now()
mesh.all(callers)
local called_in = mesh.now() - started

print()
print(('words   %6.1f MB read and counted in %.1f s: %.1f MB/s'):format(bytes / MB, counted_in, bytes / MB / counted_in))
print(('calls   %d in %.1f s: %.0f calls/s'):format(calls, called_in, calls / called_in))
