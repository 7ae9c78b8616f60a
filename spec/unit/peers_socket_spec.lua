--- runtime/peer over sockets.

local peers = require 'spec.support.peers'
local process = require 'spec.support.process'

describe('peers over sockets', function()
  local net
  before_each(function() net = peers.new 'real' end)
  after_each(function() net:finish() end)

  it('listen on several kinds at once, and use one link', function()
    local b = net:node { id = 2 }
    local urls = {
      b:listen 'tcp://127.0.0.1:0', b:listen('unix://' .. process.temp_dir() .. '/b'), b:listen 'mem://b-real',
    }
    assert.equal(3, #urls)
    local a = net:node { id = 1 }
    for _, url in ipairs(urls) do a:dial(url) end
    net:wait(function() return #a.dialled == 3 and net:metrics().links_now == 2 end, 'one link')
    for _, d in ipairs(a.dialled) do assert.equal('OK', d.code) end
    assert.equal(a:peer().session.nonce, b:peer().session.nonce)
    assert.is_true(a:peer().session.rtt_us > 0)
  end)

  it('reconnect', function()
    local a, b = net:node { id = 1 }, net:node { id = 2 }
    a:dial(b:listen 'tcp://127.0.0.1:0')
    net:wait(function() return #a.dialled == 1 end, 'the link')
    b.raw:disconnect('again', true, true)
    net:wait(function() return #a:states() == 3 end, 'the next link')
    assert.equal('up', a:peer().state)
  end)

  it('hear a refused connection at once', function()
    local b = net:node { id = 2 }
    local url = b:listen 'tcp://127.0.0.1:0'
    b.raw:unlisten()
    net:advance(0.01)
    local a = net:node { id = 1 }
    a:dial(url, false)
    net:wait(function() return #a.dialled == 1 end, 'the refusal')
    assert.equal('CONNECT_FAILED', a.dialled[1].code)
    assert.are_not.equal('', a.dialled[1].detail)
  end)

  it('give up a connection that nobody answers, at the set time', function()
    local frozen = peers.new 'real' -- never runs, so its queue fills and the system drops the rest
    frozen.inner = true
    local url = frozen:node({ id = 2 }):listen 'tcp://127.0.0.1:0?backlog=1'
    for _ = 1, 4 do net:raw(url) end
    net:advance(0.05)
    local a = net:node { id = 1, connect_timeout = 0.2 }
    local start = net:now()
    a:dial(url, false)
    net:wait(function() return #a.dialled == 1 end, 'the timeout')
    assert.equal('TIMEOUT', a.dialled[1].code)
    assert.equal('no connection within 0.2 s', a.dialled[1].detail)
    assert.is_true(a.dialled[1].at - start >= 0.2)
    frozen:finish()
  end)
end)
