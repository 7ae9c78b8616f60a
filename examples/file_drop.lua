--- A box for files of any size. One node has it:
---   perilune run file_drop.lua -- box FOLDER
--- Others put files into it and get them out:
---   perilune run file_drop.lua -- put big.iso
---   perilune run file_drop.lua -- get big.iso copy.iso
--- Interrupt a transfer, or kill either end, and start it again: it goes on where it was.

local files = require 'perilune.files'
local fs = require 'perilune.fs'
local mesh = require 'perilune'

local PATIENCE = 5 -- seconds in which a box may come, and in which it may find out that we were interrupted
local verb, first, second = table.unpack(arg)

--- Tells on standard error how far it is, once a second.
local function progress()
  local told
  return function(done, total)
    if not told and done > 0 then io.stderr:write(('going on at byte %d\n'):format(done)) end
    told = told or mesh.now()
    if mesh.now() - told < 1 then return end
    told = mesh.now()
    io.stderr:write(('%d of %d MB\n'):format(done // 1000000, total // 1000000))
  end
end

--- Runs a transfer, again while an earlier one of the same file is not over at the other end.
local function patiently(transfer, from, to)
  local deadline = mesh.now() + PATIENCE
  while true do
    local ok, size, sha256 = pcall(transfer, 'drop', from, to, { resume = true, progress = progress() })
    if ok then return print(('%s  %s, %d bytes'):format(sha256, to, size)) end
    local err = size
    if err.code ~= 'BUSY' or mesh.now() > deadline then error(err, 0) end
    mesh.sleep(err.retry_after)
  end
end

if verb == 'box' and first then
  fs.mkdir(first, { parents = true })
  files.serve('drop', first, { write = true })
elseif verb == 'put' and first then
  mesh.wait('drop.put', PATIENCE)
  patiently(files.upload, first, second or first:match '[^/]*$')
elseif verb == 'get' and first then
  mesh.wait('drop.get', PATIENCE)
  patiently(files.download, first, second or first:match '[^/]*$')
else
  io.stderr:write 'usage: perilune run file_drop.lua -- box FOLDER | put FILE [NAME] | get NAME [FILE]\n'
  os.exit(2)
end
