--- perilune call ACTION [JSON-ARG]...

local client = require 'perilune.cli.client'
local mesh = require 'perilune'

client.run(function()
  local options, words = client.arguments()
  local action = table.remove(words, 1)
  local values = client.values(words)
  client.join()

  local caller = mesh.with { timeout = tonumber(options.timeout) }
  local results = table.pack(caller.call(action, table.unpack(values, 1, values.n)))
  local lines = {}
  for i = 1, results.n do
    lines[i] = client.json(results[i]) .. '\n'
  end
  client.write(table.concat(lines))
end)
