-- One action that returns, one that streams. In one terminal:   perilune run hello.lua
-- In another:   perilune call add 2 3        perilune stream count 5
local mesh = require 'perilune'

mesh.action('add', function(a, b) return a + b end)

mesh.action('count', function(max)
  for i = 1, max do
    coroutine.yield(i) -- one streamed chunk
    mesh.sleep(0.1)
  end
  return 'done'
end)
