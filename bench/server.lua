--- The actions that bench/client.lua calls.
---
--- The product and the prototype run this same file.

local mesh = require 'perilune'

mesh.action('sum', function(numbers)
  local total = 0
  for _, n in ipairs(numbers) do total = total + n end
  return total
end)

mesh.action('echo', function(value) return value end)

mesh.action('count', function(max)
  for i = 1, max do coroutine.yield(i) end
end)

--- Takes all that comes. Of the product alone.
mesh.action('take', function()
  local bytes = 0
  for block in mesh.input() do bytes = bytes + #block end
  return bytes
end)

--- Of many small numbers. Of the product alone.
mesh.action('total', function()
  local sum = 0
  for n in mesh.input() do sum = sum + n end
  return sum
end)

--- Blocks that hold every byte value, as those of a file that is not text do.
mesh.action('blocks', function(count, size)
  local bytes = {}
  for i = 0, 255 do bytes[#bytes + 1] = string.char(i) end
  local block = table.concat(bytes):rep(size // 256)
  for _ = 1, count do coroutine.yield(block) end
end)
