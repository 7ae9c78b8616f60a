--- A call to the only provider, which is behind a relay that has no way there now: protocol.md, 5.9.

local cluster = require 'spec.support.cluster'
local stranger = require 'spec.support.stranger'
local testing = require 'perilune.testing'
local message, put, errors = testing.wire.message, testing.wire.msgpack.put, testing.base.err

-- luacheck: globals mesh

local S = stranger
local RELAY, FAR = ('r'):rep(16), ('f'):rep(16)

local function str(text) return put('str', text) end

local function link(to)
  return { kind = 'link', name = to, attributes = put('map', 1) .. str 'cost' .. put('int', 1000) }
end

local NODE = { kind = 'node', name = '', attributes = put('map', 0) }

cluster.describe('a call to the only provider, behind a relay,', { 'mem' }, function(over)
  local net, a, relay

  local function advert(items, fields)
    local m = { version = 1, snapshot = true, complete = true, items = message.items(items) }
    for key, value in pairs(fields or {}) do m[key] = value end
    relay:send(S.ADVERT, message.encode('advert', m))
  end

  before_each(function()
    net = over.net
    a = net:node('a', {}, function() mesh.action('of a', print) end)
    relay = S.greet(net, a, { id = RELAY, name = 'relay' })
    local id = testing.base.id.parse(a:id())
    advert { NODE, link(id), link(FAR) }
    local action = { kind = 'action', name = 'far', attributes = put('map', 0) }
    advert({ NODE, link(RELAY), action }, { origin = FAR, epoch = 1 })
    net:advance(0.1)
  end)

  local function called()
    local f = assert(relay:receive(S.CALL))
    return assert(message.decode('call', f.body)), f.label
  end

  local function refuse(label, code, outcome)
    relay:send(S.ERROR, message.encode('error', { code = errors.find(code), outcome = outcome, node = RELAY }),
      { label = label, flags = S.CALLEE | S.NORMAL })
  end

  it('is tried again a little later when it was not sent', function()
    local text = ('x'):rep(5000)
    local call = a:start(function(x) return mesh.call('far', x) end, text)
    local first, label = called()
    assert.equal(put('bin', FAR), first.destination)
    refuse(label, 'NO_ROUTE', 0)
    assert.same({}, relay:waiting())
    local again, next_label = called()
    assert.same({ 1, first.call_id }, { again.attempt, again.first_call_id })
    relay:send(S.RESULT, put('array', 1) .. put('int', 7), { label = next_label, flags = S.CALLEE | S.NORMAL })
    assert.equal(7, call:wait())
  end)

  it('is not when it may have run', function()
    local call = a:start(function() return mesh.call 'far' end)
    local _, label = called()
    refuse(label, 'PEER_LOST', 2)
    local err = call:failure()
    assert.same({ 'PEER_LOST', 'unknown' }, { err.code, err.outcome })
    assert.same({}, relay:waiting())
  end)

  it('fails at last, or at once when it may not be repeated', function()
    local call = a:start(function() return mesh.call 'far' end)
    for _ = 1, 2 do refuse(select(2, called()), 'NO_ROUTE', 0) end
    local err = call:failure()
    assert.same({ 'NO_ROUTE', 'not_sent' }, { err.code, err.outcome })
    call = a:start(function() return mesh.with { retries = 0 }.call 'far' end)
    refuse(select(2, called()), 'NO_ROUTE', 0)
    assert.equal('NO_ROUTE', call:failure().code)
    assert.same({}, relay:waiting())
  end)
end)
