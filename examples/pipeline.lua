--- A pipeline: an action that lists files, one that digests a file, and one that puts both together.
--- Run it as often as you like; all nodes share the work.
---   perilune run pipeline.lua --name a
---   perilune run pipeline.lua --name b
---   perilune stream digests '"/usr/include"'

local crypto = require 'perilune.crypto'
local fs = require 'perilune.fs'
local mesh = require 'perilune'

local AT_ONCE = 8 -- digests on their way for one caller

--- Streams the paths of the files in a folder.
mesh.action('files', function(folder)
  for _, name in ipairs(fs.list(folder)) do
    local path = folder .. '/' .. name
    if fs.stat(path).type == 'file' then coroutine.yield(path) end
  end
end)

--- Returns the digest of a file, and who made it.
mesh.action('digest', function(path)
  return crypto.sha256(fs.read(path), { hex = true }), mesh.self().name
end, { concurrency = 2, idempotent = true, description = 'the SHA-256 of a file' })

--- Streams path, digest and worker of each file in a folder, in order.
mesh.action('digests', function(folder)
  mesh.scope(function(scope)
    local window = {} -- what is on its way, oldest first

    local function yield_oldest()
      local oldest = table.remove(window, 1)
      coroutine.yield(oldest.path, oldest.call:await())
    end

    -- A slow reader of this stream slows this loop, and that the stream of files.
    for path in mesh.stream('files', folder) do
      window[#window + 1] = { path = path, call = scope:spawn(mesh.call, 'digest', path) }
      if #window == AT_ONCE then yield_oldest() end
    end
    while #window > 0 do yield_oldest() end
  end)
end, { description = 'the SHA-256 of all files in a folder' })
