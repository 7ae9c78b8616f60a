--- Asks for greetings without a pause for some seconds, and tells each answer that it has not heard before.

local mesh = require 'perilune'

local over = mesh.now() + (tonumber(arg[1]) or 3)
local calls, failed, heard = 0, 0, {}

local function ask()
  while mesh.now() < over do
    local ok, answer = pcall(mesh.call, 'greet', 'you')
    calls = calls + 1
    if not ok then failed = failed + 1 end
    if not heard[answer] then print(('call %6d: %s'):format(calls, answer)) end
    heard[answer] = true
  end
end

local tasks = {}
for i = 1, 32 do tasks[i] = mesh.spawn(ask) end
mesh.all(tasks)
print(('%d calls, %d failed'):format(calls, failed))
os.exit(failed == 0 and 0 or 1)
