--- runtime/link: what every kind of link does alike.

local links = require 'spec.support.links'
local machine = require 'spec.support.machine'
local process = require 'spec.support.process'

local HIGH, LOW, MAX = 256 * 1024, 64 * 1024, 8 * 1024 * 1024

local function pattern(n)
  local block = {}
  for i = 1, 997 do block[i] = string.char(i * 7 % 256) end
  return (table.concat(block):rep(n // 997 + 1):sub(1, n))
end

--- Cuts texts of the form "<length in 4 bytes><body>" as they arrive.
local function framed(out)
  return function(_, text)
    local at = 1
    while at + 3 <= #text do
      local len = string.unpack('<I4', text, at)
      if at + 3 + len > #text then break end
      out[#out + 1] = text:sub(at + 4, at + 3 + len)
      at = at + 4 + len
    end
    return at - 1
  end
end

local kinds = {
  { name = 'a pair in memory', world = 'virtual', url = function() return 'pair' end },
  { name = 'mem://', world = 'virtual', url = function() return 'mem://' .. process.unique() end },
  { name = 'tcp://', url = function() return 'tcp://127.0.0.1:0' end },
  { name = 'unix://', url = function() return 'unix://' .. process.temp_dir() .. '/s' end },
  { name = 'door://', url = function() return 'door://' .. process.unique() end },
  { name = 'unix://@', url = function() return 'unix://@perilune-spec-' .. process.unique() end },
}

if machine.has_ipv6() then
  table.insert(kinds, { name = 'tcp:// with IPv6', url = function() return 'tcp://[::1]:0' end })
end

for _, kind in ipairs(kinds) do
  describe('a link over ' .. kind.name, function()
    local net
    before_each(function() net = links.new(kind.world) end)
    after_each(function() net:finish() end)

    local function connect(client_hooks, server_hooks)
      return net:connect(kind.url(), client_hooks, server_hooks)
    end

    local function wait_text(e, text)
      net:wait(function() return e.count >= #text end, #text .. ' bytes')
      assert.equal(#text, e.count)
      assert.is_true(e:text() == text, 'other bytes than were sent')
    end

    it('carries bytes both ways', function()
      local client, server = connect()
      client.link:write 'ping'
      wait_text(server, 'ping')
      server.link:write 'pong'
      wait_text(client, 'pong')
    end)

    it('knows its other end', function()
      local client, server, listener = connect()
      local here, there = client.link:info(), server.link:info()
      assert.is_true(here.is_local and there.is_local)
      assert.equal(there.scheme, here.scheme)
      assert.equal(here.scheme, here.remote:match '^%l+')
      if listener then assert.equal(listener.url, here.remote) end
      assert.equal(here.scheme == 'unix' or here.scheme == 'door', here.peer_uid >= 0)
      assert.equal(here.peer_uid, there.peer_uid)
    end)

    it('gathers what one turn writes', function()
      local client, server = connect()
      local before = net.world:metrics().writes
      for i = 1, 1000 do client.link:put(('%04d'):format(i), 100) end
      assert.equal(4000, client.link:backlog())
      net:wait(function() return server.count == 4000 end, 'all')
      assert.equal('000100020003', server:text():sub(1, 12))
      if not kind.world then assert.equal(before + 1, net.world:metrics().writes) end
      assert.equal(0, client.link:backlog())
    end)

    it('keeps the order of copies, slices and what is put in place', function()
      local client, server = connect()
      local all = {}
      for i = 1, 60 do
        local text = pattern(i * i * 13)
        if i % 3 == 0 then
          client.link:put(text:sub(1, 60000))
          text = text:sub(1, 60000)
        else
          client.link:write(text, i % 3 == 1)
        end
        all[i] = text
      end
      wait_text(server, table.concat(all))
    end)

    it('carries megabytes', function()
      local client, server = connect()
      local big = pattern(3 * 1024 * 1024)
      client.link:write(big, true)
      wait_text(server, big)
      server.link:write(big)
      wait_text(client, big)
      local m = net.world:metrics()
      assert.equal(2 * #big, m.bytes_read)
      assert.equal(2 * #big, m.bytes_written)
    end)

    it('gives partial frames again, in front of what follows', function()
      local got = {}
      local client = connect(nil, { bytes = framed(got) })
      local sent = {}
      for i = 1, 300 do
        sent[i] = pattern(i * 97 % 4000)
        local frame = string.pack('<s4', sent[i])
        local cut = i * 31 % (#frame + 1)
        client.link:write(frame:sub(1, cut))
        net:run(0.0002)
        client.link:write(frame:sub(cut + 1))
      end
      net:wait(function() return #got == #sent end, 'all frames')
      assert.same(sent, got)
    end)

    it('delivers one frame cut at any byte', function()
      local got = {}
      local client = connect(nil, { bytes = framed(got) })
      local frame = string.pack('<s4', 'twelve bytes')
      for cut = 0, #frame do
        client.link:write(frame:sub(1, cut))
        net:run(0.001)
        client.link:write(frame:sub(cut + 1))
        net:wait(function() return #got == cut + 1 end, 'the frame')
        assert.equal('twelve bytes', got[cut + 1])
      end
    end)

    it('gives views that may be kept', function()
      local client, server = connect(nil, {
        bytes = function(e, text)
          e.count = e.count + #text
          return #text, true
        end,
      })
      local all = {}
      for i = 1, 200 do
        all[i] = pattern(i * 211)
        client.link:write(all[i])
        if i % 10 == 0 then net:run(0.001) end
      end
      local text = table.concat(all)
      net:wait(function() return server.count == #text end, 'all')
      assert.is_true(server.link:kept() == text)
    end)

    it('lets recent bytes be amended until they leave', function()
      local client, server = connect()
      assert.is_false(client.link:amend 'x')
      client.link:write 'credit=1'
      assert.is_true(client.link:amend 'credit=9')
      assert.is_false(client.link:amend('too long, nothing of this was written'))
      wait_text(server, 'credit=9')
      assert.is_false(client.link:amend 'credit=7')
    end)

    it('sends everything before it closes', function()
      local client, server = connect()
      local big = pattern(2 * 1024 * 1024)
      client.link:write(big, true)
      client.link:write 'bye'
      client.link:close()
      client.link:close()
      net:wait(function() return client.closed and server.closed end, 'the end')
      assert.is_true(server:text() == big .. 'bye')
      assert.equal('OK', server.closed)
      assert.equal('OK', client.closed)
      assert.same({ 'close' }, server.events)
    end)

    it('says goodbye also when the other end is still talking', function()
      local client, server = connect()
      server.link:write(pattern(100000))
      client.link:write 'bye'
      client.link:close()
      server.link:write(pattern(100000))
      net:wait(function() return client.closed and server.closed end, 'the end')
      assert.equal('bye', server:text())
      assert.equal('OK', server.closed)
      assert.equal(0, client.count)
    end)

    it('drops everything when it is aborted', function()
      local client, server = connect()
      client.link:write(pattern(100000))
      client.link:abort('PROTOCOL', 'enough')
      assert.is_nil(client.closed)
      net:wait(function() return client.closed and server.closed end, 'the end')
      assert.equal('PROTOCOL', client.closed)
      assert.equal('enough', client.detail)
      assert.is_not.equal('PROTOCOL', server.closed)
      assert.equal(0, server.count)
    end)

    it('does nothing more once it is closing', function()
      local client, server = connect()
      client.link:close()
      assert.is_true(client.link:write 'lost')
      assert.is_true(client.link:write(pattern(100000), true))
      client.link:put 'lost'
      assert.is_false(client.link:amend 'l')
      client.link:abort 'TIMEOUT'
      client.link:put 'lost'
      net:wait(function() return client.closed and server.closed end, 'the end')
      assert.equal('TIMEOUT', client.closed)
      assert.equal(0, server.count)
    end)

    it('may be closed and aborted in every callback', function()
      for _, how in ipairs { 'close', 'abort' } do
        for _, where in ipairs { 'open', 'bytes', 'drained', 'close' } do
          if where == 'open' and kind.url() == 'pair' then goto continue end
          local function hook(e) e.link[how](e.link) end
          local client, server = connect({ [where] = hook }, { bytes = function() end })
          if client.link:is_open() and not client.closed then
            if where == 'bytes' or where == 'close' then server.link:write 'x' end
            if where == 'drained' then client.link:write(pattern(MAX - HIGH), true) end
            if where == 'close' then client.link:close() end
          end
          net:wait(function() return client.closed end, how .. ' in ' .. where)
          if server then net:wait(function() return server.closed end, 'the other end') end
          assert.equal('close', client.events[#client.events])
          ::continue::
        end
      end
    end)

    it('ends when both sides close at once', function()
      local client, server = connect()
      client.link:close()
      server.link:close()
      net:wait(function() return client.closed and server.closed end, 'the end')
      assert.same({ 'OK', 'OK' }, { client.closed, server.closed })
    end)

    it('tells when a long backlog has drained', function()
      local client, server = connect()
      client.link:write(pattern(HIGH * 16), true)
      local first = client.link:backlog()
      assert.is_true(first > HIGH)
      net:wait(function() return client.events[#client.events] == 'drained' end, 'the drained backlog')
      assert.is_true(client.link:backlog() < LOW)
      net:wait(function() return server.count == HIGH * 16 end, 'all')
      client.link:write 'short'
      net:run(0.01)
      local drained = 0
      for _, event in ipairs(client.events) do drained = drained + (event == 'drained' and 1 or 0) end
      assert.equal(1, drained)
    end)

    it('cuts off an end that does not read', function()
      local client, server = net:connect(kind.url(), nil, { accept = function() end })
      if server.link:info().remote == 'mem://' then return end -- both ends of a pair are started
      local block = pattern(LOW)
      local sent = 0
      while client.link:is_open() and not client.closed and sent < 4 * MAX do
        client.link:write(block, true)
        sent = sent + #block
        net:run(0.0005)
      end
      net:wait(function() return client.closed end, 'the cut')
      assert.equal('PEER_LOST', client.closed)
      assert.equal('the peer does not read', client.detail)
      assert.is_true(sent > MAX)
      assert.equal(1, net.world:metrics().links_cut)
      server.link:abort()
    end)

    it('closes in about a second when the last bytes are not taken', function()
      if kind.url() == 'pair' then return end
      local client, server = net:connect(kind.url(), nil, { accept = function() end })
      client.link:write(pattern(MAX - LOW), true)
      client.link:close()
      net:wait(function() return client.closed end, 'the end')
      assert.equal('PEER_LOST', client.closed)
      assert.equal('the peer did not take the last bytes', client.detail)
      server.link:abort()
    end)

    it('can be refused by aborting it unstarted', function()
      if kind.url() == 'pair' then return end
      local client = net:connect(kind.url(), nil, {
        accept = function(e) e.link:abort() end,
      })
      net:wait(function() return client.closed end, 'the end')
      assert.equal(0, client.count)
    end)

    it('can be closed with a word by who accepts it', function()
      if kind.url() == 'pair' then return end
      local client, server = net:connect(kind.url(), nil, {
        accept = function(e)
          e.link:start(e:ops())
          e.link:write 'go away'
          e.link:close()
        end,
      })
      if client.link:is_open() then client.link:write 'hello?' end
      net:wait(function() return client.closed and server.closed end, 'the end')
      assert.equal('go away', client:text())
    end)

    it('ends cleanly wherever memory runs out', function()
      local mem = require('perilune.testing').base.mem
      local text = pattern(100000)
      local failed = 0
      for n = 1, 12 do
        local got = {}
        local client, server = connect(nil, { bytes = framed(got) })
        mem.fail_at(n)
        client.link:put(string.pack('<s4', text):sub(1, 100))
        net:run(0.001)
        if client.link:is_open() then client.link:write(string.pack('<s4', text):sub(101)) end
        if client.link:is_open() then client.link:put(string.pack('<s4', 'end')) end
        net:wait(function() return #got == 2 or server.closed end, 'the frames or an end')
        mem.fail_at(0)
        if server.closed then
          failed = failed + 1
          net:wait(function() return client.closed end, 'the other end')
          assert.is_true(client.closed == 'NO_MEMORY' or server.closed == 'NO_MEMORY')
        else
          assert.is_true(got[1] == text)
        end
        for _, e in ipairs { client, server } do
          if e.link:is_open() then e.link:abort() end
        end
      end
      assert.is_true(failed > 0)
    end)

    it('sends what was written before the connection was there', function()
      local url = kind.url()
      if url == 'pair' then return end
      local l = net:listen(url)
      local client = net:dial(l.url)
      client.link:write 'early'
      net:wait(function() return l.accepted[1] and l.accepted[1].count == 5 end, 'the bytes')
      assert.equal('early', l.accepted[1]:text())
    end)

    it('can be given up while it connects', function()
      local url = kind.url()
      if url == 'pair' then return end
      local l = net:listen(url)
      for _, how in ipairs { 'close', 'abort' } do
        for turns = 0, 3 do
          local client = net:dial(l.url)
          client.link:write 'unwanted'
          for _ = 1, turns do net.world:step(0) end
          if client.link:is_open() then client.link[how](client.link) end
          net:wait(function() return client.closed end, 'the end')
        end
      end
    end)

    it('fails when nobody listens', function()
      local url = kind.url()
      if url == 'pair' then return end
      local l = net:listen(url)
      l:close()
      local client = net:dial(l.url)
      assert.is_nil(client.closed)
      net:wait(function() return client.closed end, 'the failure')
      assert.equal('CONNECT_FAILED', client.closed)
      assert.is_true(#client.detail > 0)
      assert.same({ 'close' }, client.events)
    end)

    it('is refused the address of another listener', function()
      local url = kind.url()
      if url == 'pair' then return end
      local l = net:listen(url)
      local other, code, detail = net:listen(l.url)
      assert.is_nil(other)
      assert.equal('ADDRESS_IN_USE', code)
      assert.is_true(#detail > 0)
      local client = net:dial(l.url)
      net:wait(function() return #client.events > 0 end, 'the first one')
      assert.same({ 'open' }, client.events)
    end)

    it('goes to a listener that may be closed and opened again', function()
      local url = kind.url()
      if url == 'pair' then return end
      for _ = 1, 3 do
        local client, server, l = net:connect(url)
        l:close()
        client.link:write 'still here'
        wait_text(server, 'still here')
      end
    end)
  end)
end

describe('dialling', function()
  local net
  before_each(function() net = links.new 'virtual' end)
  after_each(function() net:finish() end)

  it('knows which transports exist', function()
    assert.same({ nil, 'UNSUPPORTED' }, { net:dial 'tls://127.0.0.1:1' })
    assert.same({ nil, 'UNSUPPORTED', 'no transport for tls:// here' }, { net:listen 'tls://127.0.0.1:1' })
  end)

  it('has no sockets in virtual time', function()
    assert.same({ nil, 'UNSUPPORTED' }, { net:dial 'tcp://127.0.0.1:1' })
    assert.same({ nil, 'UNSUPPORTED', 'no transport for unix:// here' }, { net:listen 'unix:///tmp/x' })
  end)

  it('by a name in memory stays in its loop', function()
    local l = net:listen 'mem://hub'
    local other = links.new 'virtual'
    local client = other:dial 'mem://hub'
    other:wait(function() return client.closed end, 'the failure')
    other:finish()
    assert.equal('CONNECT_FAILED', client.closed)
    assert.equal(0, #l.accepted)
    client = net:dial 'mem://hub'
    net:wait(function() return #client.events > 0 end, 'the connection')
    assert.same({ 'open' }, client.events)
  end)
end)
