--- All specs run by several processes at once: each takes the next file that none has taken.
---
--- PERILUNE_SPEC_SHARE names a folder of theirs, empty at first. A file that is taken is a folder there, and
--- not an empty one once it is over, so that who started them sees where one broke off.

local busted = require 'busted'
local lfs = require 'lfs'
local native = require('perilune.testing').process

local folder = os.getenv 'PERILUNE_SPEC_SHARE'
if not folder then return end

local begun = {} -- when, by claim
local NOTHING = { __call = function() end }

local function claim_of(file)
  return folder .. '/' .. file.name:gsub('^%./', ''):gsub('/', ':')
end

--- `run` is what the file itself would do: name its tests and run them.
busted.subscribe({ 'file', 'start' }, function(file)
  local claim = claim_of(file)
  if lfs.mkdir(claim) then
    begun[claim] = native.now()
  else
    file.run = setmetatable({ getTrace = file.run.getTrace, rewriteMessage = file.run.rewriteMessage }, NOTHING)
  end
  return nil, true
end)

busted.subscribe({ 'file', 'end' }, function(file)
  local claim = claim_of(file)
  if begun[claim] then
    io.stderr:write(('%6.1f s  %s\n'):format(native.now() - begun[claim], file.name))
    assert(lfs.mkdir(claim .. '/over'))
  end
  return nil, true
end)
