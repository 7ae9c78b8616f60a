--- An echo that never ends by itself, and four ways to end it.
---   perilune run echo.lua

local mesh = require 'perilune'

mesh.action('echo', function(text)
  -- Runs however the handler ends. Here a real one would give back what it holds.
  local _ <close> = setmetatable({}, {
    __close = function(_, err) print(('  the echo of %q ends: %s'):format(text, err)) end,
  })
  for i = 1, math.huge do
    coroutine.yield(text, i)
    mesh.sleep(0.01)
  end
end)

--- Reads until it is stopped.
local function listen(text)
  for _ in mesh.stream('echo', text) do end
end

print '1. leaving the loop'
for _, i in mesh.stream('echo', 'one') do
  if i == 3 then break end
end
mesh.sleep(0.1) -- so that the lines come in order

print '2. leaving the block of a handle'
do
  local stream <close> = mesh.stream('echo', 'two')
  print('  heard', select(2, stream:next()))
end
mesh.sleep(0.1)

print '3. a bound on the time'
local ok, err = pcall(mesh.timeout, 0.05, listen, 'three')
print('  raised', ok, err.code)
mesh.sleep(0.1)

print '4. cancelling the task that listens'
mesh.race { mesh.spawn(listen, 'four'), mesh.spawn(mesh.sleep, 0.05) } -- the loser is cancelled
mesh.sleep(0.1)

os.exit(0)
