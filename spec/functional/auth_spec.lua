local cluster = require 'spec.support.cluster'
local keys = require 'spec.support.keys'
local stranger = require 'spec.support.stranger'
local testing = require 'perilune.testing'

-- luacheck: globals mesh report

local function worker()
  mesh.action('who', function()
    local caller = mesh.context().caller
    return caller.name, caller.identity
  end)
  mesh.action('count', function(n)
    for i = 1, n do
      coroutine.yield(i)
      mesh.sleep(0.01)
    end
    return 'counted'
  end)
end

local function connect(url)
  local ok, err = pcall(mesh.connect, url)
  return ok or err.code .. ' ' .. err.outcome .. ': ' .. err.message
end

local function count(text, what)
  local n = 0
  for _ in text:gmatch(what) do n = n + 1 end
  return n
end

cluster.describe('a mesh with a key', cluster.kinds, function(over)
  it('calls as any other, and its handlers know how the caller was authenticated', function()
    local b = over.net:node('b', { psk = keys.file(keys.ONE) }, worker)
    local a = over.net:node('a', { psk = keys.file(keys.ONE), peers = { b } }, worker)
    assert.same({ 'a', 'psk' }, { a:eval(function(id) return mesh.with { node = id }.call 'who' end, b:id()) })
    assert.same({ 'b', 'psk' }, { b:eval(function(id) return mesh.with { node = id }.call 'who' end, a:id()) })
    assert.same({ 'a', 'psk' }, { a:eval(function(id) return mesh.with { node = id }.call 'who' end, a:id()) })
  end)

  it('is told apart from one without, in which nobody is authenticated', function()
    local b = over.net:node('b', {}, worker)
    local a = over.net:node('a', { peers = { b } })
    assert.same({ 'a', nil }, { a:eval(function() return mesh.call 'who' end) })
  end)

  for what, case in pairs {
    ['another key'] = { keys.TWO, 'the pre-shared keys differ', 'the pre-shared keys differ' },
    ['no key'] = { nil, 'the other end asks for a pre-shared key, this node has none (option psk)',
      'the other end has no pre-shared key (option psk)' },
  } do
    it('refuses who has ' .. what .. ', and both ends say so', function()
      local key, here, there = table.unpack(case, 1, 3)
      local b = over.net:node('b', { psk = keys.file(keys.ONE) }, worker)
      local a = over.net:node('a', { psk = key and keys.file(key) })
      assert.equal('UNAUTHORIZED not_sent: ' .. here, a:eval(connect, b:url()))
      over.net:settle()
      local from = b:url():gsub(':%d+$', '')
      assert.is_truthy(over.net:log():find('refused as unauthorized from=' .. from, 1, true), over.net:log())
      assert.is_truthy(over.net:log():find(('detail="%s" times=1'):format(there), 1, true))
      assert.is_truthy(over.net:log():find(('why=UNAUTHORIZED detail="%s"'):format(here), 1, true))
      assert.equal('NOT_FOUND', a:fails(function() mesh.call 'who' end).code)
      assert.equal(2, over.net:metrics().handshakes_unauthorized)
    end)

    it('is refused by who has ' .. what, function()
      local b = over.net:node('b', { psk = case[1] and keys.file(case[1]) }, worker)
      local a = over.net:node('a', { psk = keys.file(keys.ONE) })
      assert.matches('^UNAUTHORIZED not_sent: ', a:eval(connect, b:url()))
    end)
  end

  it('loses no link when its keys change, and takes old and new ones meanwhile', function()
    local file = keys.file(keys.ONE)
    local b = over.net:node('b', { psk = file }, worker)
    local a = over.net:node('a', { psk = keys.file(keys.ONE), peers = { b } })
    local stream = a:start(function()
      local n = 0
      for i in mesh.stream('count', 20) do n = i end
      return n
    end)
    keys.replace(file, keys.TWO, keys.ONE)
    local new = over.net:node('new', { psk = keys.file(keys.TWO), peers = { b } })
    local old = over.net:node('old', { psk = keys.file(keys.ONE), peers = { b } })
    assert.same({ 'new', 'psk' }, { new:eval(function() return mesh.call 'who' end) })
    assert.same({ 'old', 'psk' }, { old:eval(function() return mesh.call 'who' end) })
    keys.replace(file, keys.TWO)
    local late = over.net:node('late', { psk = keys.file(keys.ONE) })
    assert.matches('^UNAUTHORIZED', late:eval(connect, b:url()))
    assert.equal(20, stream:wait())
    assert.equal(0, over.net:metrics().links_closed)
  end)

  it('goes on over another link when one is cut, if that proves the key, too', function()
    local file = keys.file(keys.ONE)
    local b = over.net:node('b', { psk = file }, worker)
    local proxy = over.net:proxy(b)
    local a = over.net:node('a', { psk = keys.file(keys.ONE), peers = { proxy:url() } })
    a:eval(function() mesh.wait 'who' end)
    proxy:cut()
    over.net:wait(function() return over.net:metrics().links_resumed == 2 end, 'the link')
    assert.same({ 'a', 'psk' }, { a:eval(function() return mesh.call 'who' end) })
    keys.replace(file, keys.TWO) -- without the step in which both are valid
    proxy:cut()
    over.net:wait(function() return over.net:metrics().peers_lost == 2 end, 'the end of the session')
    assert.equal(2, over.net:metrics().links_resumed)
  end)

  it('keeps its keys when the file cannot be used any more, and says so once', function()
    local file = keys.file(keys.ONE)
    local b = over.net:node('b', { psk = file }, worker)
    keys.replace(file, 'short')
    local a = over.net:node('a', { psk = keys.file(keys.ONE), peers = { b } })
    assert.equal('a', (a:eval(function() return mesh.call 'who' end)))
    os.remove(file)
    local c = over.net:node('c', { psk = keys.file(keys.ONE), peers = { b } })
    assert.equal('c', (c:eval(function() return mesh.call 'who' end)))
    local log = over.net:log()
    assert.equal(2, count(log, 'the pre%-shared keys stay as they were'), log)
    assert.is_truthy(log:find('a key has at least 16 bytes', 1, true))
    assert.is_truthy(log:find('No such file or directory', 1, true))
  end)
end)

describe('a node that is refused', function()
  local net
  before_each(function() net = cluster.new 'mem' end)
  after_each(function() net:finish() end)

  local function dials() return net:metrics().dials end

  it('tries again less and less often, and is told of once', function()
    local b = net:node('b', { psk = keys.file(keys.ONE) }, worker)
    net:node('a', { psk = keys.file(keys.TWO), peers = { b }, reconnect_max = 0.1 })
    net:advance(60)
    assert.is_true(dials() >= 6 and dials() <= 10, dials())
    net:advance(600)
    assert.is_true(dials() <= 75, dials())
    assert.equal(1, count(net:log(), 'warn  dial failed'))
    assert.is_true(count(net:log(), 'refused as unauthorized') <= 5)
  end)

  it('tells its monitors each time, with the code', function()
    local b = net:node('b', { psk = keys.file(keys.ONE) }, worker)
    local a = net:node('a', { psk = keys.file(keys.TWO), peers = { b } }, function()
      mesh.monitor(function(e)
        if e.event == 'dial_failed' then report(e.at, e.code, e.address, e.node) end
      end)
    end)
    net:advance(60)
    local told = a:reports()
    assert.is_true(#told >= 5 and #told <= 10, #told)
    for i, e in ipairs(told) do
      assert.same({ 'UNAUTHORIZED', b:url() }, { e[2], e[3] })
      if i == 3 or i == 4 then assert.is_true(e[1] - told[i - 1][1] > 1.3 * (told[i - 1][1] - told[i - 2][1])) end
    end
  end)

  it('tries at once when its key changes', function()
    local file = keys.file(keys.TWO)
    local b = net:node('b', { psk = keys.file(keys.ONE) }, worker)
    local a = net:node('a', { psk = file, peers = { b } })
    net:advance(60)
    keys.replace(file, keys.ONE)
    net:node('c', { psk = file, peers = { b } }) -- it, too, reads the file
    a:start(function() pcall(mesh.connect, 'mem://nowhere') end)
    net:advance(0.01)
    assert.equal('a', (a:eval(function() return mesh.call 'who' end)))
  end)

  it('comes back by itself when the other end takes its key', function()
    local file = keys.file(keys.ONE)
    local b = net:node('b', { psk = file }, worker)
    local a = net:node('a', { psk = keys.file(keys.TWO), peers = { b } })
    net:advance(60)
    keys.replace(file, keys.ONE, keys.TWO)
    net:advance(13)
    assert.equal('a', (a:eval(function() return mesh.call 'who' end)))
  end)
end)

describe('a stranger at a node with a key', function()
  local net, node
  before_each(function()
    net = cluster.new 'mem'
    node = net:node('b', { psk = keys.file(keys.ONE), handshake_timeout = 3 }, worker)
  end)
  after_each(function() net:finish() end)

  local PSK = '\x91\xa3psk' -- a list of one method

  it('is told what is needed when he offers nothing', function()
    local s = stranger.dial(net, node)
    s:hello()
    local goodbye = s:goodbye()
    assert.equal('UNAUTHORIZED', goodbye.code)
    assert.equal('a pre-shared key is needed (option psk)', goodbye.reason)
    assert.equal(1000, goodbye.retry_after_ms)
  end)

  it('gets no proof, no READY and no advert for a wrong one', function()
    local s = stranger.dial(net, node)
    s:greet_only { methods = PSK }
    s:send(stranger.PROOF, ('\0'):rep(32))
    local goodbye = s:goodbye()
    assert.equal('the pre-shared keys differ', goodbye.reason)
    for _, f in ipairs(s.frames) do assert.equal(stranger.HELLO, f.type) end
  end)

  it('may call, advertise and be ready as he likes: nothing comes of it', function()
    for type, body in pairs {
      [stranger.READY] = '', [stranger.ADVERT] = '\x81\x01\x01', [stranger.CALL] = '\x82\x01\x01\x02\xa3who\x90',
      [stranger.PING] = 'x', [stranger.HELLO] = '',
    } do
      local s = stranger.dial(net, node)
      s:greet_only { methods = PSK }
      s:send(type, body, { label = type >= 32 and 1 or 0 })
      assert.equal('PROTOCOL', s:goodbye().code)
    end
    assert.equal(0, net:metrics().requests_received)
    assert.equal(0, net:metrics().links_opened)
  end)

  it('is given up when he never proves anything, however slowly he drips', function()
    local s = stranger.dial(net, node)
    s:greet_only { methods = PSK }
    local began = net:now()
    while not s:is_closed() do
      s:write(stranger.frame(31, 'x'))
      net:advance(0.1)
      assert.is_true(net:now() - began < 3.2, 'still there')
    end
  end)

  it('is cut off at 64 KiB', function()
    local s = stranger.dial(net, node)
    s:greet_only { methods = PSK }
    for _ = 1, 5 do s:write(stranger.frame(31, ('x'):rep(16000))) end
    assert.equal('TOO_LARGE', s:goodbye().code)
  end)

  it('neither replaces a node by its id, nor has it asked whether it lives', function()
    local a = net:node('a', { psk = keys.file(keys.ONE), peers = { node } }, worker)
    net:settle()
    local frames = net:metrics().frames_written
    local s = stranger.dial(net, node)
    local id = a:id():gsub('..', function(digits) return string.char(tonumber(digits, 16)) end)
    s:greet_only { methods = PSK, id = id, epoch = math.maxinteger }
    s:send(stranger.PROOF, ('\0'):rep(32))
    assert.equal('UNAUTHORIZED', s:goodbye().code)
    assert.equal(frames, net:metrics().frames_written - 1) -- the GOODBYE alone
    assert.equal('a', (a:eval(function(other) return mesh.with { node = other }.call 'who' end, node:id())))
  end)
end)

describe('a copied identity', function()
  it('is refused in a mesh with a key, too', function()
    local net = cluster.new 'mem'
    local id = ('0a'):rep(16)
    local b = net:node('b', { psk = keys.file(keys.ONE) }, worker)
    local a = net:node('a', { psk = keys.file(keys.ONE), peers = { b }, id = id })
    local copy = net:node('copy', { psk = keys.file(keys.ONE), id = id })
    assert.equal('INVALID not_sent: id is taken', copy:eval(connect, b:url()))
    assert.equal('a', (a:eval(function() return mesh.call 'who' end)))
    net:finish()
  end)
end)

cluster.describe('a chain of nodes', { 'mem', 'tcp' }, function(over)
  --- Who c sees when a calls it by way of b.
  local function seen(key)
    local c = over.net:node('c', { psk = key and keys.file(key) }, worker)
    local b = over.net:node('b', { psk = key and keys.file(key), peers = { c } })
    local a = over.net:node('a', { psk = key and keys.file(key), peers = { b } })
    a:eval(function() mesh.wait('who', 5) end)
    return { a:eval(function() return mesh.call 'who' end) }
  end

  it('tells its end who called, by name and identity', function() assert.same({ 'a', 'psk' }, seen(keys.ONE)) end)

  it('without a key tells the name alone', function() assert.same({ 'a', nil }, seen()) end)
end)

describe('a node that passes calls on', function()
  local net
  before_each(function() net = cluster.new 'mem' end)
  after_each(function() net:finish() end)

  local function bin(id) return '\xc4\x10' .. id end

  local function as_id(n) return string.pack('>I8', n) .. ('\0'):rep(8) end

  local label

  before_each(function() label = -1 end)

  --- What b, at the other side of a relay, sees as the identity of a call from a.
  local function seen(a, b, b_id, fields)
    label = label + 2
    local m = { destination = bin(b_id), hops_left = 16 }
    for key, value in pairs(fields) do m[key] = value end
    a:call(label, 'x', m)
    return assert(testing.wire.message.decode('call', b:receive(stranger.CALL).body)).identity
  end

  local FORGED = '\xa4root'

  it('tells how it authenticated the caller, whatever he says of himself', function()
    local relay = net:node('r', { psk = keys.file(keys.ONE) }, worker)
    local a = stranger.greet_keyed(net, relay, { id = 7, name = 'a', psk = keys.ONE, role = 1 })
    local b = stranger.greet_keyed(net, relay, { id = 8, name = 'b', psk = keys.ONE })
    assert.equal('\xa3psk', seen(a, b, as_id(8), {}))
    assert.equal('\xa3psk', seen(a, b, as_id(8), { identity = FORGED }))
    assert.equal('\xa3psk', seen(a, b, as_id(8), { identity = FORGED, source = as_id(9) })) -- a leaf
  end)

  it('passes on what another relay that has the key says', function()
    local relay = net:node('r', { psk = keys.file(keys.ONE) }, worker)
    local a = stranger.greet_keyed(net, relay, { id = 7, name = 'a', psk = keys.ONE })
    local b = stranger.greet_keyed(net, relay, { id = 8, name = 'b', psk = keys.ONE })
    assert.equal('\xa5token', seen(a, b, as_id(8), { identity = '\xa5token', source = as_id(9) }))
  end)

  it('without a key tells of nobody', function()
    local relay = net:node('r', {}, worker)
    local a = stranger.greet(net, relay, { id = as_id(7) })
    local b = stranger.greet(net, relay, { id = as_id(8) })
    assert.is_nil(seen(a, b, as_id(8), { identity = FORGED, source = as_id(9) }))
    assert.is_nil(seen(a, b, as_id(8), { identity = FORGED }))
    a:call(5, 'who', { identity = FORGED, source = as_id(9) })
    assert.is_nil(a:receive(stranger.RESULT, 5).body:find('root', 1, true))
  end)
end)
