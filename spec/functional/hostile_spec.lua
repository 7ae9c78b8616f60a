local cluster = require 'spec.support.cluster'
local stranger = require 'spec.support.stranger'
local testing = require 'perilune.testing'
local message, put = testing.wire.message, testing.wire.msgpack.put

-- luacheck: globals mesh report, ignore 211/guard 431

local S = stranger
local CALLEE = S.CALLEE

local function server()
  mesh.action('echo', function(...) return ... end)
  mesh.action('hold', function()
    local guard <close> = setmetatable({}, { __close = function() report 'closed' end })
    report 'began'
    mesh.sleep(1000)
  end)
  mesh.action('endless', function()
    local guard <close> = setmetatable({}, { __close = function() report 'closed' end })
    report 'began'
    while true do coroutine.yield(('x'):rep(100)) end
  end)
end

--- b calls an action that the stranger offered: returns the call and its CALL frame.
local function called(b, s, code)
  s:offer { 'evil' }
  local call = b:start(code or function()
    mesh.wait 'evil'
    return mesh.call 'evil'
  end)
  return call, assert(s:receive(S.CALL))
end

local function called_stream(b, s)
  return called(b, s, function()
    mesh.wait 'evil'
    local n = 0
    local stream <close> = mesh.stream 'evil'
    for _ in stream do n = n + 1 end
    return n, stream:result()
  end)
end

local function credit(items, bytes) return message.encode('credit', { items = items, bytes = bytes }) end

--- What breaks the protocol: the link is closed with that reason.
local BREAKS = {
  ['a call with a label of the other side'] = function(s) s:call(2, 'echo') end,
  ['a call with label 0'] = function(s) s:call(0, 'echo') end,
  ['a call with a label in use'] = function(s)
    s:call(1, 'hold')
    s:call(1, 'hold')
  end,
  ['a call from the callee'] = function(s) s:call(1, 'echo', nil, nil, { flags = CALLEE }) end,
  ['a call with an empty map'] = function(s) s:send(S.CALL, '\x80\x90', { label = 1 }) end,
  ['a call that is no map'] = function(s) s:send(S.CALL, '\x93\x01\x02\x03', { label = 1 }) end,
  ['a call without a body'] = function(s) s:send(S.CALL, '', { label = 1 }) end,
  ['a call with a wrong type in its map'] = function(s)
    s:send(S.CALL, put('map', 2) .. put('int', 1) .. put('str', 'x') .. put('int', 2) .. put('str', 'echo') .. '\x90',
      { label = 1 })
  end,
  ['a call with a name that is too long'] = function(s)
    local name = put('str', ('n'):rep(256))
    s:send(S.CALL, put('map', 2) .. put('int', 1) .. put('int', 1) .. put('int', 2) .. name .. '\x90', { label = 1 })
  end,
  ['a call whose map is cut off'] = function(s)
    local body = message.encode('call', { call_id = 1, action = 'echo', timeout_ms = 5 })
    s:send(S.CALL, body:sub(1, -2), { label = 1 })
  end,
  ['a call with absurd credit'] = function(s) s:call(1, 'endless', { stream = true, window_items = 1 << 31 }) end,
  ['a call with absurd credit in bytes'] = function(s)
    s:call(1, 'endless', { stream = true, window_bytes = 1 << 40 })
  end,
  ['arguments that announce less than they bring'] = function(s)
    s:call(1, 'echo', { body_len = 5 }, ('x'):rep(10), { flags = S.MORE })
  end,
  ['a body longer than announced'] = function(s)
    s:call(1, 'echo', { body_len = 20 }, ('x'):rep(10), { flags = S.MORE })
    s:send(S.BODY, ('x'):rep(11), { label = 1 })
  end,
  ['a body that ends too early'] = function(s)
    s:call(1, 'echo', { body_len = 20 }, ('x'):rep(10), { flags = S.MORE })
    s:send(S.BODY, ('x'):rep(5), { label = 1 })
  end,
  ['a body without a beginning'] = function(s)
    s:call(1, 'hold')
    s:send(S.BODY, 'xxx', { label = 1 })
  end,
  ['more credit than can be'] = function(s)
    s:call(1, 'endless', { stream = true, window_items = 1, window_bytes = 1000 })
    s:send(S.CREDIT, credit(1 << 30, 1 << 30), { label = 1 })
    s:send(S.CREDIT, credit(1 << 30, 1 << 30), { label = 1 })
  end,
  ['credit that is no map'] = function(s)
    s:call(1, 'hold')
    s:send(S.CREDIT, '\x01', { label = 1 })
  end,
  ['a cancel without a body'] = function(s)
    s:call(1, 'hold')
    s:send(S.CANCEL, '', { label = 1 })
  end,
  ['a result from the caller'] = function(s)
    s:call(1, 'hold')
    s:send(S.RESULT, S.NOTHING, { label = 1 })
  end,
  ['an error from the caller'] = function(s)
    s:call(1, 'hold')
    s:send(S.ERROR, message.encode('error', { code = -1 }), { label = 1 })
  end,
  ['an advert that is garbage'] = function(s) s:send(S.ADVERT, 'garbage') end,
  ['an advert with an item that is none'] = function(s)
    s:send(S.ADVERT, put('map', 2) .. put('int', 1) .. put('int', 1) .. put('int', 4) .. put('array', 1) .. '\x01')
  end,
  ['a frame of the handshake'] = function(s) s:send(S.HELLO, '\x80') end,
  ['a ping that is too long'] = function(s) s:send(S.PING, ('x'):rep(65)) end,
  ['a frame of type 0'] = function(s) s:write(('\0'):rep(12)) end,
  ['a link frame with a label'] = function(s) s:send(S.PING, 'x', { label = 5 }) end,
  ['a circuit frame without a label'] = function(s) s:send(S.CANCEL, message.encode('cancel', { call_id = 1 })) end,
  ['reserved flags'] = function(s) s:send(S.PING, 'x', { flags = 0x80 }) end,
  ['a chunk for a plain call'] = function(s, b)
    local _, f = called(b, s)
    s:send(S.DATA, '\x01\x90', { label = f.label, flags = CALLEE, aux = 1 })
  end,
  ['more chunks than were granted'] = function(s, b)
    local _, f = called_stream(b, s)
    s:send(S.DATA, ('\x01\x90'):rep(1025), { label = f.label, flags = CALLEE, aux = 1025 })
  end,
  ['more bytes than were granted'] = function(s, b)
    local _, f = called(b, s, function()
      mesh.wait 'evil'
      local stream <close> = mesh.stream 'evil'
      stream:next()
      mesh.sleep(1000)
    end)
    s:send(S.DATA, '\x01\x90', { label = f.label, flags = CALLEE, aux = 1 })
    local item = '\x80\x7f' .. ('x'):rep(16256)
    s:write(S.frame(S.DATA, item, { label = f.label, flags = CALLEE, aux = 1 }):rep(20))
  end,
  ['a chunk whose items do not fill it'] = function(s, b)
    local _, f = called_stream(b, s)
    s:send(S.DATA, '\x05\x90', { label = f.label, flags = CALLEE, aux = 1 })
  end,
  ['a chunk with another number of items'] = function(s, b)
    local _, f = called_stream(b, s)
    s:send(S.DATA, '\x01\x90\x01\x90', { label = f.label, flags = CALLEE, aux = 3 })
  end,
  ['an empty chunk'] = function(s, b)
    local _, f = called_stream(b, s)
    s:send(S.DATA, '', { label = f.label, flags = CALLEE })
  end,
  ['a result in the middle of a chunk'] = function(s, b)
    local _, f = called_stream(b, s)
    s:send(S.DATA, '\xe4\x00' .. ('x'):rep(10), { label = f.label, flags = CALLEE | S.MORE })
    s:send(S.RESULT, S.NOTHING, { label = f.label, flags = CALLEE })
  end,
  ['a long result without its length'] = function(s, b)
    local _, f = called(b, s)
    s:send(S.RESULT, 'abc', { label = f.label, flags = CALLEE | S.MORE })
  end,
  ['an error that is garbage'] = function(s, b)
    local _, f = called(b, s)
    s:send(S.ERROR, 'garbage', { label = f.label, flags = CALLEE })
  end,
  ['a cancel from the callee'] = function(s, b)
    local _, f = called(b, s)
    s:send(S.CANCEL, message.encode('cancel', { call_id = 1 }), { label = f.label, flags = CALLEE })
  end,
}

--- What is counted or answered, and the link stays.
local BEARABLE = {
  ['chunks for a call never made'] = function(s)
    s:send(S.DATA, '\x01\x90', { label = 2, flags = CALLEE, aux = 1 })
    s:send(S.DATA, '\x01\x90', { label = 4000, flags = CALLEE, aux = 1 })
  end,
  ['a result for a call never made'] = function(s) s:send(S.RESULT, S.NOTHING, { label = 2, flags = CALLEE }) end,
  ['an error for a call never made'] = function(s) s:send(S.ERROR, 'garbage', { label = 2, flags = CALLEE }) end,
  ['credit, a cancel and a body for a call never made'] = function(s)
    s:send(S.CREDIT, credit(1 << 62, 1 << 62), { label = 99 })
    s:send(S.CANCEL, message.encode('cancel', { call_id = 5 }), { label = 99 })
    s:send(S.BODY, 'x', { label = 99 })
  end,
  ['frames of later versions'] = function(s)
    s:send(200, 'anything', { label = 77 })
    s:send(20, 'anything')
    s:send(50, 'anything', { label = 3 })
  end,
  ['a cancel twice'] = function(s)
    s:call(1, 'hold')
    s:send(S.CANCEL, message.encode('cancel', { call_id = 1 }), { label = 1 })
    s:send(S.CANCEL, message.encode('cancel', { call_id = 1 }), { label = 1 })
    assert.equal('CANCELLED', s:error(1).code)
  end,
  ['unknown keys in a call'] = function(s)
    local body = put('map', 3) .. put('int', 1) .. put('int', 1) .. put('int', 2) .. put('str', 'echo')
      .. put('int', 99) .. put('array', 2) .. '\x01' .. put('str', 'future')
    s:send(S.CALL, body .. S.NOTHING, { label = 1 })
    assert.equal(S.NOTHING, s:receive(S.RESULT, 1).body)
  end,
  ['a call for another node'] = function(s)
    s:call(1, 'echo', { destination = put('bin', ('z'):rep(16)) })
    local err = s:error(1)
    assert.equal('NO_ROUTE', err.code)
    assert.is_nil(err.outcome, 'not_sent is 0')
  end,
  ['a codec of the future'] = function(s)
    s:call(1, 'echo', { codec = 7 })
    assert.equal('INVALID', s:error(1).code)
  end,
  ['a compression that was not agreed on'] = function(s)
    s:call(1, 'echo', { compression = 1 })
    assert.equal('INVALID', s:error(1).code)
  end,
  ['a call of a hidden name'] = function(s)
    s:call(1, '_secret')
    assert.equal('NOT_FOUND', s:error(1).code)
  end,
  ['arguments that are garbage'] = function(s)
    local garbage = { '\xc1', '\x81\x01\x02', 'x', '\x91', '\x91\xa5ab', ('\x91'):rep(100), '\xdd\xff\xff\xff\xff' }
    for i, args in ipairs(garbage) do
      s:call(2 * i - 1, 'echo', nil, args)
      local err = s:error(2 * i - 1)
      assert.is_true(err.code == 'INVALID' or err.code == 'PROTOCOL', err.code)
    end
  end,
  ['arguments that announce gigabytes'] = function(s)
    s:call(1, 'echo', { body_len = 1 << 32 }, ('x'):rep(100), { flags = S.MORE })
    local err = s:error(1)
    assert.equal('TOO_LARGE', err.code)
    assert.equal(1, err.outcome)
  end,
  ['arguments that announce much and do not come'] = function(s)
    s:call(1, 'echo', { body_len = 60000000, timeout_ms = 50 }, ('x'):rep(100), { flags = S.MORE })
  end,
  ['a flood of pings'] = function(s) s:write(S.frame(S.PING, 'pingping'):rep(5000)) end,
  ['items of kinds of the future'] = function(s)
    local items = message.items {
      { kind = 'room', name = 'r' }, { kind = 'action', name = '' }, { kind = '', name = 'x' },
    }
    s:send(S.ADVERT, message.encode('advert', { version = 1, snapshot = true, complete = true, items = items }))
  end,
  ['an advert without items'] = function(s) s:send(S.ADVERT, message.encode('advert', { version = 1 })) end,
  ['an advert of the past'] = function(s)
    s:offer({ 'x' }, { version = 5 })
    s:offer({}, { version = 4 })
  end,
}

cluster.describe('a neighbour that', cluster.kinds, function(over)
  local net, a, b, held

  before_each(function()
    net = over.net
    b = net:node('b', {}, server)
    a = net:node('a', { peers = { b } })
    held = a:start(function() return mesh.with { timeout = 600 }.call 'hold' end)
    b:wait_reports(1)
  end)

  local function everything_else_works()
    assert.equal('running', held:state())
    assert.equal(1, a:eval(function() return mesh.call('echo', 1) end))
    assert.equal(5, a:eval(function()
      local n = 0
      for _ in mesh.stream 'endless' do
        n = n + 1
        if n == 5 then return n end
      end
    end))
  end

  for what, act in pairs(BREAKS) do
    it('sends ' .. what .. ' is told so and cut off', function()
      local s = stranger.greet(net, b)
      local before = net:metrics().protocol_errors
      act(s, b)
      local goodbye = assert(s:goodbye(), 'no goodbye')
      assert.equal('PROTOCOL', goodbye.code)
      assert.not_equal('', goodbye.reason)
      assert.equal(before + 1, net:metrics().protocol_errors)
      everything_else_works()
      net:wait(function() return net:metrics().requests_now == 1 and net:metrics().calls_now == 1 end,
        'its circuits to be gone')
    end)
  end

  for what, act in pairs(BEARABLE) do
    it('sends ' .. what .. ' is borne', function()
      local s = stranger.greet(net, b)
      act(s)
      s:call(1001, 'echo')
      assert.equal(S.NOTHING, s:receive(S.RESULT, 1001).body)
      assert.equal(0, net:metrics().protocol_errors)
      everything_else_works()
      s:close()
      net:wait(function() return net:metrics().requests_now == 1 end, 'its circuits to be gone')
    end)
  end

  it('offers a hundred thousand actions fills no more than its bound', function()
    local s = stranger.greet(net, b)
    local version = 0
    for first = 1, 100000, 250 do
      local names = {}
      for i = first, first + 249 do names[#names + 1] = 'an action with number ' .. i end
      version = version + 1
      s:offer(names, { version = version, snapshot = version == 1, base = version - 1 })
    end
    s:call(1, 'echo')
    assert.equal(S.NOTHING, s:receive(S.RESULT, 1).body)
    assert.equal(10000 + 3, #b:eval(function() return mesh.actions() end))
    everything_else_works()
    s:close()
    net:wait(function() return net:metrics().links_now == 2 end)
    assert.equal(3, #b:eval(function() return mesh.actions() end))
  end)

  it('opens more calls than a link may have is refused', function()
    local s = stranger.greet(net, b)
    local bytes = {}
    for i = 1, 17000 do
      bytes[i] = S.frame(S.CALL, message.encode('call', { call_id = i, action = 'hold' }) .. S.NOTHING,
        { label = 2 * i - 1, flags = S.NORMAL })
    end
    s:write(table.concat(bytes))
    local busy = s:error()
    assert.equal('BUSY', busy.code)
    assert.is_true(busy.retry_after_ms > 0)
    everything_else_works()
    s:close()
    net:wait(function() return net:metrics().requests_now == 1 end, 'its handlers to be gone')
  end)

  it('opens more streams than it may is refused', function()
    local s = stranger.greet(net, b)
    for i = 1, 1001 do s:call(2 * i - 1, 'endless', { stream = true, window_items = 1, window_bytes = 500 }) end
    local err = s:error()
    assert.equal('BUSY', err.code)
    everything_else_works()
    s:close()
    net:wait(function() return net:metrics().requests_now == 1 end, 'its handlers to be gone')
  end)

  it('never grants credit holds nothing but its own stream', function()
    local s = stranger.greet(net, b)
    s:call(1, 'endless', { stream = true })
    b:wait_reports(2)
    everything_else_works()
    local before = net:metrics().chunks_sent
    net:settle()
    assert.equal(before, net:metrics().chunks_sent)
    s:send(S.CREDIT, credit(2, 1000), { label = 1 })
    local items = 0
    while items < 2 do items = items + s:receive(S.DATA, 1).aux end
    assert.equal(2, items)
    assert.equal(before + 2, net:metrics().chunks_sent, 'one that waited, one, and one that waits')
    s:send(S.CANCEL, message.encode('cancel', { call_id = 1 }), { label = 1 })
    assert.equal('CANCELLED', s:error(1).code)
  end)

  it('answers with wrong values fails only the call', function()
    local s = stranger.greet(net, b)
    s:offer { 'evil' }
    for _, result in ipairs { '\xc1', 'garbage', '\x91', '\x01', ('\x91'):rep(80) } do
      local call = b:start(function()
        mesh.wait 'evil'
        return mesh.call 'evil'
      end)
      local f = s:receive(S.CALL)
      s:send(S.RESULT, result, { label = f.label, flags = CALLEE })
      assert.equal('PROTOCOL', call:failure().code)
    end
    local call, f = called_stream(b, s)
    s:send(S.DATA, '\x01\xc1', { label = f.label, flags = CALLEE, aux = 1 })
    assert.equal('PROTOCOL', call:failure().code)
    everything_else_works()
  end)

  it('says an error with odd fields is understood as far as it goes', function()
    local s = stranger.greet(net, b)
    s:offer { 'evil' }
    local odd = {
      { code = -9999, message = 'from the future' },
      { code = -14, outcome = 200, name = 'A_CODE', message = '\xff\xfe', details = '\xc1', retry_after_ms = 5 },
      { code = -14, cause = put('map', 1) .. put('int', 1) .. put('int', -3), traceback = ('t'):rep(8000) },
    }
    for i, fields in ipairs(odd) do
      local call = b:start(function()
        mesh.wait 'evil'
        return mesh.call 'evil'
      end)
      local f = s:receive(S.CALL)
      local body = put('map', 1) .. put('int', 1) .. put('int', fields.code)
      if i ~= 2 then body = message.encode('error', fields) end
      s:send(S.ERROR, body, { label = f.label, flags = CALLEE })
      local err = call:failure()
      assert.equal('string', type(err.code))
      assert.equal('string', type(err.text))
    end
    everything_else_works()
  end)

  it('speaks another language is disconnected', function()
    for _, bytes in ipairs { 'GET / HTTP/1.1\r\n\r\n', ('\0'):rep(100), '\x16\x03\x01\x02\x00', 'PLX\n' } do
      local s = stranger.dial(net, b)
      s:write(bytes)
      net:wait(function() return s:is_closed() end, 'the end of the link')
      assert.equal('', s.raw:take())
    end
    everything_else_works()
  end)

  it('sends random frames never harms others', function()
    local random = testing.base.random.new(7)
    local types = { 5, 6, 7, 12, 20, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 70 }
    for _ = 1, 60 do
      local s = stranger.greet(net, b)
      s:offer({ 'evil' }, { version = 1 })
      local call = b:start(function()
        for _ in mesh.with { wait = 1 }.stream 'evil' do end
      end)
      local f = s:receive(S.CALL)
      for _ = 1, 30 do
        local n = random:below(40)
        local body = {}
        for i = 1, n do body[i] = string.char(random:below(4) == 0 and random:below(256) or 0x80 + random:below(20)) end
        local label = ({ f.label, 1, 2, 3 })[1 + random:below(4)]
        local flags = random:below(4) == 0 and random:below(32) or (random:below(2) * CALLEE)
        s:write(S.frame(types[1 + random:below(#types)], table.concat(body),
          { label = random:below(5) == 0 and 0 or label, flags = flags, aux = random:below(3) }))
      end
      net:settle()
      s:close()
      net:wait(function() return call:ended() end, 'the call to end')
    end
    everything_else_works()
  end)
end)

describe('a neighbour that does not read', function()
  local net
  before_each(function() net = cluster.new 'unix' end)
  after_each(function() net:finish() end)

  it('may go on with a body that was refused, until it hears of that', function()
    local b = net:node('b', {}, function()
      mesh.action('flood', function()
        for _ = 1, 64 do coroutine.yield(('x'):rep(65536)) end
      end)
      mesh.action('echo', function(...) return ... end)
    end)
    local s = stranger.greet_reader(net, b)
    s.raw.paused = true
    s:call(1, 'flood', { stream = true, window_items = 1 << 20, window_bytes = 1 << 29 })
    net:wait(function() return net:metrics().credit_waits > 0 end, 'a full link')
    s:call(3, 'echo', { body_len = 1 << 32 }, ('x'):rep(100), { flags = S.MORE })
    for _ = 1, 3 do s:send(S.BODY, ('x'):rep(100), { label = 3, flags = S.MORE }) end
    net:wait(function() return net:metrics().frames_stale == 3 end, 'the body to be dropped')
    s.raw.paused = false
    assert.equal('TOO_LARGE', s:error(3).code)
    assert.is_truthy(s:receive(S.RESULT, 1))
    assert.equal(0, net:metrics().protocol_errors)
    assert.is_true(net:metrics().send_waits > 0)
    s:close()
  end)
end)
