-- Frames at random from both ends of a relay: it may refuse and end what it likes, and keeps nothing.

local cluster = require 'spec.support.cluster'
local stranger = require 'spec.support.stranger'
local testing = require 'perilune.testing'
local message, put = testing.wire.message, testing.wire.msgpack.put

-- luacheck: globals mesh

local S = stranger
local NORMAL, MORE, CALLEE = S.NORMAL, S.MORE, S.CALLEE
local A, B, C = ('a'):rep(16), ('b'):rep(16), ('c'):rep(16)

cluster.describe('a relay between two that send frames at random', { 'mem' }, function(over)
  local TYPES = { S.CALL, S.BODY, S.DATA, S.END, S.RESULT, S.ERROR, S.CREDIT, S.CANCEL, S.PATH_LOST, S.STOP, S.INFO }

  local function body_of(type, to)
    if type == S.CALL then
      return message.encode('call', {
        call_id = math.random(1 << 40), action = 'x', destination = put('bin', to), hops_left = math.random(0, 20),
        stream = math.random(2) == 1, input = math.random(2) == 1,
        window_items = math.random(0, 5), window_bytes = math.random(0, 3000),
        body_len = math.random(0, 5000),
      }) .. ('x'):rep(math.random(0, 2000))
    elseif type == S.CREDIT then
      return message.encode('credit', { items = math.random(0, 3), bytes = math.random(0, 2000) })
    elseif type == S.CANCEL then
      return message.encode('cancel', { call_id = 1, code = -math.random(1, 12) })
    elseif type == S.PATH_LOST then
      return message.encode('path_lost', { node = C })
    elseif type == S.ERROR then
      return message.encode('error', { code = -math.random(1, 30) })
    end
    return ('y'):rep(math.random(0, 1500))
  end

  it('goes on, and keeps nothing', function()
    local net = over.net
    local r = net:node('r', {}, function() mesh.action('own', function() return 'mine' end) end)
    local seed = os.time()
    math.randomseed(seed)
    for round = 1, 20 do
      local ends = { S.greet(net, r, { id = A }), S.greet(net, r, { id = B }) }
      local opened = { 0, 0 }
      for _ = 1, 500 do
        local i = math.random(2)
        local type = TYPES[math.random(#TYPES)]
        local label, flags = math.random(1, 12) * 2, NORMAL | CALLEE -- of a circuit that the relay may have opened
        if type == S.CALL then
          opened[i] = opened[i] + 1
          label, flags = opened[i] * 2 - 1, NORMAL
        elseif math.random(2) == 1 then
          label, flags = math.random(1, opened[i] + 1) * 2 - 1, NORMAL
        end
        if math.random(4) == 1 and type ~= S.CREDIT then flags = flags | MORE end
        local aux = type == S.DATA and math.random(0, 3) or 0
        ends[i]:send(type, body_of(type, i == 1 and B or A), { label = label, flags = flags, aux = aux })
        if math.random(10) == 1 then net:settle() end
      end
      net:settle()
      assert.is_false(r:over(), 'seed ' .. seed .. ', round ' .. round)
      for _, s in ipairs(ends) do s:close() end
      net:advance(0.1)
      local m = net:metrics()
      assert.same({ 0, 0 }, { m.relays_now, m.relay_bytes_now }, 'seed ' .. seed .. ', round ' .. round)
    end
    assert.is_true(net:metrics().relays_opened > 100)
  end)
end)
