--- perilune stream ACTION [JSON-ARG]...

local client = require 'perilune.cli.client'
local mesh = require 'perilune'
local outputs = require 'perilune.cli.output'
local progress = require 'perilune.cli.progress'
local sources = require 'perilune.cli.source'
local stdio = require 'perilune.stdio'

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
local function copy(stream, output, format, on_text)
  local function put(more, ...)
    if more then
      local text = format(...)
      on_text(text)
      output:put(text)
    end
    return more and not output.failed
  end
  while put(stream:next()) do end
end

--- What is read, and how far that is on: of what is sent, else of raw bytes that go elsewhere than to the terminal.
local function prepare(options)
  local bar
  if options.input then
    local input, size = sources.open(options.input, function(bytes) bar.done = bar.done + bytes end)
    bar = progress.start(size)
    return input, bar, function() bar:hide() end
  end
  if options.raw and not stdio.is_tty 'stdout' then
    bar = progress.start()
    return nil, bar, function(text) bar.done = bar.done + #text end
  end
  return nil, nil, function() end
end

--- Of files that are downloaded the size is known.
local function expect(stream, bar)
  local info = stream:info()
  if type(info) == 'table' and math.type(info.size) == 'integer' then bar.total = info.size end
end

local function run(options, stream, output, input, bar, on_text)
  if bar and not input then expect(stream, bar) end
  local ok, err = pcall(copy, stream, output, options.raw and as_bytes or as_line, on_text)
  output:finish() -- chunks come before what ended them
  if not ok then error(err, 0) end
  return table.pack(stream:result())
end

client.run(function()
  local options, words = client.arguments()
  local action = table.remove(words, 1)
  local values = client.values(words)
  local input, bar, on_text = prepare(options)
  client.join()

  local caller = mesh.with { timeout = tonumber(options.timeout), idle = tonumber(options.idle), input = input }
  local stream <close> = caller.stream(action, table.unpack(values, 1, values.n))
  local output = outputs.new(function() stream:close() end)
  local ok, results = pcall(run, options, stream, output, input, bar, on_text)
  if bar then bar:finish(ok) end
  if not ok then error(results, 0) end
  for i = 1, results.n do
    io.stderr:write(client.json(results[i]), '\n')
  end
end)
