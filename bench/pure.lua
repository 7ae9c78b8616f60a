--- Lua that computes and never waits: the least CPU seconds of some runs. It is the same for `lua` and `perilune run`.

local RUNS = 7

collectgarbage 'incremental' -- the interpreter of Debian is generational

local function fib(n) return n < 2 and n or fib(n - 1) + fib(n - 2) end

local function work()
  local sum = fib(24)
  local list = {}
  for i = 1, 100000 do list[i] = i % 7 * i end
  for i = 1, #list do sum = sum + list[i] end
  for i = 1, 10000 do sum = sum + #(i .. ':' .. i) end
  return sum
end

local least = math.huge
for _ = 1, RUNS do
  local began = os.clock()
  for _ = 1, 20 do work() end
  least = math.min(least, os.clock() - began)
end
print(('pure=%.6f'):format(least))
