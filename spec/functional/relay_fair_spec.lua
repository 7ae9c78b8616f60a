--- Small calls beside a stream that takes all it can get, over links of a known speed, in virtual time.

local process = require 'spec.support.process'

local SCRIPT = [[
  local mesh = require 'perilune'
  local net <close> = mesh.sim { seed = 5, nodes = 0 } -- 100 MB/s, 0.2 ms there and back
  local function script()
    mesh.action('echo', function(x) return x end)
    mesh.action('bulk', function()
      local block = ('x'):rep(65536)
      while true do coroutine.yield(block) end
    end)
  end
  local member = function() mesh.action('of ' .. mesh.self().name, print) end
  local server = net:node('server', { script = script })
  local relay = net:node('relay', { script = member, peers = { server } })
  local near = net:node('near', { script = member, peers = { server } })
  local one = net:node('one', { script = member, peers = { relay } })
  local two = net:node('two', { script = member, peers = { relay } })
  for _, pair in ipairs { { server, relay }, { server, near }, { relay, one }, { relay, two } } do
    net:path(pair[1], pair[2], { latency = 0.0001, jitter = 0, bandwidth = 100000000 })
    net:path(pair[2], pair[1], { latency = 0.0001, jitter = 0, bandwidth = 100000000 })
  end
  net:advance(5)

  local function read(streams)
    read_bytes, stopped = 0, false
    for _ = 1, streams do
      mesh.spawn(function()
        for block in mesh.stream 'bulk' do
          read_bytes = read_bytes + #block
          if stopped then break end
        end
      end)
    end
  end

  --- The worst of 300 small calls but three, in milliseconds, while `reader` has so many streams; and what they bring
  --- in that time, in MB a second.
  local function small(caller, reader, streams)
    if streams > 0 then reader:eval(read, streams) end
    net:advance(0.3)
    local bytes = streams > 0 and reader:eval(function() return read_bytes end) or 0
    local took, p99 = caller:eval(function()
      local times, began = {}, mesh.now()
      for i = 1, 300 do
        local start = mesh.now()
        mesh.call('echo', i)
        times[i] = mesh.now() - start
      end
      table.sort(times)
      return mesh.now() - began, times[297]
    end)
    local rate = 0
    if streams > 0 then
      rate = reader:eval(function()
        stopped = true
        return read_bytes
      end) - bytes
    end
    net:advance(1)
    print(('%.3f %.1f'):format(p99 * 1000, rate / took / 1e6))
  end

  small(near, near, 0)
  small(near, near, 1)
  small(one, one, 0)
  small(one, one, 1)
  small(one, two, 1)
]]

describe('small calls beside a stream without end', function()
  local rows

  setup(function()
    local dir = process.temp_dir { ['app.lua'] = SCRIPT }
    local run = process.perilune_run('run', 'app.lua', '--cpu-limit', '60', { cwd = dir })
    assert(run.code == 0, run.stdout .. run.stderr)
    rows = {}
    for p99, rate in run.stdout:gmatch '(%S+) (%S+)\n' do
      rows[#rows + 1] = { p99 = tonumber(p99), rate = tonumber(rate) }
    end
  end)

  it('take little longer than without it, on one link', function()
    assert.is_true(rows[2].p99 < 2 * rows[1].p99 + 1, rows[2].p99)
    assert.is_true(rows[2].rate > 95, rows[2].rate)
  end)

  it('and through a relay, which both pass', function()
    assert.is_true(rows[4].p99 < 2 * rows[3].p99 + 1, rows[4].p99)
    assert.is_true(rows[4].rate > 95, rows[4].rate)
  end)

  it('also when the stream is of another caller behind the relay', function()
    assert.is_true(rows[5].p99 < 2 * rows[3].p99 + 1, rows[5].p99)
    assert.is_true(rows[5].rate > 95, rows[5].rate)
  end)
end)
