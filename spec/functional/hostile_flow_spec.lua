-- Neighbours that abuse the flow of calls and streams: everything they cost is bounded and counted, and nobody else
-- notices. What breaks the protocol outright is in hostile_spec.lua.

local cluster = require 'spec.support.cluster'
local stranger = require 'spec.support.stranger'
local testing = require 'perilune.testing'
local message, put = testing.wire.message, testing.wire.msgpack.put

-- luacheck: globals mesh report, ignore 211/guard 431

local S = stranger
local CALLEE = S.CALLEE
local MIB = 1024 * 1024

local function server()
  mesh.action('echo', function(...) return ... end)
  mesh.action('flood', function(size)
    local guard <close> = setmetatable({}, { __close = function() report 'closed' end })
    report 'began'
    local block = ('x'):rep(size or 1000)
    while true do coroutine.yield(block) end
  end)
end

local function cancel(id) return message.encode('cancel', { call_id = id }) end

local function credit(items, bytes) return message.encode('credit', { items = items, bytes = bytes }) end

cluster.describe('a neighbour that', { 'mem', 'tcp' }, function(over)
  local net, a, b

  before_each(function()
    net = over.net
    b = net:node('b', { buffer_limit = 8 * MIB }, server)
    a = net:node('a', { peers = { b } })
    a:eval(function() mesh.call('echo', 1) end)
  end)

  local function count(what)
    local n = 0
    for _, said in ipairs(b:reported()) do n = n + (said == what and 1 or 0) end
    return n
  end

  local function others_are_served()
    assert.equal(1, a:eval(function() return mesh.call('echo', 1) end))
    assert.equal(3, a:eval(function()
      local n = 0
      for _ in mesh.stream 'flood' do
        n = n + 1
        if n == 3 then return n end
      end
    end))
  end

  local function forgotten(s)
    s:close()
    net:wait(function() return net:metrics().requests_now == 0 end, 'the end of its circuits')
    net:wait(function() return count 'closed' == count 'began' end, 'the end of its handlers')
    net:advance(0.3)
    assert.equal(0, net:metrics().held_bytes_now)
  end

  it('opens and cancels streams in a loop leaves nothing', function()
    local s = stranger.greet(net, b)
    for round = 0, 9 do
      local bytes = {}
      for i = 1, 500 do
        local id = round * 500 + i
        local head = message.encode('call', {
          call_id = id, action = 'flood', stream = true, window_items = 10, window_bytes = 5000,
        })
        bytes[#bytes + 1] = S.frame(S.CALL, head .. S.NOTHING, { label = 2 * id - 1, flags = S.NORMAL })
        bytes[#bytes + 1] = S.frame(S.CANCEL, cancel(id), { label = 2 * id - 1 })
      end
      s:write(table.concat(bytes))
      net:settle()
    end
    net:wait(function() return net:metrics().requests_now == 0 end, 'the end of its circuits')
    others_are_served()
    assert.equal(0, net:metrics().protocol_errors)
    forgotten(s)
  end)

  it('opens and cancels calls whose arguments never come leaves nothing', function()
    local s = stranger.greet(net, b)
    for id = 1, 2000 do
      s:call(2 * id - 1, 'echo', { body_len = 60000000 }, ('x'):rep(100), { flags = S.MORE })
      s:send(S.CANCEL, cancel(id), { label = 2 * id - 1 })
    end
    net:wait(function() return net:metrics().requests_now == 0 end, 'the end of its circuits')
    others_are_served()
    forgotten(s)
  end)

  it('begins bodies that never end is refused, and loses those that hold the most', function()
    local s = stranger.greet(net, b)
    local piece = ('x'):rep(16000)
    for id = 1, 60 do -- each as far as its credit goes
      s:call(2 * id - 1, 'echo', { body_len = 60000000 }, piece, { flags = S.MORE })
      s:write(S.frame(S.BODY, piece, { label = 2 * id - 1, flags = S.MORE }):rep(4))
      net:settle()
    end
    assert.is_true(net:metrics().memory_refused > 0, 'new ones are refused')
    net:settle()
    local m = net:metrics()
    assert.is_true(m.held_bytes_now < 8 * MIB, m.held_bytes_now)
    assert.equal(0, m.protocol_errors)
    forgotten(s)
    others_are_served()
  end)

  it('grants the most that may be granted gets no more than the link takes', function()
    local s = stranger.greet(net, b)
    local bytes = over.kind == 'mem' and 1 << 24 or 1 << 30 -- without a socket between them all of it arrives
    s:call(1, 'flood', { stream = true, window_items = 1 << 30, window_bytes = bytes },
      put('array', 1) .. put('int', 60000))
    for _ = 1, 20 do s:receive(S.DATA, 1) end
    assert.is_true(net:metrics().held_bytes_now < 8 * MIB)
    others_are_served()
    s:send(S.CREDIT, credit(1, 1), { label = 1 }) -- past 2^30, or not: what was used up is
    s:send(S.CANCEL, cancel(1), { label = 1 })
    net:wait(function() return net:metrics().requests_now == 0 end, 'its end')
    forgotten(s)
  end)

  it('sends chunks for streams that it has ended is borne', function()
    local s = stranger.greet(net, b)
    s:offer { 'evil' }
    local call = b:start(function()
      mesh.wait 'evil'
      local stream <close> = mesh.stream 'evil'
      return stream:result()
    end)
    local label = assert(s:receive(S.CALL)).label
    s:send(S.RESULT, S.NOTHING, { label = label, flags = CALLEE })
    call:wait()
    local before = net:metrics().frames_stale
    for _ = 1, 1000 do s:send(S.DATA, '\x01\x90', { label = label, flags = CALLEE, aux = 1 }) end
    net:wait(function() return net:metrics().frames_stale >= before + 1000 end, 'them to be counted')
    assert.equal(0, net:metrics().protocol_errors)
    others_are_served()
    forgotten(s)
  end)
end)

describe('a neighbour that never reads', function()
  it('is cut off at a bound, and others are served', function()
    local net = cluster.new 'unix'
    local b = net:node('b', {}, server)
    local a = net:node('a', { peers = { b } })
    local s = stranger.greet_reader(net, b)
    s.raw.paused = true
    local pings = S.frame(S.PING, ('p'):rep(64)):rep(1000) -- each is answered
    for _ = 1, 200 do
      if net:metrics().links_cut > 0 then break end
      if not pcall(s.write, s, pings) then break end
      net.native:run(0.001)
    end
    net:wait(function() return net:metrics().links_cut == 1 end, 'the end of its link')
    assert.is_true(net:metrics().held_bytes_now < 9 * MIB)
    assert.equal(1, a:eval(function() return mesh.call('echo', 1) end))
    s:close()
    net:finish()
  end)
end)
