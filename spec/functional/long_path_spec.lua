--- Streams over links that are long: 25 ms each way and 20 MB a second, in virtual time. A window as large as the first
--- one would let a quarter of that through.

local process = require 'spec.support.process'

local SCRIPT = [[
  local mesh = require 'perilune'
  local net <close> = mesh.sim { nodes = 0, seed = 3 }
  local function script()
    mesh.action('bulk', function(seconds)
      local block, till = ('x'):rep(16384), mesh.now() + seconds
      while mesh.now() < till do coroutine.yield(block) end
    end)
    mesh.action('take', function(seconds)
      local n, began = 0, mesh.now()
      for block in mesh.input() do
        if mesh.now() - began > seconds / 2 then n = n + #block end
      end
      return n / (mesh.now() - began - seconds / 2)
    end)
  end
  local function member() mesh.action('of ' .. mesh.self().name, print) end
  local server = net:node('server', { script = script })
  local near = net:node('near', { script = member, peers = { server } })
  local far = net:node('far', { script = member, peers = { near } })
  for _, pair in ipairs { { server, near }, { near, far } } do
    local path = { latency = 0.025, jitter = 0, bandwidth = 20000000 }
    net:path(pair[1], pair[2], path)
    net:path(pair[2], pair[1], path)
  end
  net:advance(5)

  --- MB a second of the second half of so many seconds.
  local function down(seconds)
    local stream <close> = mesh.with { idle = 0 }.stream('bulk', seconds)
    local bytes, began = 0, mesh.now()
    for block in stream do
      if mesh.now() - began > seconds / 2 then bytes = bytes + #block end
    end
    return bytes / (mesh.now() - began - seconds / 2)
  end

  local function up(seconds)
    local block, till = ('x'):rep(16384), mesh.now() + seconds
    local function next_block() return mesh.now() < till and block or nil end
    return mesh.with { idle = 0, input = next_block }.call('take', seconds)
  end

  for _, node in ipairs { near, far } do
    local name = node:eval 'return mesh.self().name'
    for _, way in ipairs { down, up } do print(('%s %.1f'):format(name, node:eval(way, 1.2) / 1e6)) end
  end
]]

describe('a stream over long links', function()
  local rates

  setup(function()
    local dir = process.temp_dir { ['app.lua'] = SCRIPT }
    local run = process.perilune_run('run', 'app.lua', '--cpu-limit', '60', { cwd = dir, timeout = 60 })
    assert(run.code == 0, run.stdout .. run.stderr)
    rates = {}
    for name, rate in run.stdout:gmatch '(%S+) (%S+)\n' do
      rates[name] = rates[name] or {}
      table.insert(rates[name], tonumber(rate))
    end
  end)

  -- What is in the kernels of a connection bounds it to 10 MB a second.
  it('has a window that lets all through, down and up', function()
    assert.is_true(rates.near[1] > 9, rates.near[1])
    assert.is_true(rates.near[2] > 9, rates.near[2])
  end)

  it('has one over a relay, too, where the way is twice as long', function()
    assert.is_true(rates.far[1] > 9, rates.far[1])
    assert.is_true(rates.far[2] > 9, rates.far[2])
  end)
end)
