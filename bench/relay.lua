--- A node that other nodes' calls pass through.

local mesh = require 'perilune'

mesh.action('_passes', function() end) -- whoever offers something takes part in the mesh
