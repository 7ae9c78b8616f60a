--- A greeting that can be changed while it is asked for: `perilune run greeter.lua --watch`, and edit it.

local mesh = require 'perilune'

local served = 0

mesh.action('greet', function(name)
  served = served + 1
  mesh.sleep(0.001)
  return ('hello, %s'):format(name)
end)

mesh.action('served', function() return served end)

-- What one version has counted the next goes on with.
mesh.on_unload(function() return served end)
mesh.on_load(function(previous) served = previous end)
