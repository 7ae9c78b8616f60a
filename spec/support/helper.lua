--- What holds for every spec: busted loads it before the first one.

local busted = require 'busted'
local native = require('perilune.testing').process
local process = require 'spec.support.process'
local socket = require 'spec.support.socket'
local terminal = require 'spec.support.terminal'

local TEST_SECONDS = 120

--- A test that hangs ends the run and is named.
busted.subscribe({ 'test', 'start' }, function(element)
  local where = element.trace and ('%s:%d'):format(element.trace.short_src, element.trace.currentline) or '?'
  local patience = tonumber(os.getenv 'PERILUNE_SPEC_PATIENCE') or 1
  local text = ('\n%s: %s: still running after its time\n'):format(where, element.name)
  native.watchdog(math.floor(TEST_SECONDS * patience), text)
  return nil, true
end)

--- What a file left to the collector may hold memory of the host, which tests after it count.
busted.subscribe({ 'file', 'start' }, function()
  collectgarbage()
  return nil, true
end)

busted.subscribe({ 'suite', 'end' }, function()
  native.watchdog(0, '')
  return nil, true
end)

busted.after_each(socket.clean_up)
busted.after_each(process.clean_up)
busted.after_each(terminal.clean_up)
