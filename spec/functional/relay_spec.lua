-- A node between two strangers, which are the ends of the circuits that it relays: protocol.md, 4 to 6.

local cluster = require 'spec.support.cluster'
local stranger = require 'spec.support.stranger'
local testing = require 'perilune.testing'
local message, put = testing.wire.message, testing.wire.msgpack.put

-- luacheck: globals mesh

local S = stranger
local NORMAL, MORE, CALLEE = S.NORMAL, S.MORE, S.CALLEE
local A, B, C = ('a'):rep(16), ('b'):rep(16), ('c'):rep(16)
local BODY_WINDOW = 65536
local MINE = 2 -- first label that the node gives out on a link that it was dialled on

local function credit(items, bytes) return message.encode('credit', { items = items, bytes = bytes }) end

local function cancel(label, code) return message.encode('cancel', { call_id = label, code = code }) end

local function decode(kind, frame) return assert(message.decode(kind, frame.body)) end

local function item(text) return string.char(#text) .. text end

cluster.describe('a relay', { 'mem' }, function(over)
  local net, r, a, b

  before_each(function()
    net = over.net
    r = net:node('r', { drain = 5 }, function() mesh.action('own', function() return 'mine' end) end)
    a = S.greet(net, r, { id = A, name = 'a' })
    b = S.greet(net, r, { id = B, name = 'b' })
  end)

  --- a calls b.
  local function call(label, fields, args, with)
    local m = { destination = put('bin', B), hops_left = 16 }
    for key, value in pairs(fields or {}) do m[key] = value end
    a:call(label, 'x', m, args, with)
  end

  --- a calls b, and the call has arrived: returns it.
  local function arrived(label, fields, args, with)
    call(label, fields, args, with)
    return assert(b:receive(S.CALL))
  end

  local function metric(name) return net:metrics()[name] end

  local function calls_still() -- the relay is well
    a:call(40001, 'own')
    assert(a:receive(S.RESULT, 40001))
    b:call(40001, 'own')
    assert(b:receive(S.RESULT, 40001))
  end

  local function over_with(label)
    net:settle()
    assert.equal(0, metric 'relays_now', label)
    assert.equal(0, metric 'relay_bytes_now', label)
  end

  local function silent(s) assert.same({}, s:waiting()) end

  describe('passes on', function()
    it('a call and its result', function()
      local args = put('array', 1) .. put('str', 'hello')
      local f = arrived(1, { timeout_ms = 5000, meta = put('map', 0), idle_ms = 7, codec = 1 }, args)
      assert.same({ MINE, NORMAL }, { f.label, f.flags })
      local m, took = message.decode('call', f.body)
      assert.same({
        call_id = 1, action = 'x', timeout_ms = 5000, meta = put('map', 0), idle_ms = 7, codec = 1,
        source = A, destination = put('bin', B), hops_left = 15,
      }, { call_id = m.call_id, action = m.action, timeout_ms = m.timeout_ms, meta = m.meta, idle_ms = m.idle_ms,
        codec = m.codec, source = m.source, destination = m.destination, hops_left = m.hops_left })
      assert.equal(args, f.body:sub(took + 1))

      b:send(S.RESULT, 'anything', { label = MINE, flags = NORMAL | CALLEE })
      local result = a:receive(S.RESULT)
      assert.same({ 1, 'anything', NORMAL | CALLEE }, { result.label, result.body, result.flags })
      over_with 'a result'
    end)

    it('an error as it is', function()
      arrived(1)
      local body = message.encode('error', { code = -14, outcome = 3, message = 'boom', details = put('int', 5) })
      b:send(S.ERROR, body, { label = MINE, flags = NORMAL | CALLEE })
      assert.equal(body, a:receive(S.ERROR, 1).body)
      over_with 'an error'
    end)

    it('calls both ways at once, each with labels of its own', function()
      for i = 1, 5 do call(2 * i - 1, { call_id = i }) end
      b:call(1, 'y', { destination = put('bin', A), hops_left = 2 })
      for i = 1, 5 do
        local f = b:receive(S.CALL)
        assert.same({ 2 * i, i }, { f.label, decode('call', f).call_id })
      end
      local back = a:receive(S.CALL)
      assert.same({ MINE, B, 1 }, { back.label, decode('call', back).source, decode('call', back).hops_left })
      a:send(S.RESULT, 'back', { label = MINE, flags = NORMAL | CALLEE })
      for i = 5, 1, -1 do b:send(S.RESULT, 'r' .. i, { label = 2 * i, flags = NORMAL | CALLEE }) end
      for i = 1, 5 do assert.equal('r' .. i, a:receive(S.RESULT, 2 * i - 1).body) end
      assert.equal('back', b:receive(S.RESULT, 1).body)
      over_with 'six calls'
    end)

    it('arguments and results in fragments', function()
      local all = ('0123456789abcdef'):rep(2048)
      arrived(1, { body_len = #all }, all:sub(1, 16000), { flags = MORE })
      a:send(S.BODY, all:sub(16001, 32000), { label = 1, flags = NORMAL | MORE })
      a:send(S.BODY, all:sub(32001), { label = 1, flags = NORMAL })
      local first, last = b:receive(S.BODY), b:receive(S.BODY)
      assert.same({ NORMAL | MORE, NORMAL }, { first.flags, last.flags })
      assert.equal(all:sub(16001), first.body .. last.body)

      b:send(S.RESULT, '\0\0\64\0' .. ('x'):rep(16000), { label = MINE, flags = NORMAL | CALLEE | MORE })
      b:send(S.BODY, ('y'):rep(384), { label = MINE, flags = NORMAL | CALLEE })
      assert(a:receive(S.RESULT))
      assert.equal(('y'):rep(384), a:receive(S.BODY).body)
      over_with 'fragments'
    end)

    it('the items of a stream, and credit for them', function()
      arrived(1, { stream = true, window_items = 2, window_bytes = 100 })
      b:send(S.DATA, item 'one' .. item 'two', { label = MINE, flags = NORMAL | CALLEE, aux = 2 })
      local data = a:receive(S.DATA)
      assert.same({ 1, 2, item 'one' .. item 'two' }, { data.label, data.aux, data.body })
      a:send(S.CREDIT, credit(1, 50), { label = 1 })
      local granted = b:receive(S.CREDIT)
      assert.same({ MINE, credit(1, 50) }, { granted.label, granted.body })
      b:send(S.DATA, item 'three', { label = MINE, flags = NORMAL | CALLEE, aux = 1 })
      assert.equal(item 'three', a:receive(S.DATA).body)
      b:send(S.RESULT, S.NOTHING, { label = MINE, flags = NORMAL | CALLEE })
      assert(a:receive(S.RESULT))
      over_with 'a stream'
    end)

    it('a cancel, and the answer to it', function()
      arrived(1)
      a:send(S.CANCEL, cancel(1, -8), { label = 1 })
      a:send(S.CANCEL, cancel(1), { label = 1 })
      local f = b:receive(S.CANCEL)
      assert.same({ MINE, cancel(1, -8) }, { f.label, f.body })
      b:send(S.ERROR, message.encode('error', { code = -9 }), { label = MINE, flags = NORMAL | CALLEE })
      assert.equal('CANCELLED', a:error(1).code)
      over_with 'a cancel'
      silent(b) -- one cancel is enough
    end)

    it('the caller that a relay before it has told, but not what a leaf says', function()
      arrived(1, { source = C })
      local leaf = S.greet(net, r, { id = ('d'):rep(16), role = 1 })
      leaf:call(1, 'x', { destination = put('bin', B), hops_left = 16, source = C })
      local m = decode('call', b:receive(S.CALL))
      assert.equal(('d'):rep(16), m.source)
      b:close()
      assert.equal(put('map', 1) .. put('int', 1) .. put('bin', testing.base.id.parse(r:id())),
        a:receive(S.PATH_LOST).body)
      leaf:close()
    end)
  end)

  describe('refuses at once', function()
    local function refused(code, text, label, others)
      local e = a:error(label or 1)
      assert.equal(code, e.code)
      assert.equal(testing.base.id.parse(r:id()), e.node)
      assert.matches(text, e.message)
      assert.is_nil(e.outcome, 'not_sent is 0')
      silent(b)
      assert.equal(others or 0, metric 'relays_now')
    end

    it('what no path leads to', function()
      call(1, { destination = put('bin', C) })
      refused('NO_ROUTE', 'no path on to the node ' .. ('63'):rep(16))
    end)
    it('what would go back to where it came from', function()
      call(1, { destination = put('bin', A) })
      refused('NO_ROUTE', 'no path')
    end)
    it('what has no hops left', function()
      call(1, { hops_left = 1 })
      refused('NO_ROUTE', 'no further')
    end)
    it('what never had any', function()
      call(1, { hops_left = 0 })
      refused('NO_ROUTE', 'no further')
    end)
    it('what came back to its caller', function()
      call(1, { source = testing.base.id.parse(r:id()) })
      refused('NO_ROUTE', 'came back')
    end)
    it('sets of nodes', function()
      call(1, { destination = put('array', 2) .. put('bin', B) .. put('bin', C) })
      refused('NO_ROUTE', 'sets of nodes')
    end)
    it('a destination that is none', function()
      for i, raw in ipairs { put('int', 1), put('nil'), put('bin', 'short'), put('str', B), put('map', 0) } do
        call(2 * i - 1, { destination = raw })
        refused('NO_ROUTE', 'sets', 2 * i - 1)
      end
    end)
    it('a first frame without room for what a relay adds', function()
      local head = #message.encode('call', { call_id = 1, action = 'x', destination = put('bin', B), hops_left = 16 })
      call(1, nil, ('x'):rep(16384 - head))
      refused('TOO_LARGE', 'no room')
      call(3, nil, ('x'):rep(16384 - head - 64))
      assert.is_true(#b:receive(S.CALL).body <= 16384)
      b:send(S.RESULT, S.NOTHING, { label = MINE, flags = NORMAL | CALLEE })
    end)
    it('new calls while it stops, and ends the old ones first', function()
      arrived(1)
      r:stop()
      net:advance(0.1)
      call(3)
      refused('NO_ROUTE', 'stopping', 3, 1)
      assert.is_false(r:over())
      b:send(S.RESULT, S.NOTHING, { label = MINE, flags = NORMAL | CALLEE })
      assert(a:receive(S.RESULT, 1))
      net:wait(function() return (r:over()) end, 'its end')
    end)
    it('and cuts what has not ended when its time to stop is over', function()
      arrived(1)
      r:stop(0.5)
      assert(a:receive(S.PATH_LOST, 1))
      assert(b:receive(S.PATH_LOST, MINE))
    end)
    it('and takes few hops for many', function()
      assert.equal(15, decode('call', arrived(1, { hops_left = 1 << 40 })).hops_left)
      b:send(S.RESULT, S.NOTHING, { label = MINE, flags = NORMAL | CALLEE })
    end)
    it('more than a link may have', function()
      local label = 1
      for _ = 1, 16384 do
        call(label)
        label = label + 2
        if label % 1000 == 1 then net:settle() end
      end
      call(label)
      local e = a:error(label)
      assert.equal('BUSY', e.code)
      assert.is_true(e.retry_after_ms > 0)
      calls_still()
      b:close()
      net:settle()
      over_with 'the bound'
    end)
  end)

  describe('when the path breaks', function()
    local HERE

    before_each(function() HERE = put('map', 1) .. put('int', 1) .. put('bin', testing.base.id.parse(r:id())) end)

    it('behind it, tells the caller where', function()
      arrived(1)
      arrived(3, { stream = true, window_items = 1, window_bytes = 1 })
      b:close()
      assert.equal(HERE, a:receive(S.PATH_LOST, 1).body)
      assert.equal(HERE, a:receive(S.PATH_LOST, 3).body)
      over_with 'a lost callee'
      assert.equal(2, metric 'relays_lost')
    end)

    it('before it, tells the callee where', function()
      arrived(1)
      a:close()
      assert.equal(HERE, b:receive(S.PATH_LOST, MINE).body)
      over_with 'a lost caller'
    end)

    it('further away, passes the place on', function()
      local there = put('map', 1) .. put('int', 1) .. put('bin', C)
      arrived(1)
      arrived(3)
      b:send(S.PATH_LOST, there, { label = MINE, flags = CALLEE })
      assert.equal(there, a:receive(S.PATH_LOST, 1).body)
      a:send(S.PATH_LOST, there, { label = 3 })
      assert.equal(there, b:receive(S.PATH_LOST, MINE + 2).body)
      over_with 'a path lost elsewhere'
    end)

    it('forgets the circuit: what still comes is dropped', function()
      arrived(1)
      a:close()
      b:receive(S.PATH_LOST)
      b:send(S.RESULT, S.NOTHING, { label = MINE, flags = NORMAL | CALLEE })
      b:send(S.CREDIT, credit(1, 1), { label = MINE, flags = CALLEE })
      silent(b)
      assert.equal(2, metric 'frames_stale')
      assert.is_false(b:is_closed())
    end)
  end)

  describe('ends a circuit, and no link,', function()
    local STREAM = { stream = true, window_items = 2, window_bytes = 100 }
    local RESULT_BEGINS = { label = MINE, flags = NORMAL | CALLEE | MORE }
    local FROM_B = { label = MINE, flags = NORMAL | CALLEE }

    local from_callee = {
      ['more items than there is credit for'] = function()
        b:send(S.DATA, item 'a' .. item 'b' .. item 'c', { label = MINE, flags = NORMAL | CALLEE, aux = 3 })
      end,
      ['more bytes than there is credit for'] = function()
        b:send(S.DATA, ('x'):rep(101), { label = MINE, flags = NORMAL | CALLEE, aux = 1 })
      end,
      ['frames that cost nothing'] = function() b:send(S.DATA, '', FROM_B) end,
      ['a body without a beginning'] = function() b:send(S.BODY, 'x', FROM_B) end,
      ['a body past its credit'] = function()
        b:send(S.RESULT, ('x'):rep(100), RESULT_BEGINS)
        b:send(S.BODY, ('x'):rep(101), FROM_B)
      end,
      ['a result in the midst of another'] = function()
        b:send(S.RESULT, ('x'):rep(100), RESULT_BEGINS)
        b:send(S.RESULT, S.NOTHING, FROM_B)
      end,
      ['an end from the callee'] = function() b:send(S.END, '', FROM_B) end,
      ['a cancel from the callee'] = function() b:send(S.CANCEL, cancel(1), { label = MINE, flags = CALLEE }) end,
      ['credit that is no map'] = function() b:send(S.CREDIT, 'x', { label = MINE, flags = CALLEE }) end,
      ['a lost path that is no map'] = function() b:send(S.PATH_LOST, 'x', { label = MINE, flags = CALLEE }) end,
      ['absurd credit'] = function() b:send(S.CREDIT, credit(0, 1 << 30), { label = MINE, flags = CALLEE }) end,
    }
    for what, act in pairs(from_callee) do
      it('for ' .. what .. ' from the callee', function()
        arrived(1, STREAM)
        act()
        local e = a:error(1)
        assert.same({ 'PROTOCOL', 2 }, { e.code, e.outcome })
        assert(b:receive(S.PATH_LOST, MINE))
        over_with(what)
        assert.equal(1, metric 'relays_broken')
        calls_still()
      end)
    end

    local from_opener = {
      ['a body without a beginning'] = function() a:send(S.BODY, 'x', { label = 1, flags = NORMAL }) end,
      ['a result'] = function() a:send(S.RESULT, S.NOTHING, { label = 1, flags = NORMAL }) end,
      ['an error'] = function() a:send(S.ERROR, message.encode('error', { code = -1 }), { label = 1 }) end,
      ['items without credit'] = function() a:send(S.DATA, item 'a', { label = 1, aux = 1 }) end,
      ['two ends'] = function()
        a:send(S.END, '', { label = 1 })
        a:send(S.END, '', { label = 1 })
      end,
      ['a cancel that is no map'] = function() a:send(S.CANCEL, 'x', { label = 1 }) end,
      ['absurd credit'] = function() a:send(S.CREDIT, credit(1 << 30, 0), { label = 1 }) end,
    }
    for what, act in pairs(from_opener) do
      it('for ' .. what .. ' from the opener', function()
        arrived(1, STREAM)
        act()
        assert.equal('PROTOCOL', a:error(1).code)
        assert(b:receive(S.PATH_LOST, MINE))
        over_with(what)
        calls_still()
      end)
    end

    it('for arguments past their credit', function()
      arrived(1, { body_len = 1 << 20 }, ('x'):rep(100), { flags = MORE })
      for _ = 1, 5 do a:send(S.BODY, ('x'):rep(16000), { label = 1, flags = NORMAL | MORE }) end
      assert.equal('PROTOCOL', a:error(1).code)
      assert.equal(4, #b:waiting() - 1, 'within the window they went on')
      assert.is_true(4 * 16000 <= BODY_WINDOW)
      calls_still()
    end)

    it('and what comes for it afterwards is dropped', function()
      arrived(1, STREAM)
      b:send(S.BODY, 'x', FROM_B)
      for _ = 1, 3 do b:send(S.DATA, item 'a', { label = MINE, flags = NORMAL | CALLEE, aux = 1 }) end
      a:error(1)
      silent(a)
      assert.equal(3, metric 'frames_stale')
    end)
  end)
end)

cluster.describe('a relay to a node that does not read', { 'unix' }, function(over)
  local net, r, a, b
  local sent -- labels of a's calls

  before_each(function()
    net, sent = over.net, {}
    r = net:node('r', {}, function() mesh.action('own', function() return 'mine' end) end)
    a = S.greet(net, r, { id = A })
    b = S.greet_reader(net, r, { id = B })
    b.raw.paused = true
    -- fill the link: some calls are written, the last ones wait in the relay
    while net:metrics().relay_bytes_now < 100000 do
      local label = #sent * 2 + 1
      local text = ('%05d'):format(label):rep(3000)
      a:call(label, 'x', { destination = put('bin', B), hops_left = 16, stream = true, window_items = 1 },
        put('array', 1) .. put('str', text))
      sent[#sent + 1] = label
      if #sent % 5 == 0 then net:settle() end
    end
  end)

  it('goes on with everything else', function()
    a:call(40001, 'own')
    assert(a:receive(S.RESULT, 40001))
  end)

  it('brings every call in its order once that reads again', function()
    b.raw.paused = false
    for i, label in ipairs(sent) do
      local f = b:receive(S.CALL)
      local m, took = message.decode('call', f.body)
      assert.same({ 2 * i, label }, { f.label, m.call_id })
      assert.equal(put('array', 1) .. put('str', ('%05d'):format(label):rep(3000)), f.body:sub(took + 1))
    end
    net:settle()
    assert.equal(0, net:metrics().relay_bytes_now)
  end)

  it('answers the cancel of a call that still waits itself: it was not sent', function()
    local last = sent[#sent]
    a:send(S.CANCEL, cancel(last), { label = last })
    local e = a:error(last)
    assert.same({ 'CANCELLED' }, { e.code, e.outcome })
    local before = sent[#sent - 1]
    a:send(S.CANCEL, cancel(before, -8), { label = before })
    assert.equal('TIMEOUT', a:error(before).code)
    b.raw.paused = false
    for _ = 1, #sent - 2 do assert(b:receive(S.CALL)) end
    assert.same({}, b:waiting())
  end)

  it('adds up the credit that waits, behind the call it is for', function()
    local last = sent[#sent]
    for _ = 1, 1000 do a:send(S.CREDIT, credit(2, 3), { label = last }) end
    net:settle()
    b.raw.paused = false
    local f = b:receive(S.CREDIT)
    assert.equal(credit(2000, 3000), f.body)
    assert.equal(2 * #sent, f.label)
    local calls = 0
    for _, other in ipairs(b:waiting()) do calls = calls + (other.type == S.CALL and 1 or 0) end
    assert.equal(#sent, calls)
  end)

  it('tells calls that were not sent from those that may have been', function()
    b:close()
    local lost, unsent = 0, 0
    net:wait(function() return net:metrics().relays_now == 0 end, 'the end of the path')
    for _, f in ipairs(a:waiting()) do
      if f.type == S.PATH_LOST then
        lost = lost + 1
      else
        local e = assert(message.decode('error', f.body))
        assert.same({ testing.base.err.find 'PEER_LOST' }, { e.code, e.outcome })
        unsent = unsent + 1
      end
    end
    assert.equal(#sent, lost + unsent)
    assert.is_true(unsent >= 6 and lost > 0)
  end)
end)
