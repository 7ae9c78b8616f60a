--- Makes pictures small, on all processors of all nodes that run it; meanwhile each of them goes on to answer.
---   perilune run thumbnails.lua            in as many places as you like
---   perilune stream thumbnail 64 --input photo.ppm --raw > small.ppm

local mesh = require 'perilune'

local BYTES_MAX = 64 * 1024 * 1024

--- What the caller sends, as one string.
local function read_input()
  local blocks, size = {}, 0
  for block in mesh.input() do
    size = size + #block
    if size > BYTES_MAX then error { code = 'TOO_LARGE', message = 'the picture is too large' } end
    blocks[#blocks + 1] = block
  end
  return table.concat(blocks)
end

mesh.action('thumbnail', function(width)
  local picture, new_width, height = mesh.offload('ppm', 'shrink', read_input(), width) -- in ppm.lua
  coroutine.yield(mesh.bytes(picture))
  return { width = new_width, height = height, node = mesh.self().name }
end, { params = { { type = 'int', min = 1, max = 1024 } }, concurrency = 8, timeout = 60,
  description = 'a small picture of the PPM or PGM that is sent' })
