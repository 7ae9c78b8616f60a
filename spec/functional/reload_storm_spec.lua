--- Reloads under full load, in real nodes: no call fails, no stream breaks, memory stays.
---
--- PERILUNE_SPEC_RELOADS=1000 is the long version: so many to warm up, and so many that are measured. It prints what it
--- has measured.

local nodes = require 'spec.support.nodes'
local process = require 'spec.support.process'

local LONG = tonumber(os.getenv 'PERILUNE_SPEC_RELOADS')
local RELOADS = LONG or 50
-- Each buffer of 64 KiB that a link keeps for a while is nearly 1 %; what every reload left would add up.
local GROWTH = LONG and 1.05 or 1.1
local PARKED = 100

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
mesh.every(0.01, function() end)
local held = {}
for i = 1, 1000 do held[i] = { i, tostring(i) } end
]]

-- Of a VM of its own in the same node: how much CPU time passes between two of its turns.
local TICKER = [[
local mesh = require 'perilune'
local most, last = 0, os.clock()
mesh.action('most', function() local m = most most = 0 return m end)
local released = false
mesh.action('wait for release', function() while not released do mesh.sleep(0.01) end end)
mesh.action('release', function() released = true end)
mesh.action('memory', function()
  collectgarbage()
  for line in io.lines '/proc/self/status' do
    local kib = line:match 'VmRSS:%s+(%d+)'
    if kib then return math.tointeger(kib) * 1024 end
  end
end)
mesh.every(0.001, function()
  local now = os.clock()
  most = math.max(most, now - last)
  last = now
end)
]]

-- Calls and streams without a pause, until it is told to stop.
local LOAD = [[
going, calls, streams, failures = true, 0, 0, {}
local function note(err) failures[#failures + 1] = tostring(err) end
for _ = 1, 16 do
  mesh.spawn(function()
    while going do
      local ok, sum = pcall(mesh.call, 'add', calls, 1)
      if not ok then note(sum) end
      calls = calls + 1
    end
  end)
end
for _ = 1, 8 do
  mesh.spawn(function()
    while going do
      local ok, err = pcall(function()
        local s, first, count = mesh.stream('count', 20), nil, 0
        for version, i in s do
          first = first or version
          count = count + 1
          assert(version == first and i == count, 'a stream of two versions')
        end
        assert(count == 20 and s:result() == 'whole', 'a stream that is not whole')
      end)
      if not ok then note(err) end
      streams = streams + 1
    end
  end)
end
]]

local RELOAD = "return mesh.with { node = 'server', timeout = 60 }.call('_perilune.reload', 'app.lua')"

-- Resident memory while two generations live: what is parked, and what serves. One more that is about to go would be
-- 5 % of it.
local MEMORY = [[
  while mesh.with { node = 'server' }.call('_perilune.ps').scripts[1].generations > 2 do mesh.sleep(0.005) end
  return mesh.call 'memory'
]]

local function write(path, version)
  local file <close> = assert(io.open(path .. '.new', 'wb'))
  file:write(APP:format(version))
  file:close()
  assert(os.rename(path .. '.new', path))
end

describe('reloads at full load', function()
  it('fail no call, break no stream, and leave no memory behind', function()
    local dir = process.temp_dir { ['ticker.lua'] = TICKER }
    write(dir .. '/app.lua', 1)
    local url = 'unix://' .. dir .. '/n.sock'
    local p = process.start({ process.perilune, 'run', 'app.lua', 'ticker.lua', '--name=server', '--listen=' .. url,
      '--heartbeat=10', '--log-level=warn' }, { cwd = dir })
    p:wait_line '^ready '
    local client = nodes.start('client', { peers = { url } })

    -- Streams parked on version 1, which end on version 1 in the end.
    client:eval([[
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
      end]], PARKED)
    client:wait_for('return parked == ' .. PARKED)
    client:eval(LOAD)

    -- The garbage of the moment is as much as a hundred reloads could leave behind, so it is many looks that count:
    -- those of the last quarter of each half.
    local sums, looks, most = { 0, 0 }, { 0, 0 }, 0
    for i = 1, 2 * RELOADS do
      write(dir .. '/app.lua', i + 1)
      local reports = client:eval(RELOAD)
      assert.is_nil(reports[1].failure)
      assert.equal(i + 1, reports[1].generation)
      assert.equal(i + 1, client:eval "return mesh.call 'version'")
      if i > RELOADS then most = math.max(most, client:eval "return mesh.call 'most'") end
      local half = i <= RELOADS and 1 or 2
      if i > (half - 0.25) * RELOADS then
        sums[half] = sums[half] + client:eval(MEMORY)
        looks[half] = looks[half] + 1
      end
      if i == RELOADS then client:eval "mesh.call 'most'" end
    end
    local memory, after = sums[1] / looks[1], sums[2] / looks[2]
    client:eval 'going = false'
    client:eval "mesh.call 'release'"
    client:wait_for('return done + wrong == ' .. PARKED)
    local calls, streams, failures, wrong = client:eval 'return calls, streams, failures, wrong'
    assert.same({}, failures)
    assert.equal(0, wrong)
    assert.is_true(calls > RELOADS and streams > 0)
    if not client:is_sanitized() then
      assert.is_true(after < memory * GROWTH, ('%.0f bytes, then %.0f'):format(memory, after))
    end
    if LONG then
      print(('%d reloads: %d calls, %d streams, %.0f to %.0f bytes, longest pause %.1f ms of CPU time'):format(
        2 * RELOADS, calls, streams, memory, after, most * 1e3))
    end
  end)
end)
