--- perilune call ACTION [JSON-ARG]... [--trace]

local client = require 'perilune.cli.client'
local mesh = require 'perilune'
local progress = require 'perilune.cli.progress'
local sources = require 'perilune.cli.source'
local traces = require 'perilune.cli.traces'

--- What is sent, and how far that is on.
local function prepare(options)
  if not options.input then return end
  local bar
  local input, size = sources.open(options.input, function(bytes) bar.done = bar.done + bytes end)
  bar = progress.start(size)
  return input, bar
end

--- The times of each hop, to standard error.
local function show(trace)
  local ok, calls = pcall(traces.collect, { mesh.self().id }, trace)
  client.complain(ok and 'trace ' .. trace .. '\n' .. traces.format(calls):gsub('\n$', '') or tostring(calls))
end

client.run(function()
  local options, words = client.arguments()
  local action = table.remove(words, 1)
  local values = client.values(words)
  local input, bar = prepare(options)
  client.join()

  local parent, trace
  if options.trace then parent, trace = traces.begin() end
  local meta = parent and { traceparent = parent }
  local caller = mesh.with { timeout = tonumber(options.timeout), input = input, meta = meta }
  local results = table.pack(pcall(caller.call, action, table.unpack(values, 1, values.n)))
  if bar then bar:finish(results[1]) end
  if not results[1] then
    if trace then show(trace) end
    error(results[2], 0)
  end
  local lines = {}
  for i = 2, results.n do
    lines[#lines + 1] = client.json(results[i]) .. '\n'
  end
  client.write(table.concat(lines))
  if trace then show(trace) end
end)
