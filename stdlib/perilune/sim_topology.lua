--- Who dials whom in a simulated net: for each node the earlier ones that it dials.

local PARENT = {
  line = function(i) return i - 1 end,
  ring = function(i) return i - 1 end,
  star = function() return 1 end,
  tree = function(i) return i // 2 end,
  random = function(i, random) return random(i - 1) end,
}

--- Nil for a name that is none.
---
---@param name string
---@param count integer
---@param random fun(n: integer): integer
---@return integer[][]?
return function(name, count, random)
  local peers = {}
  for i = 1, count do peers[i] = {} end
  if name == 'full' then
    for i = 2, count do
      for k = 1, i - 1 do peers[i][k] = k end
    end
    return peers
  end
  local parent = PARENT[name]
  if not parent then return nil end
  for i = 2, count do peers[i][1] = parent(i, random) end
  if name == 'ring' and count > 2 then peers[count][2] = 1 end
  if name == 'random' then
    for _ = 1, count // 2 do
      local a, b = random(count), random(count)
      if a > b and peers[a][1] ~= b then peers[a][#peers[a] + 1] = b end
    end
  end
  return peers
end
