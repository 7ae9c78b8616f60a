--- Code for a node that calls `work` again and again, ten at a time: what its calls failed with, as texts.

-- luacheck: globals mesh

---@return fun(seconds: number): string[]
return function(seconds)
  local failed, over = {}, mesh.now() + seconds
  while mesh.now() < over do
    local tasks = {}
    for i = 1, 10 do tasks[i] = mesh.spawn(pcall, mesh.call, 'work', i * 0.002) end
    for _, task in ipairs(tasks) do
      local ok, err = task:await()
      if not ok then failed[#failed + 1] = tostring(err) .. ', ' .. tostring(err.outcome) end
    end
  end
  return failed
end
