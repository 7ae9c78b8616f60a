-- A key-value store for the whole mesh, in the state of one node.
--   perilune run kv_store.lua --state-dir kv        (without --state-dir it is empty after a restart)
-- From anywhere:   perilune call set '"color"' '"green"'     perilune call get '"color"'
--                  perilune call set '"session"' '{"user": 7}' 60    perilune call add '"visits"' 1
--                  perilune call swap '"color"' '"green"' '"red"'    perilune stream list
local mesh = require 'perilune'

-- Keys of the callers get a prefix, so that none is the name of a method of mesh.state.
local function own(key) return 'kv:' .. key end

mesh.action('get', function(key) return mesh.state[own(key)] end, { params = { 'string' } })

mesh.action('set', function(key, value, ttl) mesh.state:set(own(key), value, { ttl = ttl }) end,
  { params = { 'string', '?any', '?number' } })

mesh.action('delete', function(key) mesh.state[own(key)] = nil end, { params = { 'string' } })

mesh.action('add', function(key, by) return mesh.state:incr(own(key), by) end, { params = { 'string', '?number' } })

-- Whether the value was `old`, and is `new` now.
mesh.action('swap', function(key, old, new) return mesh.state:cas(own(key), old, new) end,
  { params = { 'string', '?any', '?any' } })

mesh.action('list', function()
  local count = 0
  for key, value in pairs(mesh.state) do
    coroutine.yield(key:sub(4), value)
    count = count + 1
  end
  return count
end)
