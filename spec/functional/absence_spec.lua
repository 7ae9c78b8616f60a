--- A node that did not run for a while: it was stopped, or starved. What had come for it is read before it
--- declares anybody lost.

local cluster = require 'spec.support.cluster'
local nodes = require 'spec.support.nodes'
local process = require 'spec.support.process'
local socket = require 'spec.support.socket'
local stranger = require 'spec.support.stranger'
local testing = require 'perilune.testing'

-- Impatient, beside one that puts up with everything.
local IMPATIENT = { '--heartbeat=0.1', '--heartbeat-misses=3' }
local PATIENT = { '--heartbeat=0.1', '--heartbeat-misses=1000' }

local function stopped_for(node, seconds, meanwhile)
  node.process:kill 'STOP'
  if meanwhile then meanwhile() end
  process.sleep(seconds)
  node.process:kill 'CONT'
end

describe('a node that was stopped', function()
  local a, b
  before_each(function()
    b = nodes.start('b', { listen = 'tcp', flags = PATIENT }, [[
      mesh.action('add', function(x, y) return x + y end)
    ]])
    a = nodes.start('a', { peers = { b }, flags = IMPATIENT })
    a:eval "mesh.wait 'add'"
  end)

  local function assert_unlost()
    assert.equal(0, a:metrics().peers_lost)
    assert.equal(0, b:metrics().peers_lost)
    assert.equal(1, a:metrics().links_opened)
  end

  --- Begins something at a that b cannot answer before a is stopped.
  local function begin_unanswered(code)
    b.process:kill 'STOP'
    local begun = a:begin(code)
    process.sleep(0.1)
    return begun, function() b.process:kill 'CONT' end
  end

  it('takes the answer to its ping that came meanwhile', function()
    local ping, answer = begin_unanswered "return require('perilune.core.node').ping('b', 0.6)"
    stopped_for(a, 1.5, answer)
    assert.is_true(ping:wait() > 1)
    assert_unlost()
  end)

  it('takes the result of its call that came meanwhile', function()
    local call, answer = begin_unanswered "return mesh.with { timeout = 0.6 }.call('add', 1, 2)"
    stopped_for(a, 1.5, answer)
    assert.equal(3, call:wait())
    assert_unlost()
  end)

  it('does not hold its own absence against the distance of others', function()
    local _, answer = begin_unanswered 'return 1'
    stopped_for(a, 3, answer)
    local cost = a:wait_for "for _, n in ipairs(mesh.nodes()) do if n.name == 'b' then return n.cost end end"
    assert.is_true(cost < 0.3, cost)
    assert_unlost()
  end)

  it('again and again, as by a machine that has no time for it, loses nobody', function()
    for _ = 1, 10 do
      stopped_for(a, 0.4)
      process.sleep(0.01)
    end
    assert.equal(3, a:eval "return mesh.call('add', 1, 2)")
    assert_unlost()
  end)

  it('still finds out who died meanwhile', function()
    stopped_for(a, 0.5, function() b.process:kill 'STOP' end)
    local lost = process.now()
    a:wait_for 'return mesh.metrics().peers_lost == 1'
    assert.is_true(process.now() - lost < 2 * process.patience)
    b.process:kill 'CONT'
  end)
end)

describe('a node that was starved', function()
  it('reads what strangers said in time', function()
    local net = cluster.new 'tcp'
    local node = net:node('a', { handshake_timeout = 0.3 })
    local s = socket.connect(node:url())
    net:wait(function() return net:metrics().links_opened == 0 end) -- it has been accepted
    net:advance(0.05)
    s:send(testing.wire.frame.preamble() .. stranger.frame(stranger.HELLO, testing.wire.message.encode('hello', {
      id = ('s'):rep(16), nonce = ('n'):rep(16), epoch = 1, name = 's',
    })) .. stranger.frame(stranger.READY))
    process.sleep(0.6) -- the loop of the node is in this process, and does not run
    net:wait(function() return net:metrics().links_opened == 1 end, 'the link')
    assert.equal(0, net:metrics().handshakes_failed)
    s:close()
    net:finish()
  end)
end)
