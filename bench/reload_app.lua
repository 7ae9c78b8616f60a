--- What bench/reload.lua has loaded anew: so much data and so much text as mesh.shared says.

local mesh = require 'perilune'

if mesh.shared.folder then
  package.path = mesh.shared.folder .. '/?.lua;' .. package.path
  require(mesh.shared.module)
end

held = {} -- luacheck: ignore
for i = 1, (mesh.shared.mib or 0) * 1024 * 1024 // 150 do held[i] = { i, tostring(i) } end -- luacheck: ignore

mesh.action('sum', function(a, b) return a + b end)
mesh.action('park', function()
  coroutine.yield(true)
  mesh.sleep(1e6)
end)
mesh.action('set', function(key, value) mesh.shared[key] = value end)
