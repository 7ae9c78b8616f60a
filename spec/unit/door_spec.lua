--- runtime/link: doors, by which the threads of one process reach each other.

local links = require 'spec.support.links'
local process = require 'spec.support.process'

local net, url
before_each(function()
  net = links.new()
  url = 'door://' .. process.unique()
end)
after_each(function() net:finish() end)

describe('a door', function()
  it('is a name that one listener has', function()
    local l = net:listen(url)
    assert.equal(url, l.url)
    assert.same({ nil, 'ADDRESS_IN_USE', url .. ' is in use' }, { net:listen(url) })
    l:close()
    net:run(0.01)
    assert.is_table(net:listen(url))
  end)

  it('refuses at once where nobody listens', function()
    assert.equal('CONNECT_FAILED', (net:wait_closed(net:dial(url))))
    net:listen(url).close()
    assert.equal('CONNECT_FAILED', (net:wait_closed(net:dial(url))))
  end)

  it('leads to a process of this user on this machine', function()
    local client, server = net:connect(url)
    for _, e in ipairs { client, server } do
      local info = e.link:info()
      assert.same({ url, true }, { info.remote, info.is_local })
    end
  end)
end)
