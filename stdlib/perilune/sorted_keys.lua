--- The keys of a table that are strings, in order.
---
---@param t table<string, any>
---@return string[]
return function(t)
  local keys = {}
  for key in next, t do
    if type(key) == 'string' then keys[#keys + 1] = key end
  end
  table.sort(keys)
  return keys
end
