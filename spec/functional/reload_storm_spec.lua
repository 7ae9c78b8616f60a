--- Reloads under full load, in real nodes: no call fails, no stream breaks, the loop goes on, memory stays.

local latency = require 'spec.support.latency'
local nodes = require 'spec.support.nodes'
local process = require 'spec.support.process'

local RELOADS = 1000
local RELOADS_SANITIZED = 100
local AT_ONCE = 50 -- that the client makes without coming back
local PARKED = 100
local CALLERS, READERS = 16, 8
local PAUSE = 0.010 -- seconds of CPU time

local APP = [[
local mesh = require 'perilune'
local version = %d
mesh.action('add', function(a, b) return a + b end)
mesh.action('version', function() return version end)
mesh.action('count', function(n)
  for i = 1, n do
    coroutine.yield(version, i)
    mesh.sleep(0.002)
  end
  return 'whole'
end)
mesh.action('park', function()
  coroutine.yield(version)
  mesh.with { timeout = 0 }.call 'wait for release'
  coroutine.yield(version)
  return version
end)
mesh.action('collect', function() collectgarbage() end)
mesh.every(0.01, function() end)
local held = {}
for i = 1, 1000 do held[i] = { i, tostring(i) } end
]]

-- Of a VM of its own in the same node: how much CPU time of the loop's thread passes between two of its turns.
local TICKER = latency.CLOCK .. [[
local mesh = require 'perilune'
local most, last = 0, used()
mesh.action('most', function() local m = most most = 0 return m end)
local released = false
mesh.action('wait for release', function() while not released do mesh.sleep(0.01) end end)
mesh.action('release', function() released = true end)
mesh.action('collect here', function() collectgarbage() end)
mesh.every(0.001, function()
  local now = used()
  most = math.max(most, now - last)
  last = now
end)
]]

-- Calls and streams without a pause, until it is told to stop.
local LOAD = [[
local callers, readers = ...
going, ended = true, 0
calls, streams, failures = calls or 0, streams or 0, failures or {}
local function go_on(work)
  mesh.spawn(function()
    while going do
      local ok, err = pcall(work)
      if not ok then failures[#failures + 1] = tostring(err) end
    end
    ended = ended + 1
  end)
end
for _ = 1, callers do
  go_on(function()
    local n = calls
    assert(mesh.call('add', n, 1) == n + 1, 'a wrong sum')
    calls = calls + 1
  end)
end
for _ = 1, readers do
  go_on(function()
    local s, first, count = mesh.stream('count', 20), nil, 0
    for version, i in s do
      first = first or version
      count = count + 1
      assert(version == first and i == count, 'a stream of two versions')
    end
    assert(count == 20 and s:result() == 'whole', 'a stream that is not whole')
    streams = streams + 1
  end)
end
]]

-- Version after version, each of which must serve. How long the loop paused in each.
local RELOAD = [[
local app, path, from, to = ...
local at, pauses = mesh.with { node = 'server', timeout = 60 }, {}
for version = from, to do
  local file = assert(io.open(path .. '.new', 'wb'))
  assert(file:write((app:gsub('%%d', version))))
  assert(file:close())
  assert(os.rename(path .. '.new', path))
  local report = at.call('_perilune.reload', 'app.lua')[1]
  assert(not report.failure, report.failure)
  assert(report.generation == version and mesh.call 'version' == version, 'another version serves')
  pauses[#pauses + 1] = mesh.call 'most'
end
return pauses
]]

-- What the server has in use, and what it takes in all, while two generations live: what is parked, and what serves.
local MEMORY = [[
  local at = mesh.with { node = 'server' }
  while at.call('_perilune.ps').scripts[1].generations > 2 do mesh.sleep(0.005) end
  mesh.call 'collect'
  mesh.call 'collect here'
  local process = at.call('_perilune.mem').process
  return process.allocated, process.resident
]]

-- Streams parked on version 1, which end on version 1 in the end.
local PARK = [[
  parked, done, wrong = 0, 0, 0
  for _ = 1, ... do
    mesh.spawn(function()
      local versions = {}
      for version in mesh.with { idle = 0 }.stream 'park' do
        versions[#versions + 1] = version
        if #versions == 1 then parked = parked + 1 end
      end
      if #versions == 2 and versions[1] == 1 and versions[2] == 1 then done = done + 1 else wrong = wrong + 1 end
    end)
  end
]]

describe('reloads at full load', function()
  local dir, client

  before_each(function()
    dir = process.temp_dir { ['ticker.lua'] = TICKER, ['app.lua'] = APP:gsub('%%d', 1) }
    local url = 'unix://' .. dir .. '/n.sock'
    local p = process.start({ process.perilune, 'run', 'app.lua', 'ticker.lua', '--name=server', '--listen=' .. url,
      '--heartbeat=10', '--log-level=warn' }, { cwd = dir })
    p:wait_line '^ready '
    client = nodes.start('client', { peers = { url } })
  end)

  --- Reloads from one version to another under load, and adds the pauses; then what the server holds without load.
  local function reload(from, to, pauses)
    client:eval(LOAD, CALLERS, READERS)
    for version = from + 1, to, AT_ONCE do
      local list = client:eval(RELOAD, APP, dir .. '/app.lua', version, version + AT_ONCE - 1)
      table.move(list, 1, #list, #pauses + 1, pauses)
    end
    client:eval 'going = false'
    client:wait_for('return ended == ' .. CALLERS + READERS)
    return client:eval(MEMORY)
  end

  it('fail no call, break no stream, hold up nobody, and leave no memory behind', function()
    local count = client:is_sanitized() and RELOADS_SANITIZED or RELOADS
    client:eval(PARK, PARKED)
    client:wait_for('return parked == ' .. PARKED)

    local pauses = {}
    local before = reload(1, 1 + count // 2, pauses)
    local after, resident = reload(1 + count // 2, 1 + count, pauses)
    client:eval "mesh.call 'release'"
    client:wait_for('return done + wrong == ' .. PARKED)
    local calls, streams, failures, wrong = client:eval 'return calls, streams, failures, wrong'
    assert.same({}, failures)
    assert.equal(0, wrong)
    assert.is_true(calls > count and streams > 0)
    if client:is_sanitized() then return end
    assert.is_true(after - before < resident / 100, ('%d of %d bytes more'):format(after - before, resident))
    table.sort(pauses)
    local pause = latency.at_percentile(pauses, 99)
    assert.is_true(pause < PAUSE * process.patience, ('paused for %.1f ms of CPU time'):format(pause * 1e3))
  end)
end)
