--- Streams that their consumers leave: the producers go, and everything that was kept for them.

local cluster = require 'spec.support.cluster'
local nodes = require 'spec.support.nodes'
local process = require 'spec.support.process'
local testing = require 'perilune.testing'

local mem = testing.base.mem

local PRODUCER = [[
  mesh = require 'perilune'
  local alive, closed = 0, 0
  mesh.action('endless', function(text, pause)
    alive = alive + 1
    local guard <close> = setmetatable({}, { __close = function() alive, closed = alive - 1, closed + 1 end })
    local i = 0
    while true do
      i = i + 1
      coroutine.yield(i, text)
      if pause then mesh.sleep(pause) end
    end
  end)
  mesh.action('count', function() return alive, closed end)
]]

--- Opens so many streams, so many of them at once, and leaves each in the midst of its loop. One of twenty comes as
--- fast as it can, so that a whole window of it is on the way.
local ABANDON = [[
  local count, width, text = ...
  local left, waiting, tasks = 0, count, {}
  for i = 1, width do
    tasks[i] = mesh.spawn(function()
      while waiting > 0 do
        waiting = waiting - 1
        local last = 1 + waiting % 5
        for n, got in mesh.stream('endless', text, waiting % 20 > 0 and 0.001 or nil) do
          if got ~= text then error 'wrong' end
          if n == last then break end
        end
        left = left + 1
      end
    end)
  end
  mesh.all(tasks)
  return left
]]

local TABLES = { 'requests_now', 'requests_queued_now', 'calls_now', 'relays_now', 'relay_bytes_now' }

describe('streams left by break three hops from their producers', function()
  it('leave nothing behind: ten thousand in virtual time', function()
    local net = cluster.new 'mem'
    local s = net:node('s')
    s:eval(PRODUCER)
    local q = net:node('q', { peers = { s } })
    local r = net:node('r', { peers = { q } })
    local c = net:node('c', { peers = { r } })
    c:eval "mesh.wait 'count'"

    local function held()
      net:advance(1)
      for _, node in ipairs { s, c } do node:eval 'collectgarbage() collectgarbage()' end
      net:settle()
      return mem.live(), s:memory() + c:memory()
    end
    c:eval(ABANDON, 2000, 500, 'what is kept for the next')
    local blocks, bytes = held()

    assert.equal(10000, (c:eval(ABANDON, 10000, 500, 'some text')))
    local left = net:now()
    net:wait(function() return net:metrics().requests_now == 0 end, 'the end of the producers')
    assert.is_true(net:now() - left <= 0.05, net:now() - left)
    assert.same({ 0, 12000 }, { s:eval "return mesh.call 'count'" })
    local blocks_after, bytes_after = held()
    local m = net:metrics()
    for _, name in ipairs(TABLES) do assert.equal(0, m[name], name) end
    -- What is kept for the next follows how many were there at once, which follows how long tasks compute.
    assert.is_true(blocks_after - blocks <= 1000, blocks_after - blocks .. ' blocks')
    assert.is_true(bytes_after - bytes <= 8192, bytes_after - bytes .. ' bytes of Lua')
    net:finish()
  end)

  it('leave nothing behind: some hundreds over processes', function()
    local s = nodes.start('s', { listen = 'tcp' }, PRODUCER)
    local q = nodes.start('q', { listen = 'tcp', peers = { s } })
    local r = nodes.start('r', { listen = 'tcp', peers = { q } })
    local c = nodes.start('c', { peers = { r } })
    local all = { s, q, r, c }
    c:eval "mesh.wait 'count'"

    local before = {}
    c:eval(ABANDON, 400, 100, 'what is kept for the next')
    local function resident(node)
      node:eval 'collectgarbage() collectgarbage()'
      return node:rss()
    end
    for i, node in ipairs(all) do before[i] = resident(node) end
    assert.equal(800, (c:eval(ABANDON, 800, 100, 'some text')))
    local left = process.now()
    for _, node in ipairs(all) do
      node:wait_for([[
        local m = mesh.metrics()
        return m.requests_now + m.relays_now + m.relay_bytes_now + m.calls_now == 0
      ]])
    end
    assert.is_true(process.now() - left < 1 * process.patience, process.now() - left)
    assert.same({ 0, 1200 }, { c:eval "return mesh.call 'count'" })
    for i, node in ipairs(all) do
      local grown = resident(node) - before[i] -- roughly: when the collectors ran has a share in it
      assert.is_true(node:is_sanitized() or grown < 2 * 1024 * 1024, ('%s: %d bytes'):format(node.name, grown))
    end
  end)
end)
