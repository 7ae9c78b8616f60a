--- perilune bench ACTION [JSON-ARG]...

local client = require 'perilune.cli.client'
local json = require 'perilune.json'
local loads = require 'perilune.bench.load'
local mesh = require 'perilune'
local report = require 'perilune.bench.report'
local sys = require 'perilune.core.sys'
local terminal = require 'perilune.core.terminal'

local PERIOD = 0.5 -- seconds between two lines of progress
local CONCURRENCY_MAX = 10000
local SECONDS_MAX = 86400
local RATE_MAX = 1000000

--- The number of an option, within its bounds.
local function number(options, name, standard, least, most)
  local value = tonumber(options[name]) or standard
  if value and (value < least or value > most) then
    client.refuse(('INVALID: --%s: a number from %g to %g is expected, got %s')
      :format(name, least, most, options[name]))
  end
  return value
end

local function settings(options)
  local rate = number(options, 'rate', nil, 0.001, RATE_MAX)
  local concurrency = number(options, 'concurrency', rate and 1024 or 64, 1, CONCURRENCY_MAX)
  return {
    rate = rate,
    concurrency = math.floor(concurrency),
    duration = number(options, 'duration', 5, 0.001, SECONDS_MAX),
    warmup = number(options, 'warmup', 1, 0, SECONDS_MAX),
    timeout = tonumber(options.timeout),
  }
end

--- Makes one call, or takes all chunks of one stream.
local function caller_of(options, timeout, action, values)
  local caller = mesh.with { timeout = timeout }
  local call, stream = caller.call, caller.stream
  local unpack, n = table.unpack, values.n
  if not options.stream then return function() call(action, unpack(values, 1, n)) end end
  return function(load)
    local s <close> = stream(action, unpack(values, 1, n))
    while not load.stopped and s:next() do load.items = load.items + 1 end
    if not load.stopped then s:result() end
  end
end

--- What cannot work is told before it is repeated: of a stream its first chunk is enough.
local function try(options, timeout, action, values)
  local caller = mesh.with { timeout = timeout }
  local s <close> = caller.stream(action, table.unpack(values, 1, values.n))
  local has_chunk = s:next()
  if has_chunk and not options.stream then
    client.fail(("STREAM_EXPECTED: '%s' streams: use --stream"):format(action))
  end
  if not has_chunk then s:result() end
end

local function show_progress(load)
  local shown = sys.columns 'stderr'
  if not shown then return function() end end
  local task = mesh.every(PERIOD, function()
    local line = load.began and report.line(load, sys.monotonic() - load.began) or 'warming up'
    io.stderr:write('\r', line:sub(1, (sys.columns 'stderr' or 80) - 1), '\27[K')
  end)
  return function()
    task:cancel()
    io.stderr:write '\r\27[K'
  end
end

--- Calls for as long as it is to; Ctrl-C ends it before. Returns whether it came to counting.
local function run(load, s)
  local clock = mesh.spawn(function()
    mesh.sleep(s.warmup)
    load:measure()
    mesh.sleep(s.duration)
  end)
  terminal.take(true)
  terminal.ends(clock)
  local hide = show_progress(load)
  load:start()
  pcall(clock.await, clock)
  load:stop()
  hide()
  terminal.take(false)
  return load.began ~= nil
end

client.run(function()
  local options, words = client.arguments()
  local action = table.remove(words, 1)
  local values = client.values(words)
  local s = settings(options)
  client.join()
  try(options, s.timeout, action, values)

  local load = loads.new { rate = s.rate, concurrency = s.concurrency,
    run = caller_of(options, s.timeout, action, values) }
  if not run(load, s) then client.fail 'CANCELLED: interrupted before the warm-up was over' end
  if options.json then
    client.write(json.encode(report.figures(load, action)) .. '\n')
  else
    client.write(report.text(load, options.stream))
  end
  os.exit(load.calls + load.items == 0 and load.failed > 0 and 1 or 0)
end)
