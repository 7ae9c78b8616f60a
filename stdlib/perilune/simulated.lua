--- What is different for a script in the simulator, so that a run follows from its seed alone. Runs before the script,
--- with the seed of its process and its clocks.

local seed, wall, clock = ...

math.randomseed(seed)

-- The order of `next` follows from addresses; `pairs` goes by the keys: numbers, strings, booleans, then the rest.
local RANK = { number = 1, string = 2, boolean = 3 }

local function before(a, b)
  local rank_a, rank_b = RANK[type(a)] or 4, RANK[type(b)] or 4
  if rank_a ~= rank_b then return rank_a < rank_b end
  if rank_a <= 2 then return a < b end
  return rank_a == 3 and a == false and b == true
end

local next, getmetatable, unordered, sort = next, getmetatable, pairs, table.sort

function pairs(t)
  local meta = getmetatable(t)
  if type(t) ~= 'table' or (type(meta) == 'table' and meta.__pairs) then return unordered(t) end
  local keys, n = {}, 0
  for key in next, t do
    n = n + 1
    keys[n] = key
  end
  sort(keys, before)
  local at = 0
  return function()
    while at < n do
      at = at + 1
      local value = rawget(t, keys[at])
      if value ~= nil then return keys[at], value end -- it may have gone during the walk
    end
  end, t, nil
end

-- What a function of a spec calls `mesh` is its node's here.
mesh = setmetatable({}, {
  __index = function(_, key) return require 'perilune'[key] end,
})

local time, date = os.time, os.date

function os.time(parts)
  return parts and time(parts) or math.floor(wall())
end

function os.date(format, at)
  return date(format or '%c', at or math.floor(wall()))
end

os.clock = clock
