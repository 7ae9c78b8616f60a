local cluster = require 'spec.support.cluster'
local stranger = require 'spec.support.stranger'

-- luacheck: globals mesh report, ignore 211/guard 431

local function worker()
  mesh.action('hold', function()
    local guard <close> = setmetatable({}, { __close = function() report 'closed' end })
    report 'began'
    mesh.sleep(1000)
  end)
  mesh.action('echo', function(...) return ... end)
end

cluster.describe('a lost link', cluster.kinds, function(over)
  it('fails every call on it at once', function()
    local b = over.net:node('b', {}, worker)
    local a = over.net:node('a', { peers = { b } })
    local calls = a:start(function()
      local tasks, codes, last = {}, {}, 0
      for i = 1, 1000 do
        tasks[i] = mesh.spawn(function()
          local _, err = pcall(mesh.call, 'hold')
          codes[err.code .. ' ' .. err.outcome] = (codes[err.code .. ' ' .. err.outcome] or 0) + 1
          last = mesh.now()
        end)
      end
      mesh.all(tasks)
      return codes, last
    end)
    b:wait_reports(1000)
    local cut = over.net:now()
    b:eval(function(id) mesh.disconnect(id, { abort = true }) end, a:id())
    local codes, last = calls:wait()
    assert.same({ ['PEER_LOST unknown'] = 1000 }, codes)
    assert.is_true(last - cut < over.net:within(0.1), last - cut)
    over.net:wait(function() return #b:reports() == 2000 end, 'the handlers to be closed')
    assert.equal(0, over.net:metrics().requests_now)
  end)

  it('is dialled again, and calls go on', function()
    local b = over.net:node('b', {}, worker)
    local a = over.net:node('a', { peers = { b } })
    assert.equal(1, a:eval(function() return mesh.call('echo', 1) end))
    for i = 1, 5 do
      b:eval(function(id) mesh.disconnect(id, { abort = true, allow_reconnect = true }) end, a:id())
      over.net:wait(function() return over.net:metrics().links_closed == 2 * i end, 'the loss at both ends')
      assert.equal(i, a:eval(function(n) return mesh.with { wait = 5 }.call('echo', n) end, i))
    end
    assert.equal(2, over.net:metrics().links_now)
  end)

  it('takes the actions of the node with it', function()
    local b = over.net:node('b', {}, worker)
    local a = over.net:node('a', { peers = { b } })
    over.net:settle()
    b:finish(0)
    over.net:wait(function() return over.net:metrics().links_now == 0 end)
    assert.same({}, a:eval(function() return mesh.actions() end))
    local err = a:fails(function() mesh.call('echo', 1) end)
    assert.equal('NOT_FOUND', err.code)
    assert.equal('not_sent', err.outcome)
  end)

  it('of the caller stops its handlers', function()
    local b = over.net:node('b', {}, worker)
    local a = over.net:node('a', { peers = { b } })
    local call = a:start(function() return mesh.call 'hold' end)
    b:wait_reports(1)
    a:finish(0)
    over.net:wait(function() return #b:reports() == 2 end, 'the handler to be closed')
    assert.is_true(call:ended())
    assert.equal(0, over.net:metrics().requests_now)
    assert.not_matches('task failed', over.net:log())
  end)

  it('fails a call to a provider that is gone, not one to another', function()
    local b = over.net:node('b', {}, worker)
    local c = over.net:node('c', {}, worker)
    local a = over.net:node('a', { peers = { b, c } })
    a:eval(function() mesh.wait 'hold' end)
    over.net:settle()
    local doomed = a:start(function(id) return mesh.with { node = id }.call 'hold' end, b:id())
    local other = a:start(function(id) return mesh.with { node = id }.call 'hold' end, c:id())
    b:wait_reports(1)
    c:wait_reports(1)
    b:eval(function(id) mesh.disconnect(id, { abort = true }) end, a:id())
    assert.equal('PEER_LOST', doomed:failure().code)
    assert.equal(b:id(), doomed:failure().node)
    assert.equal('running', other:state())
    other:cancel()
  end)
end)

cluster.describe('links of two nodes that dial each other', cluster.kinds, function(over)
  it('become one, and no call is lost', function()
    local b = over.net:node('b', {}, worker)
    local a = over.net:node('a', {}, worker)
    local first = a:start(function(url) return mesh.connect(url) end, b:url())
    local second = b:start(function(url) return mesh.connect(url) end, a:url())
    assert.equal(b:id(), (first:wait()))
    assert.equal(a:id(), (second:wait()))
    local calls = {}
    for i = 1, 20 do
      local from, to = a, b
      if i % 2 == 0 then from, to = b, a end
      calls[i] = from:start(function(node, n)
        return mesh.with { node = node, wait = 1 }.call('echo', n)
      end, to:id(), i)
    end
    for i, call in ipairs(calls) do assert.equal(i, (call:wait())) end
    over.net:wait(function() return over.net:metrics().links_now == 2 end, 'one link')
  end)
end)

describe('a link that was replaced by another', function()
  it('has its calls cancelled with the rest when a drain is over', function()
    local net = cluster.new 'mem'
    local slow = function() mesh.action('slow', function() mesh.sleep(1000) end) end
    local b = net:node('b', { id = ('0'):rep(31) .. '1' }, slow)
    local a = net:node('a', { id = ('f'):rep(32), peers = { b } }, slow)
    local call = a:start(function() return mesh.with { node = 'b', timeout = 0 }.call 'slow' end)
    net:advance(0.1)
    b:eval(function(url) return mesh.connect(url) end, a:url()) -- of two links the one of the lower id stays
    net:advance(0.1)
    assert.equal(1, net:metrics().duplicate_links // 2)
    assert.equal('running', call:state())
    b:stop(0.5)
    net:advance(1)
    assert.equal('CANCELLED', call:failure().code)
    net:advance(1)
    assert.is_true((b:over()))
    net:finish()
  end)
end)

describe('two nodes of one id', function()
  it('are not linked to a third at once', function()
    local net = cluster.new 'mem'
    local id = ('ab'):rep(16)
    local b = net:node('b', { id = id }, worker)
    local hub = net:node('hub')
    net:node('first', { id = ('cd'):rep(16), peers = { hub } })
    net:node('second', { id = ('cd'):rep(16), peers = { hub } })
    net:advance(1)
    assert.equal(2, #hub:eval(function() return mesh.nodes() end))
    assert.equal(id, b:id())
    net:finish()
  end)
end)

describe('a node that starts anew', function()
  it('is heard, however much it had told before', function()
    local net = cluster.new 'mem'
    local b = net:node('b')
    local id = ('i'):rep(16)
    local old = stranger.greet(net, b, { id = id, epoch = 1 })
    old:offer({ 'old' }, { version = 1000 })
    net:settle()
    local new = stranger.dial(net, b) -- the old one is silent from now on
    new:hello { id = id, epoch = 2 }
    net:wait(function() return old:is_closed() end, 'the end of the old link')
    new:receive(stranger.READY)
    new:offer({ 'new' }, { version = 1 })
    net:settle()
    local actions = b:eval(function() return mesh.actions() end)
    assert.equal(1, #actions)
    assert.equal('new', actions[1].name)
    net:finish()
  end)
end)
