--- perilune stream ACTION [JSON-ARG]...

local client = require 'perilune.cli.client'
local mesh = require 'perilune'
local outputs = require 'perilune.cli.output'

--- One chunk as a line of JSON.
local function as_line(first, ...)
  if select('#', ...) == 0 then return client.json(first) .. '\n' end
  local values = { first, ... }
  return client.json(mesh.array(values, 1 + select('#', ...))) .. '\n'
end

--- One chunk with its strings as they are.
local function as_bytes(...)
  local parts = {}
  for i = 1, select('#', ...) do
    local value = select(i, ...)
    parts[i] = type(value) == 'string' and value or client.json(value) .. '\n'
  end
  return table.concat(parts)
end

--- Puts chunks until there are no more, or nobody reads them.
local function copy(stream, output, format)
  local function put(more, ...)
    if more then output:put(format(...)) end
    return more and not output.failed
  end
  while put(stream:next()) do end
end

client.run(function()
  local options, words = client.arguments()
  local action = table.remove(words, 1)
  local values = client.values(words)
  client.join()

  local caller = mesh.with { timeout = tonumber(options.timeout), idle = tonumber(options.idle) }
  local stream <close> = caller.stream(action, table.unpack(values, 1, values.n))
  local output = outputs.new(function() stream:close() end)
  local ok, err = pcall(copy, stream, output, options.raw and as_bytes or as_line)
  output:finish() -- chunks come before what ended them
  if not ok then error(err, 0) end

  local results = table.pack(stream:result())
  for i = 1, results.n do
    io.stderr:write(client.json(results[i]), '\n')
  end
end)
