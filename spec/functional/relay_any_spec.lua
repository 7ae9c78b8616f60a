--- Calls that name no node, at a relay between strangers: protocol.md, 4.12.

local cluster = require 'spec.support.cluster'
local stranger = require 'spec.support.stranger'
local testing = require 'perilune.testing'
local message, put, errors = testing.wire.message, testing.wire.msgpack.put, testing.base.err

-- luacheck: globals mesh

local S = stranger
local NORMAL, MORE, CALLEE = S.NORMAL, S.MORE, S.CALLEE
local A, B, C = ('a'):rep(16), ('b'):rep(16), ('c'):rep(16)

cluster.describe('a call to anybody, at a relay,', { 'mem' }, function(over)
  local net, r, a, b, c, R

  before_each(function()
    net = over.net
    r = net:node('r', {}, function() mesh.action('own', function() return 'mine' end) end)
    R = testing.base.id.parse(r:id())
    a = S.greet(net, r, { id = A, name = 'a', role = 1 })
    b = S.greet(net, r, { id = B, name = 'b' })
    c = S.greet(net, r, { id = C, name = 'c' })
    b:offer { 'x', 'only' }
    c:offer { 'x' }
    net:settle()
  end)

  local function metric(name) return net:metrics()[name] end

  local function call(label, fields, args, with)
    local m = { hops_left = 16 }
    for key, value in pairs(fields or {}) do m[key] = value end
    a:call(label, fields and fields.action or 'x', m, args, with)
  end

  --- The call that has come to b or c, decoded, with its frame and the stranger to which it came.
  local function arrived()
    net:settle()
    for _, s in ipairs { b, c } do
      for _, f in ipairs(s:waiting()) do
        if f.type == S.CALL then
          s:receive(S.CALL)
          local m, took = message.decode('call', f.body)
          return m, s, f, f.body:sub(took + 1)
        end
      end
    end
    error('no call came', 2)
  end

  local function refuse(s, f, code, outcome, node)
    s:send(S.ERROR, message.encode('error', { code = errors.find(code), outcome = outcome, node = node }),
      { label = f.label, flags = CALLEE | NORMAL })
  end

  local function succeed(s, f) s:send(S.RESULT, S.NOTHING, { label = f.label, flags = CALLEE | NORMAL }) end

  local function refused(code, text, label)
    local e = a:error(label or 1)
    assert.same({ code, R }, { e.code, e.node })
    assert.matches(text, e.message)
    assert.is_nil(e.outcome, 'not_sent is 0')
    assert.same({ {}, {} }, { b:waiting(), c:waiting() })
    assert.equal(0, metric 'relays_now')
  end

  it('goes on to one of the providers, as to a node that the caller named', function()
    call(1, { timeout_ms = 5000, exclude = message.exclude { B } }, put('array', 1) .. put('int', 7))
    local m, s, f, args = arrived()
    assert.equal(c, s)
    assert.same({ put('bin', C), 15, A, 5000, put('array', 1) .. put('int', 7) },
      { m.destination, m.hops_left, m.source, m.timeout_ms, args })
    assert.is_nil(m.exclude)
    succeed(s, f)
    assert(a:receive(S.RESULT, 1))
    net:settle()
    assert.same({ 1, 0 }, { metric 'relays_chosen', metric 'relays_now' })
  end)

  it('goes to whoever has the fewest in flight, whoever sent them there', function()
    local d = S.greet(net, r, { id = ('d'):rep(16), name = 'd' })
    for i = 1, 4 do d:call(2 * i - 1, 'x', { destination = put('bin', B), hops_left = 16 }) end
    net:settle()
    for i = 1, 6 do call(2 * i - 1) end
    net:settle()
    assert.same({ 4 + 1, 5 }, { b:take_all(S.CALL), c:take_all(S.CALL) })
  end)

  it('comes with its arguments in fragments, too', function()
    local all = ('0123456789abcdef'):rep(2048)
    call(1, { body_len = #all }, all:sub(1, 16000), { flags = MORE })
    a:send(S.BODY, all:sub(16001, 32000), { label = 1, flags = NORMAL | MORE })
    a:send(S.BODY, all:sub(32001), { label = 1, flags = NORMAL })
    local _, s, _, args = arrived()
    assert.equal(all, args .. s:receive(S.BODY).body .. s:receive(S.BODY).body)
  end)

  it('is run by the relay itself when that provides the action', function()
    call(1, { action = 'own' })
    assert(a:receive(S.RESULT, 1))
    call(3, { action = '_ping' })
    assert(a:receive(S.RESULT, 3))
    assert.equal(0, metric 'relays_chosen')
  end)

  it('but not when that has refused it already', function()
    call(1, { action = 'own', exclude = message.exclude { R } })
    refused('NOT_FOUND', "provides the action 'own'")
  end)

  it('is refused when nobody is left', function()
    call(1, { exclude = message.exclude { B, C } })
    refused('NOT_FOUND', "provides the action 'x'")
    call(3, { action = 'y' })
    refused('NOT_FOUND', "provides the action 'y'", 3)
  end)

  it('never comes back to who sent it', function()
    b:call(1, 'only', { hops_left = 16 })
    local e = b:error(1)
    assert.same({ 'NOT_FOUND', R }, { e.code, e.node })
    b:call(3, 'x', { hops_left = 16 })
    assert.equal(put('bin', C), message.decode('call', c:receive(S.CALL).body).destination)
    b:call(5, 'x', { hops_left = 16, source = C })
    assert.equal('NOT_FOUND', b:error(5).code)
    assert.same({}, b:waiting())
  end)

  it('is refused when it may travel no further, or has come round', function()
    call(1, { hops_left = 1 })
    refused('NO_ROUTE', 'no further')
    b:call(1, 'x', { hops_left = 5, source = R })
    assert.equal('NO_ROUTE', b:error(1).code)
  end)

  it('goes no further than it may', function()
    local between = net:node('between', { peers = { r }, relay = true })
    net:node('far', { peers = { between } }, function() mesh.action('deep', function() return 'far' end) end)
    net:advance(0.1)
    call(1, { action = 'deep', hops_left = 2 })
    refused('NO_ROUTE', 'no path on to a provider')
    call(3, { action = 'deep', hops_left = 3 })
    assert(a:receive(S.RESULT, 3))
  end)

  it('without any hops is one to the node itself', function()
    call(1, { hops_left = 0 })
    local e = a:error(1)
    assert.same({ 'NOT_FOUND', 1, R }, { e.code, e.outcome, e.node })
  end)

  it('is refused by a node that stops', function()
    call(1)
    local _, s, f = arrived()
    r:stop(1)
    net:settle()
    call(3)
    local e = a:error(3)
    assert.same({ 'NO_ROUTE', R }, { e.code, e.node })
    succeed(s, f)
    assert(a:receive(S.RESULT, 1))
  end)

  it('with a list of nodes that is none is refused, and the link stays', function()
    for i, raw in ipairs {
      put('array', 1) .. put('str', B), put('array', 1) .. put('bin', 'short'), put('array', 1) .. put('nil'),
      put('array', 33) .. (put('bin', B)):rep(33), put('array', 2) .. put('bin', B) .. put('array', 0),
      put('array', 700) .. (put('bin', C)):rep(700),
    } do
      call(2 * i - 1, { exclude = raw })
      refused('INVALID', 'none, or too long', 2 * i - 1)
      call(2 * i + 99, { action = 'own', exclude = raw })
      refused('INVALID', 'none, or too long', 2 * i + 99)
    end
    call(1001)
    local _, s, f = arrived()
    succeed(s, f)
    assert(a:receive(S.RESULT, 1001))
  end)

  it('tells its caller which node refused it', function()
    call(1)
    local _, s, f = arrived()
    local id = s == b and B or C
    refuse(s, f, 'BUSY', 1, id)
    local e = a:error(1)
    assert.same({ 'BUSY', 1, id }, { e.code, e.outcome, e.node })
    net:settle()
    for i = 1, 3 do -- it rests, so the relay does not choose it either
      call(2 * i + 1)
      local _, other, g = arrived()
      assert.is_true(other ~= s)
      succeed(other, g)
      a:receive(S.RESULT, 2 * i + 1)
    end
  end)

  it('goes round a provider that does not answer', function()
    for i = 1, 20 do
      call(2 * i - 1)
      local _, s, f = arrived()
      if s == b then
        a:send(S.CANCEL, message.encode('cancel', { call_id = 1, code = errors.find 'TIMEOUT' }), { label = 2 * i - 1 })
        b:receive(S.CANCEL)
        refuse(b, f, 'TIMEOUT', 2, B)
      else
        succeed(c, f)
      end
      net:settle()
    end
    local health = r:eval(function()
      local list = {}
      for _, p in ipairs(mesh.explain('x').candidates) do list[p.name] = p.health end
      return list
    end)
    assert.same({ b = 'ejected', c = 'ok' }, health)
  end)

  it('counts at the relay until it ends, however it ends', function()
    local function in_flight()
      return r:eval(function()
        local n = 0
        for _, p in ipairs(mesh.explain('x').candidates) do n = n + p.outstanding end
        return n
      end)
    end
    local ends = {
      function(s, f) succeed(s, f) end,
      function(s, f) refuse(s, f, 'BUSY', 1, B) end,
      function(s, f) s:send(S.ERROR, 'nonsense', { label = f.label, flags = CALLEE | NORMAL }) end,
      function(s, f) s:send(S.END, '', { label = f.label, flags = CALLEE | NORMAL }) end,
      function(s, f)
        s:send(S.PATH_LOST, message.encode('path_lost', { node = C }), { label = f.label, flags = CALLEE })
      end,
      function() a:send(S.PATH_LOST, message.encode('path_lost', { node = C }), { label = 11 }) end,
      function() a:close() end,
    }
    for i, finish in ipairs(ends) do
      call(2 * i - 1)
      local _, s, f = arrived()
      assert.equal(1, in_flight())
      finish(s, f)
      net:settle()
      assert.equal(0, in_flight(), i)
    end
    assert.equal(0, metric 'relays_now')
  end)
end)
