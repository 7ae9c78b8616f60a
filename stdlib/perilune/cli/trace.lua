--- perilune trace ID [--json]

local client = require 'perilune.cli.client'
local mesh = require 'perilune'
local targets = require 'perilune.cli.targets'
local traces = require 'perilune.cli.traces'

local function check_id(id)
  if id:find '^%x+$' and (#id == 16 or #id == 32) then return id:lower() end
  client.refuse(("INVALID: '%s' is no id of a trace, 32 hexadecimal digits, or of a call, 16"):format(
    #id > 40 and id:sub(1, 40) .. '...' or id))
end

client.run(function()
  local options, words = client.arguments()
  local id, nodes = check_id(words[1]), {}
  for i, node in ipairs(targets.of()) do nodes[i] = node.id end
  local calls = traces.collect(nodes, id)
  if #id == 16 and calls[1] then
    id = calls[1].trace_id
    calls = traces.collect(nodes, id)
  end
  if #calls == 0 then client.fail(('NOT_FOUND: no node remembers %s'):format(id)) end
  if options.json then
    client.write(client.json { trace_id = id, calls = mesh.array(calls) } .. '\n')
  else
    client.write(traces.format(calls))
  end
end)
