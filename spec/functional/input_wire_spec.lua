-- The caller's stream at the byte: protocol.md, 4 to 6. One end is a stranger who may break it.

local cluster = require 'spec.support.cluster'
local stranger = require 'spec.support.stranger'
local testing = require 'perilune.testing'
local message = testing.wire.message

-- luacheck: globals mesh report, ignore 211/guard 431

local S = stranger
local NORMAL, MORE, CALLEE = S.NORMAL, S.MORE, S.CALLEE
local WINDOW_ITEMS, WINDOW_BYTES, BODY_WINDOW = 1024, 256 * 1024, 65536

local function credit(items, bytes) return message.encode('credit', { items = items, bytes = bytes }) end

local function granted(frame)
  local m = assert(message.decode('credit', frame.body))
  return m.items or 0, m.bytes or 0
end

--- One string as an item.
local function item(text) return string.char(#text + 2) .. '\x91' .. string.char(0xa0 + #text) .. text end

local UP = { label = 1, flags = NORMAL, aux = 1 }

local function server()
  mesh.action('collect', function()
    local all = {}
    for chunk in mesh.input() do all[#all + 1] = chunk end
    return table.concat(all, ' ')
  end)
  mesh.action('first', function()
    local input <close> = mesh.input()
    report(input())
    input:close()
    mesh.sleep(1)
    return 'done'
  end)
  mesh.action('deaf', function() mesh.sleep(1) end)
  mesh.action('waits', function()
    local ok, err = pcall(function()
      for chunk in mesh.input() do report(chunk) end
      report 'ended'
    end)
    if not ok then report(err.code) end
    error(err, 0)
  end)
  mesh.action('own', function() return 'mine' end)
  mesh.action('slowly', function(pause)
    for _ in mesh.input() do mesh.sleep(pause) end
  end)
end

cluster.describe('the caller of a handler with input', { 'mem' }, function(over)
  local net, n, s

  before_each(function()
    net = over.net
    n = net:node('n', {}, server)
    s = S.greet(net, n, { message_max = 100000 })
  end)

  local function metric(name) return net:metrics()[name] end

  local function lives()
    s:call(9001, 'own')
    assert.equal('\x91\xa4mine', s:receive(S.RESULT, 9001).body)
  end

  it('may not send before that reads, and then a window of it', function()
    s:call(1, 'deaf', { input = true })
    assert.same({}, s:waiting())
    s:call(3, 'collect', { input = true })
    local f = s:receive(S.CREDIT)
    assert.equal(3, f.label)
    assert.same({ WINDOW_ITEMS, WINDOW_BYTES - BODY_WINDOW }, { granted(f) })
    local up = { label = 3, flags = NORMAL, aux = 1 }
    s:send(S.DATA, item 'a', up)
    s:send(S.DATA, item 'b' .. item 'c', { label = 3, flags = NORMAL, aux = 2 })
    s:send(S.END, '', { label = 3, flags = NORMAL })
    assert.equal('\x91\xa5a b c', s:receive(S.RESULT, 3).body)
    s:send(S.CANCEL, message.encode('cancel', { call_id = 1 }), { label = 1 })
    assert.equal('CANCELLED', s:error(1).code)
  end)

  it('is granted what was consumed, and in time where that goes slowly', function()
    s:call(1, 'collect', { input = true })
    local items, bytes = granted(s:receive(S.CREDIT))
    for _ = 1, 511 do s:send(S.DATA, item 'x', UP) end
    assert.same({}, s:waiting())
    s:send(S.DATA, item 'x', UP)
    assert.same({ 512, 512 * #item 'x' }, { granted(s:receive(S.CREDIT)) })
    assert.same({ WINDOW_ITEMS, WINDOW_BYTES - BODY_WINDOW }, { items, bytes })
    s:close()

    local t = S.greet(net, n)
    t:call(1, 'slowly', { input = true }, '\x91\x02')
    t:receive(S.CREDIT)
    for _ = 1, 3 do t:send(S.DATA, item 'x', UP) end
    net:advance(3)
    local taken = { 0, 0 }
    repeat
      local more, size = granted(t:receive(S.CREDIT))
      taken = { taken[1] + more, taken[2] + size }
    until taken[1] >= 3
    assert.same({ 3, 3 * #item 'x' }, taken)
  end)

  it('is granted at once what was consumed of one read', function()
    local chunk = string.char(0x80 | 15004 & 0x7f, 15004 >> 7) .. '\x91\xda' .. string.pack('>s2', ('y'):rep(15000))
    local items, bytes
    for label = 1, 21, 2 do -- a slice of the handler may end in the midst of it, but not every time
      s:call(label, 'collect', { input = true })
      s:receive(S.CREDIT, label)
      s:write(S.frame(S.DATA, chunk, { label = label, flags = NORMAL, aux = 1 }):rep(12))
      items, bytes = granted(s:receive(S.CREDIT, label))
      if items == 12 then break end
    end
    assert.same({ 12, 12 * #chunk }, { items, bytes })
  end)

  it('may send an item in fragments, with arguments in fragments before it', function()
    s:call(1, 'collect', { input = true, body_len = 2000 }, '\xdc\x00\x00', { flags = MORE })
    s:send(S.BODY, ('\xc0'):rep(1997), { label = 1 })
    s:close()

    local t = S.greet(net, n)
    local args = '\xdc\x07\xd0' .. ('\xc0'):rep(2000)
    t:call(1, 'collect', { input = true, body_len = #args }, args:sub(1, 1000), { flags = MORE })
    t:send(S.BODY, args:sub(1001), { label = 1, flags = NORMAL })
    t:receive(S.CREDIT)
    local long = '\x91\xda\x07\xd0' .. ('y'):rep(2000)
    t:send(S.DATA, '\xd4\x0f' .. long:sub(1, 500), { label = 1, flags = NORMAL | MORE })
    t:send(S.BODY, long:sub(501, 1500), { label = 1, flags = NORMAL | MORE })
    t:send(S.BODY, long:sub(1501), { label = 1, flags = NORMAL, aux = 1 })
    t:send(S.END, '', { label = 1 })
    assert.equal(long, t:receive(S.RESULT, 1).body)
  end)

  it('is told when the handler reads no more, once, and what comes then does no harm', function()
    s:call(1, 'first', { input = true })
    s:receive(S.CREDIT)
    s:send(S.DATA, item 'a', UP)
    s:send(S.DATA, item 'b', UP)
    local stop = s:receive(S.STOP)
    assert.same({ 1, '', CALLEE }, { stop.label, stop.body, stop.flags })
    s:send(S.DATA, 'garbage', UP)
    s:send(S.BODY, 'garbage', UP)
    s:send(S.END, '', UP)
    s:send(S.END, '', UP)
    assert.same({}, s:waiting())
    assert.equal('\x91\xa4done', s:receive(S.RESULT, 1).body)
    s:send(S.DATA, item 'c', UP)
    assert.same({}, s:waiting())
    assert.same({ 'a' }, n:reported())
    assert.equal(5, metric 'frames_stale')
    lives()
  end)

  it('who had ended already is told nothing', function()
    s:call(1, 'first', { input = true })
    s:receive(S.CREDIT)
    s:send(S.DATA, item 'a', UP)
    s:send(S.END, '', UP)
    assert.same({}, s:waiting())
    assert(s:receive(S.RESULT, 1))
  end)

  it('whose end comes without the last of a stream is no end', function()
    s:call(1, 'waits', { input = true })
    s:receive(S.CREDIT)
    s:send(S.DATA, item 'a', UP)
    n:wait_reports(1)
    s:send(S.CANCEL, message.encode('cancel', { call_id = 1 }), { label = 1 })
    assert.equal('CANCELLED', s:error(1).code)
    assert.same({ 'a', 'CANCELLED' }, n:reported())
    s:call(3, 'waits', { input = true })
    s:receive(S.CREDIT, 3)
    s:close()
    n:wait_reports(3)
    assert.equal('PEER_LOST', n:reported()[3])
  end)

  it('who sends a chunk that is too long has his call ended, not his link', function()
    local m = net:node('m', { max_message = 1024 }, server)
    local t = S.greet(net, m)
    t:call(1, 'collect', { input = true })
    t:receive(S.CREDIT)
    t:send(S.DATA, '\xe9\x08' .. ('x'):rep(500), { label = 1, flags = MORE })
    assert.equal('TOO_LARGE', t:error(1).code)
    t:send(S.BODY, ('x'):rep(501), { label = 1, aux = 1 })
    t:call(3, 'own')
    assert(t:receive(S.RESULT, 3))
  end)

  local BROKEN = {
    ['a chunk for a call without input'] = function()
      s:call(1, 'deaf')
      s:send(S.DATA, item 'a', UP)
    end,
    ['an end of a call without input'] = function()
      s:call(1, 'deaf')
      s:send(S.END, '', UP)
    end,
    ['a chunk before there is credit'] = function()
      s:call(1, 'deaf', { input = true })
      s:send(S.DATA, item 'a', UP)
    end,
    ['more chunks than were granted'] = function()
      s:call(1, 'collect', { input = true })
      local items = granted(s:receive(S.CREDIT))
      s:send(S.DATA, ('\x01\x90'):rep(items + 1), { label = 1, aux = items + 1 })
    end,
    ['more bytes than were granted'] = function()
      s:call(1, 'slowly', { input = true }, '\x91\xcd\x10\x00')
      s:receive(S.CREDIT)
      local long = '\x80\x7f' .. ('x'):rep(16256)
      s:write(S.frame(S.DATA, long, UP):rep(WINDOW_BYTES // #long + 2))
    end,
    ['a chunk after the end'] = function()
      s:call(1, 'deaf', { input = true })
      s:send(S.END, '', UP)
      s:send(S.DATA, item 'a', UP)
    end,
    ['an end after the end'] = function()
      s:call(1, 'deaf', { input = true })
      s:send(S.END, '', UP)
      s:send(S.END, '', UP)
    end,
    ['an end with a body'] = function()
      s:call(1, 'deaf', { input = true })
      s:send(S.END, 'x', UP)
    end,
    ['an end in the midst of a chunk'] = function()
      s:call(1, 'collect', { input = true })
      s:receive(S.CREDIT)
      s:send(S.DATA, '\x0aabc', { label = 1, flags = MORE })
      s:send(S.END, '', UP)
    end,
    ['a chunk in the midst of the arguments'] = function()
      s:call(1, 'collect', { input = true, body_len = 100 }, '\x90', { flags = MORE })
      s:send(S.DATA, item 'a', UP)
    end,
    ['a chunk that is none'] = function()
      s:call(1, 'collect', { input = true })
      s:receive(S.CREDIT)
      s:send(S.DATA, '\x7fabc', UP)
    end,
    ['a stop from the caller'] = function()
      s:call(1, 'collect', { input = true })
      s:send(S.STOP, '', UP)
    end,
  }
  for what, act in pairs(BROKEN) do
    it('who sends ' .. what .. ' breaks the protocol', function()
      act()
      assert.equal('PROTOCOL', s:goodbye().code)
      assert.equal(1, metric 'protocol_errors')
      s = S.greet(net, n)
      lives()
    end)
  end

  it('whom nobody knows is counted', function()
    s:send(S.DATA, item 'a', { label = 7, aux = 1 })
    s:send(S.END, '', { label = 9 })
    s:send(S.STOP, '', { label = 2, flags = CALLEE })
    s:send(S.STOP, '', { label = 11 })
    lives()
    assert.equal(4, metric 'frames_stale')
  end)

  it('opens a thousand of them at most', function()
    for i = 0, 999 do s:call(2 * i + 1, 'deaf', i % 2 == 0 and { input = true } or { input = true, stream = true }) end
    s:call(2001, 'deaf', { input = true })
    assert.equal('BUSY', s:error(2001).code)
  end)
end)

cluster.describe('the callee of a call with input', { 'mem' }, function(over)
  local net, n, s

  before_each(function()
    net = over.net
    n = net:node('n', {}, server)
    s = S.greet(net, n, {})
    s:offer { 'evil' }
  end)

  --- The node calls the stranger.
  local function called(code)
    local task = n:start(code)
    return task, assert(s:receive(S.CALL))
  end

  local function sends()
    mesh.wait 'evil'
    local stream <close> = mesh.stream 'evil'
    local i = 0
    while stream:send(i) do i = i + 1 end
    return i, stream:result()
  end

  local function answer(f, type, body) s:send(type, body, { label = f.label, flags = CALLEE | NORMAL }) end

  it('gets nothing before it grants it, and then no more than that', function()
    local task, f = called(sends)
    net:advance(1)
    assert.same({}, s:waiting())
    answer(f, S.CREDIT, credit(3, 0))
    local got = 0
    for _, frame in ipairs(s:waiting()) do
      assert.same({ S.DATA, f.label }, { frame.type, frame.label })
      got = got + frame.aux
    end
    assert.equal(3, got)
    answer(f, S.RESULT, '\x91\x05')
    local sent, result = task:wait()
    assert.is_true(sent >= 3)
    assert.equal(5, result)
  end)

  it('that stops gets no more, not even the rest of a chunk', function()
    local task, f = called(function()
      mesh.wait 'evil'
      local stream <close> = mesh.stream 'evil'
      local said = stream:send(('x'):rep(100000))
      local again = stream:send(1)
      stream:finish()
      return said, again, stream:result()
    end)
    answer(f, S.CREDIT, credit(1, 0))
    local sent = 0
    for _, frame in ipairs(s:waiting()) do sent = sent + #frame.body end
    assert.equal(BODY_WINDOW, sent)
    s:take_all(S.DATA)
    s:take_all(S.BODY)
    answer(f, S.STOP, '')
    answer(f, S.STOP, 'of a later version')
    answer(f, S.CREDIT, credit(10, 1000000))
    assert.same({}, s:waiting())
    answer(f, S.RESULT, '\x91\x06')
    assert.same({ false, false, 6 }, { task:wait() })
  end)

  it('that refuses is replaced, with everything that waits', function()
    local t = S.greet(net, n, {})
    t:offer { 'evil' }
    net:settle()
    local task = n:start(function()
      mesh.wait 'evil'
      local stream <close> = mesh.stream 'evil'
      for i = 1, 3 do stream:send(i) end
      stream:finish()
      return stream:result()
    end)
    net:wait(function() return #s:waiting() + #t:waiting() > 0 end)
    local one, other = s, t
    if #s:waiting() == 0 then one, other = t, s end
    local f = one:receive(S.CALL)
    one:send(S.ERROR, message.encode('error', { code = -3, outcome = 1 }), { label = f.label, flags = CALLEE })
    f = other:receive(S.CALL)
    other:send(S.CREDIT, credit(10, 0), { label = f.label, flags = CALLEE })
    local all = ''
    while #all < 9 do all = all .. other:receive(S.DATA).body end
    assert.equal('\x02\x91\x01\x02\x91\x02\x02\x91\x03', all)
    assert(other:receive(S.END))
    other:send(S.RESULT, '\x90', { label = f.label, flags = CALLEE })
    task:wait()
  end)

  it('that refuses when it has begun is not replaced', function()
    local t = S.greet(net, n, {})
    t:offer { 'evil' }
    net:settle()
    local task = n:start(sends)
    net:wait(function() return #s:waiting() + #t:waiting() > 0 end)
    local one = #s:waiting() > 0 and s or t
    local f = one:receive(S.CALL)
    one:send(S.CREDIT, credit(1, 0), { label = f.label, flags = CALLEE })
    one:receive(S.DATA)
    one:send(S.ERROR, message.encode('error', { code = -3, outcome = 1 }), { label = f.label, flags = CALLEE })
    assert.equal('BUSY', task:failure().code)
  end)

  it('that refuses when it has said stop is not replaced: what waited was dropped', function()
    local t = S.greet(net, n, {})
    t:offer { 'evil' }
    net:settle()
    local task = n:start(sends)
    net:wait(function() return #s:waiting() + #t:waiting() > 0 end)
    local one = #s:waiting() > 0 and s or t
    local f = one:receive(S.CALL)
    one:send(S.STOP, '', { label = f.label, flags = CALLEE })
    one:send(S.ERROR, message.encode('error', { code = -3, outcome = 1 }), { label = f.label, flags = CALLEE })
    assert.equal('BUSY', task:failure().code)
    assert.same({ 0, 0 }, { #s:waiting(), #t:waiting() })
  end)

  it('that stops a call without input breaks the protocol', function()
    local task, f = called(function()
      mesh.wait 'evil'
      mesh.call 'evil'
    end)
    answer(f, S.STOP, '')
    assert.equal('PROTOCOL', s:goodbye().code)
    assert.equal('PROTOCOL', task:failure().code)
  end)
end)

cluster.describe('a relay of a call with input', { 'mem' }, function(over)
  local A, B = ('a'):rep(16), ('b'):rep(16)
  local MINE = 2 -- first label that the node gives out on a link that it was dialled on
  local TO_B = { label = MINE, flags = CALLEE }
  local net, a, b

  before_each(function()
    net = over.net
    local r = net:node('r', {}, server)
    a = S.greet(net, r, { id = A, name = 'a' })
    b = S.greet(net, r, { id = B, name = 'b' })
    a:call(1, 'x', { destination = testing.wire.msgpack.put('bin', B), hops_left = 16, input = true })
    local m = assert(message.decode('call', b:receive(S.CALL).body))
    assert.is_true(m.input)
  end)

  local function metric(name) return net:metrics()[name] end

  it('passes credit, chunks, fragments and the end, as they come', function()
    b:send(S.CREDIT, credit(3, 0), TO_B)
    assert.equal(credit(3, 0), a:receive(S.CREDIT, 1).body)
    a:send(S.DATA, item 'a' .. item 'b', { label = 1, flags = NORMAL, aux = 2 })
    a:send(S.DATA, '\x05ab', { label = 1, flags = NORMAL | MORE })
    a:send(S.BODY, 'cde', { label = 1, flags = NORMAL, aux = 1 })
    a:send(S.END, '', { label = 1, flags = NORMAL })
    local f = b:receive(S.DATA)
    assert.same({ item 'a' .. item 'b', 2, MINE, NORMAL }, { f.body, f.aux, f.label, f.flags })
    f = b:receive(S.DATA)
    assert.same({ '\x05ab', NORMAL | MORE }, { f.body, f.flags })
    f = b:receive(S.BODY)
    assert.same({ 'cde', 1 }, { f.body, f.aux })
    assert.equal('', b:receive(S.END).body)
    b:send(S.RESULT, S.NOTHING, TO_B)
    assert(a:receive(S.RESULT, 1))
    assert.equal(0, metric 'relays_now')
  end)

  it('passes on that the callee reads no more, once, and then nothing but control', function()
    b:send(S.CREDIT, credit(100, 0), TO_B)
    a:receive(S.CREDIT, 1)
    a:send(S.DATA, '\x05ab', { label = 1, flags = NORMAL | MORE })
    b:receive(S.DATA)
    b:send(S.STOP, '', TO_B)
    b:send(S.STOP, '', TO_B)
    local stop = a:receive(S.STOP)
    assert.same({ 1, '', CALLEE }, { stop.label, stop.body, stop.flags })
    a:send(S.BODY, 'cde', { label = 1, flags = NORMAL, aux = 1 })
    a:send(S.DATA, item 'a', UP)
    a:send(S.END, '', UP)
    assert.same({}, b:waiting())
    assert.same({}, a:waiting())
    assert.equal(3, metric 'frames_stale')
    a:send(S.CANCEL, message.encode('cancel', { call_id = 1 }), { label = 1 })
    assert(b:receive(S.CANCEL))
    b:send(S.ERROR, message.encode('error', { code = -9 }), TO_B)
    assert.equal('CANCELLED', a:error(1).code)
    assert.equal(0, metric 'relays_now')
  end)

  it('passes an info, once', function()
    b:send(S.INFO, '\x91\x05', TO_B)
    assert.equal('\x91\x05', a:receive(S.INFO, 1).body)
    b:send(S.INFO, '\x91\x05', TO_B)
    assert.equal('PROTOCOL', a:error(1).code)
    assert(b:receive(S.PATH_LOST, MINE))
  end)

  for what, act in pairs {
    ['an info from the caller'] = function() a:send(S.INFO, '\x91\x05', { label = 1 }) end,
    ['chunks without credit'] = function() a:send(S.DATA, item 'a', UP) end,
    ['a chunk after the end'] = function()
      b:send(S.CREDIT, credit(3, 0), TO_B)
      a:receive(S.CREDIT, 1)
      a:send(S.END, '', UP)
      a:send(S.DATA, item 'a', UP)
    end,
    ['an end with a body'] = function() a:send(S.END, 'x', UP) end,
    ['an end that goes on'] = function() a:send(S.END, '', { label = 1, flags = MORE }) end,
    ['a stop from the caller'] = function() a:send(S.STOP, '', { label = 1 }) end,
  } do
    it('ends it for ' .. what, function()
      act()
      assert.equal('PROTOCOL', a:error(1).code)
      assert(b:receive(S.PATH_LOST, MINE))
      assert.same({ 0, 1, 0 }, { metric 'relays_now', metric 'relays_broken', metric 'relay_bytes_now' })
    end)
  end
end)
