--- A script on the thread of the node, beside bench/workers.lua.

require('perilune').action('beside', function() end)
