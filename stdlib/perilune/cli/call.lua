--- perilune call ACTION [JSON-ARG]...

local client = require 'perilune.cli.client'
local mesh = require 'perilune'
local progress = require 'perilune.cli.progress'
local sources = require 'perilune.cli.source'

--- What is sent, and how far that is on.
local function prepare(options)
  if not options.input then return end
  local bar
  local input, size = sources.open(options.input, function(bytes) bar.done = bar.done + bytes end)
  bar = progress.start(size)
  return input, bar
end

client.run(function()
  local options, words = client.arguments()
  local action = table.remove(words, 1)
  local values = client.values(words)
  local input, bar = prepare(options)
  client.join()

  local caller = mesh.with { timeout = tonumber(options.timeout), input = input }
  local results = table.pack(pcall(caller.call, action, table.unpack(values, 1, values.n)))
  if bar then bar:finish(results[1]) end
  if not results[1] then error(results[2], 0) end
  local lines = {}
  for i = 2, results.n do
    lines[#lines + 1] = client.json(results[i]) .. '\n'
  end
  client.write(table.concat(lines))
end)
