--- A session that loses its link and goes on over another one: peers in virtual time, with a proxy
--- between them that cuts where the spec wants it (docs/protocol.md, 7.6).

local peers = require 'spec.support.peers'

local WINDOW = 0.75

describe('a session whose link is cut', function()
  local net, a, b, proxy
  before_each(function() net = peers.new() end)
  after_each(function() net:finish() end)

  --- Two nodes; the first has dialled the second through a proxy.
  local function start(options_a, options_b)
    local function options(id, more)
      local o = { id = id, name = 'node ' .. id, epoch = 1, resume_window = WINDOW }
      for k, v in pairs(more or {}) do o[k] = v end
      return o
    end
    a, b = net:node(options(1, options_a)), net:node(options(2, options_b))
    b:listen 'mem://b'
    proxy = net:proxy('mem://p', 'mem://b')
    a:dial 'mem://p'
    net:advance(0.01)
    assert.equal('up', a:peer().state)
  end

  local function downs(node)
    local list = {}
    for _, event in ipairs(node.events) do
      if event:find '^down' then list[#list + 1] = event end
    end
    return list
  end

  --- Both talk at once; `bodies` says what `who` says in turn `i`.
  local function talk(turns, body)
    for i = 1, turns do
      a.raw:send(body('a', i))
      b.raw:send(body('b', i))
      net:advance(0.001)
    end
  end

  local function check_talk(turns, body, what)
    for who, node in pairs { a = b, b = a } do
      assert.equal(turns, #node.frames, what)
      for i = 1, turns do assert.is_true(node.frames[i] == body(who, i), what) end
    end
    assert.same({}, downs(a), what)
    assert.same({}, downs(b), what)
  end

  --- Starts anew for the next case of a loop.
  local function again()
    net:finish()
    net = peers.new()
  end

  local function short(who, i) return who .. ('.'):rep(i * 7 % 23) .. i end

  local function long(who, i) return who .. i .. ('x'):rep(i * 3989 % 16000) end

  it('loses and repeats nothing, whichever byte is the last', function()
    local turns = 5
    start()
    local from, to = proxy:passed()
    talk(turns, short)
    net:advance(1)
    local from_end, to_end = proxy:passed()
    local lengths = { from = from_end - from, to = to_end - to }
    again()
    for way, length in pairs(lengths) do
      assert.is_true(length > 100)
      for n = 1, length do
        start()
        proxy:cut_after(way, n)
        talk(turns, short)
        net:advance(1)
        local what = ('cut after %d bytes %s the dialler'):format(n, way)
        assert.equal(1, proxy:cuts(), what)
        check_talk(turns, short, what)
        local metrics = net:metrics()
        assert.equal(2, metrics.links_resumed, what)
        assert.equal(2, metrics.links_broken, what)
        assert.equal(0, metrics.protocol_errors, what)
        again()
      end
    end
  end)

  it('does so with long frames, that are written from their slices', function()
    local turns = 8
    for way in pairs { from = 1, to = 2 } do
      for n = 1, 60000, 1117 do
        start()
        proxy:cut_after(way, n)
        talk(turns, long)
        net:advance(1)
        check_talk(turns, long, way .. ' ' .. n)
        assert.equal(1, proxy:cuts())
        again()
      end
    end
  end)

  it('does so when the link that follows is cut as well, wherever', function()
    local turns = 3
    for way in pairs { from = 1, to = 2 } do
      for n = 1, 330 do
        start()
        proxy:cut_after('from', 40, way, n, way, n // 2 + 1, 'to', 5)
        talk(turns, short)
        net:advance(2)
        check_talk(turns, short, ('%s %d'):format(way, n))
        if n < 150 then assert.is_true(proxy:cuts() >= 2) end
        again()
      end
    end
  end)

  it('does so under cuts at random, again and again', function()
    for seed = 1, 40 do
      net:finish()
      net = peers.new(seed)
      start()
      proxy:cut_every(400 + 100 * seed)
      local body = seed % 2 == 0 and long or short
      talk(100, body)
      proxy:cut_every(0)
      net:advance(2)
      check_talk(100, body, 'seed ' .. seed)
    end
  end)

  it('goes on at once when only its dialler has noticed', function()
    start()
    proxy:leave_unaware 'to'
    proxy:cut()
    a.raw:send 'one'
    net:advance(0.01)
    assert.same({ 'one' }, b.frames)
    b.raw:send 'two'
    net:advance(0.01)
    assert.same({ 'two' }, a.frames)
    assert.equal(2, net:metrics().links_resumed)
  end)

  it('goes on when its dialler notices within the window of the other end', function()
    start({ heartbeat = 0.1 }, {})
    proxy:leave_unaware 'from'
    proxy:cut()
    b.raw:send 'one'
    net:advance(0.2)
    assert.equal(0, net:metrics().links_resumed)
    net:advance(0.2)
    assert.same({ 'one' }, a.frames)
    assert.equal(2, net:metrics().links_resumed)
  end)

  it('is lost at both ends when the dialler notices later', function()
    start({ heartbeat = 1 }, {})
    net:advance(0.5)
    proxy:leave_unaware 'from'
    proxy:cut()
    net:advance(0.8)
    assert.same({ 'down PEER_LOST' }, downs(b))
    assert.same({}, downs(a))
    net:advance(3)
    assert.same({ 'down PEER_LOST' }, downs(a))
    assert.matches('no such session', a.detail)
    assert.equal('up', a:peer().state)
    assert.equal(0, net:metrics().links_resumed)
  end)

  it('waits as long as the window, and no longer', function()
    start()
    proxy:deafen(true)
    proxy:cut()
    a.raw:send 'one'
    net:advance(WINDOW - 0.1)
    assert.same({}, downs(a))
    assert.same({}, downs(b))
    proxy:deafen(false)
    net:advance(0.4)
    assert.same({ 'one' }, b.frames)

    proxy:deafen(true)
    proxy:cut()
    a.raw:send 'two'
    b.raw:send 'three'
    net:advance(WINDOW - 0.01)
    assert.same({}, downs(a))
    net:advance(0.02)
    assert.same({ 'down PEER_LOST' }, downs(a))
    assert.same({ 'down PEER_LOST' }, downs(b))
    assert.matches('not back within 0.75 s', a.detail)
    proxy:deafen(false)
    net:advance(1)
    assert.equal('up', a:peer().state)
    assert.same({ 'one' }, b.frames)
    assert.same({}, a.frames)
  end)

  it('is lost within the window when each link breaks before anything gets through', function()
    start()
    proxy:cut_each(5000)
    proxy:cut()
    net:advance(0.01)
    a.raw:send(('x'):rep(16000))
    net:advance(WINDOW - 0.1)
    assert.same({}, downs(a))
    assert.is_true(proxy:cuts() > 5)
    net:advance(0.1)
    assert.same({ 'down PEER_LOST' }, downs(a))
    assert.is_true(net:metrics().dials < 20)
    proxy:cut_each(0)
    net:advance(1)
    assert.same({ 'down PEER_LOST' }, downs(b))
    assert.equal('up', a:peer().state)
  end)

  it('goes on when each link breaks, as long as something gets through', function()
    start()
    proxy:cut_each(5000)
    proxy:cut()
    for i = 1, 100 do
      a.raw:send(('x'):rep(2000) .. i)
      net:advance(0.02)
    end
    net:advance(0.1)
    assert.equal(100, #b.frames)
    assert.is_true(proxy:cuts() > 20)
    assert.same({}, downs(a))
  end)

  it('goes on however often it is cut at rest', function()
    start()
    for _ = 1, 5 do
      net:advance(WINDOW)
      proxy:cut()
      net:advance(0.1)
    end
    net:advance(1)
    assert.same({}, downs(a))
    assert.same({}, downs(b))
    assert.equal(10, net:metrics().links_resumed)
  end)

  it('is lost at once when nobody listens any more', function()
    start()
    proxy:unlisten()
    proxy:cut()
    net:advance(0.001)
    assert.same({ 'down PEER_LOST' }, downs(a))
    assert.matches('nobody listens there', a.detail)
    assert.same({}, downs(b))
    net:advance(WINDOW)
    assert.same({ 'down PEER_LOST' }, downs(b))
  end)

  for text, case in pairs {
    ['that dialled'] = { { resume_window = 0 }, {} },
    ['that was dialled'] = { {}, { resume_window = 0 } },
  } do
    it('is lost at once when an end does not resume: the one ' .. text, function()
      start(case[1], case[2])
      proxy:cut()
      net:advance(0.001)
      assert.same({ 'down PEER_LOST' }, downs(a))
      assert.same({ 'down PEER_LOST' }, downs(b))
      assert.equal(0, net:metrics().links_broken)
    end)
  end

  for text, case in pairs {
    ['the same node after a restart'] = { id = 2, epoch = 2, why = 'started again' },
    ['an earlier start of it'] = { id = 2, epoch = 0, why = 'started again' },
    ['another node'] = { id = 3, epoch = 1, why = 'another node' },
  } do
    it('is lost at once when there answers ' .. text, function()
      start()
      local c = net:node { id = case.id, epoch = case.epoch, name = 'other', resume_window = WINDOW }
      c:listen 'mem://c'
      proxy:aim 'mem://c'
      proxy:cut()
      net:advance(0.001)
      assert.same({ 'down PEER_LOST' }, downs(a))
      assert.matches(case.why, a.detail)
      net:advance(1)
      assert.same({ 'down PEER_LOST' }, downs(b))
      assert.equal(case.epoch, a:peer().epoch)
    end)
  end

  it('is replaced at once by a restart of its dialler', function()
    start()
    proxy:deafen(true)
    proxy:cut()
    net:advance(0.01)
    assert.same({}, downs(b))
    local again_a = net:node { id = 1, epoch = 2, name = 'again', resume_window = WINDOW }
    again_a:dial 'mem://b'
    net:advance(0.001)
    assert.same({ 'down PEER_LOST' }, downs(b))
    assert.equal(2, b:peer().epoch)
    assert.equal('up', b:peer().state)
  end)

  it('is replaced as soon as it is lost by a restart of its dialler that came before', function()
    start()
    proxy:stall(true)
    local again_a = net:node { id = 1, epoch = 2, name = 'again', resume_window = WINDOW }
    again_a:dial 'mem://b'
    net:advance(0.01)
    assert.same({}, downs(b)) -- it is asked whether it lives
    proxy:deafen(true)
    proxy:cut()
    net:advance(0.001)
    assert.same({ 'down PEER_LOST' }, downs(b))
    assert.equal(2, b:peer().epoch)
    assert.equal('up', b:peer().state)
  end)

  it('is kept when it is lost while a former start of its dialler claims to be it', function()
    start()
    proxy:stall(true)
    local former = net:node { id = 1, epoch = 0, name = 'former', resume_window = WINDOW }
    former:dial 'mem://b'
    net:advance(0.01)
    proxy:cut()
    net:advance(0.001)
    assert.same({}, downs(b))
    proxy:stall(false)
    net:advance(0.1)
    assert.equal(1, b:peer().epoch)
    assert.equal('up', b:peer().state)
    assert.same({}, downs(a))
  end)

  it('is kept beside a new link to its dialler, which is used at once, until its window is over', function()
    start({ resume_window = 0.2 }, { resume_window = 10 })
    proxy:deafen(true)
    proxy:cut()
    net:advance(0.3)
    assert.same({ 'down PEER_LOST' }, downs(a))
    assert.same({}, downs(b))
    proxy:deafen(false)
    net:advance(1)
    assert.same({}, downs(b))
    assert.equal(a:peer().session.nonce, b:peer().session.nonce)
    net:advance(10)
    assert.same({ 'down PEER_LOST' }, downs(b))
    assert.matches('not back within 10', b.detail)
    assert.equal('up', b:peer().state)
    assert.equal(2, net:metrics().links_now)
  end)

  it('ends with a goodbye as ever', function()
    start()
    a.raw:disconnect('enough', false, false)
    net:advance(0.01)
    assert.same({ 'down OK' }, downs(b))
    assert.equal(0, net:metrics().links_broken)
  end)

  it('ends when it is closed meanwhile, and the other end is refused', function()
    start({}, { resume_window = 5 })
    proxy:leave_unaware 'from'
    proxy:cut()
    net:advance(0.1)
    b.raw:disconnect('enough', true, false)
    net:advance(0.01)
    assert.same({ 'down OK' }, downs(b))
    proxy:leave_unaware()
    proxy:cut()
    net:advance(10)
    assert.same({ 'down PEER_LOST' }, downs(a))
    assert.equal('up', a:peer().state)
  end)

  it('does not keep its nodes from stopping', function()
    start()
    proxy:deafen(true)
    proxy:cut()
    net:advance(0.02)
    net:shutdown(a)
    net:shutdown(b)
    net:advance(0.01)
    assert.is_true(a.raw:is_free())
    assert.is_true(b.raw:is_free())
  end)

  it('is lost when more is to be said meanwhile than can be kept', function()
    start()
    proxy:deafen(true)
    proxy:cut()
    net:advance(0.01)
    local body = ('x'):rep(16000)
    for _ = 1, 520 do a.raw:send(body) end
    net:advance(0.01)
    assert.same({}, downs(a))
    for _ = 1, 10 do a.raw:send(body) end
    net:advance(0.01)
    assert.same({ 'down PEER_LOST' }, downs(a))
    assert.equal(1, net:metrics().links_cut)
  end)

  it('goes on when it is retired, until nothing is left on it', function()
    start { id = 5 }
    a.raw:set_circuits(1)
    b.raw:set_circuits(1)
    b:dial 'mem://a'
    a:listen 'mem://a'
    net:advance(3)
    assert.equal(1, net:metrics().duplicate_links // 2)
    proxy:cut()
    net:advance(1)
    assert.same({}, downs(a))
    assert.equal(2, net:metrics().links_resumed)
    proxy:deafen(true)
    proxy:cut()
    net:advance(0.01)
    a.raw:set_circuits(0)
    b.raw:set_circuits(0)
    net:advance(0.1)
    assert.same({}, downs(a))
    proxy:deafen(false)
    net:advance(1)
    assert.same({ 'down OK' }, downs(a))
    assert.same({ 'down OK' }, downs(b))
    assert.equal('up', a:peer().state)
    assert.equal(2, net:metrics().links_now)
  end)

  it('says in the log what happened', function()
    start()
    proxy:cut()
    net:advance(0.1)
    local log = net.world:log()
    assert.matches('link broken', log)
    assert.matches('link resumed', log)
  end)

  it('leaves one link, in whatever order two nodes find each other under cuts', function()
    for seed = 1, 100 do
      net:finish()
      net = peers.new(seed)
      a = net:node { id = 1, name = 'a', epoch = 1, resume_window = WINDOW, heartbeat = 0.5 }
      b = net:node { id = 2, name = 'b', epoch = 1, resume_window = WINDOW, heartbeat = 0.5 }
      b:listen 'mem://b'
      a:listen 'mem://a'
      local to_b, to_a = net:proxy('mem://pb', 'mem://b'), net:proxy('mem://pa', 'mem://a')
      to_b:cut_every(700)
      to_a:cut_every(500)
      if seed % 3 == 0 then to_b:leave_unaware 'to' end
      a:dial 'mem://pb'
      b:dial 'mem://pa'
      for _ = 1, 50 do
        a.raw:send(('a'):rep(seed))
        b.raw:send(('b'):rep(seed))
        net.world:shake(seed % 40)
        net:advance(0.01)
      end
      to_b:cut_every(0)
      to_a:cut_every(0)
      net:advance(15)
      assert.equal(2, net:metrics().links_now, 'seed ' .. seed)
      assert.equal('up', a:peer().state)
      assert.equal('up', b:peer().state)
      assert.equal(a:peer().session.nonce, b:peer().session.nonce)
    end
  end)
end)
