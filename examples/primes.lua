--- Counts primes on all processors of a machine, while the node goes on to answer.
---   perilune run primes.lua
---   perilune call primes 5000000
---   perilune call hello                         # meanwhile

local mesh = require 'perilune'

local PARTS = 16 -- more than processors, because the later ones take longer

--- It runs elsewhere, so it uses nothing but what it is given.
local function count(first, last)
  local found = 0
  for n = math.max(first, 2), last do
    local divisor = 2
    while divisor * divisor <= n and n % divisor ~= 0 do divisor = divisor + 1 end
    if divisor * divisor > n then found = found + 1 end
  end
  return found
end

mesh.action('primes', function(limit)
  local tasks, size = {}, limit // PARTS + 1
  return mesh.scope(function(scope) -- who called may go away: so do its parts
    for first = 1, limit, size do
      tasks[#tasks + 1] = scope:spawn(mesh.offload, count, first, math.min(first + size - 1, limit))
    end
    local found = 0
    for _, part in ipairs(mesh.all(tasks)) do found = found + part end
    return found
  end)
end, { params = { 'int' }, returns = { 'int' }, timeout = 60, concurrency = 4,
  description = 'how many primes there are' })

mesh.action('hello', function() return 'still here' end)
