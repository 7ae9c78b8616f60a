local nodes = require 'spec.support.nodes'
local peers = require 'spec.support.peers'
local process = require 'spec.support.process'
local socket = require 'spec.support.socket'

local types, frame = peers.types, peers.frame

local MIB = 1024 * 1024
local READY = frame(types.READY)
local FLAGS = { '--handshake-timeout=1', '--log-level=error' }
local SERVE = "mesh.action('add', function(a, b) return a + b end)"

local generator = 88172645463325252

--- So many random bytes, always the same.
local function noise(n)
  local parts = {}
  for i = 1, (n + 7) // 8 do
    generator = generator ~ (generator << 13)
    generator = generator ~ (generator >> 7)
    generator = generator ~ (generator << 17)
    parts[i] = string.pack('>i8', generator)
  end
  return table.concat(parts):sub(1, n)
end

local function header(type, flags, aux, label, length)
  return string.pack('>BBI2I4I4', type, flags, aux, label, length)
end

--- The bytes of a handshake that succeeds, each time as another node.
local last_id = 0
local function greeting()
  last_id = last_id + 1
  return peers.PREAMBLE .. peers.hello { id = string.pack('>I8I8', 7, last_id), name = 'stranger' } .. READY
end

--- What a stranger may say before anybody knows it.
local function strangers()
  local list = {
    '\n', '\0', 'PLN', 'PLN\n', 'PLN\r\n\1\0\0\0', 'QUIT\r\n',
    'GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\r\n',
    '*1\r\n$4\r\nPING\r\n',
    '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03' .. noise(508), -- a TLS hello
    ('\n'):rep(100000), ('\xff'):rep(100000), ('\0'):rep(100000),
    peers.PREAMBLE:sub(1, 4), peers.PREAMBLE:sub(1, 7),
    'PLN\n\0\0\0\0', 'PLN\n\2\0\0\0', 'PLN\n\xff\xff\xff\xff', -- other versions
    peers.PREAMBLE, peers.PREAMBLE .. '\xff\xff\xff\xff', peers.PREAMBLE .. noise(3000),
    peers.PREAMBLE .. ('\0'):rep(12), peers.PREAMBLE .. READY, peers.PREAMBLE .. peers.goodbye(),
    peers.PREAMBLE .. peers.hello(), peers.PREAMBLE .. peers.hello() .. peers.hello(),
    peers.PREAMBLE .. peers.hello():sub(1, -2), peers.PREAMBLE .. peers.hello { id = ('\0'):rep(16) },
    peers.PREAMBLE .. header(types.HELLO, 0, 0, 0, 0xffffffff),
    peers.PREAMBLE .. header(types.HELLO, 0, 0, 0, 16384) .. ('\xdf\xff\xff\xff\xff'):rep(4000),
    peers.PREAMBLE .. frame(types.HELLO, ('\x91'):rep(16000)), -- nested
    peers.PREAMBLE .. frame(types.HELLO, '\xdf\xff\xff\xff\xff'), -- a map of four billion
    peers.PREAMBLE .. frame(types.HELLO, '\x81\x01\xc6\xff\xff\xff\xff'), -- an id of 4 GiB
    peers.PREAMBLE .. peers.hello() .. frame(types.CALL, '', 1),
  }
  for size = 1, 60 do list[#list + 1] = noise(size * size) end
  return list
end

--- What one may say that has shaken hands.
local function guests()
  local list = {
    '\xff\xff\xff\xff', '\0', ('\0'):rep(12), noise(12), noise(4000),
    peers.hello(), READY,
    frame(types.PING, noise(65)), frame(types.ADVERT, noise(100)), frame(types.ADVERT, ('\x91'):rep(10000)),
    frame(types.ADVERT, '\x83\x01\x01\x03\xc3\x04\xdd\xff\xff\xff\xff'), -- four billion items
    frame(types.CALL, noise(50), 1), frame(types.CALL, '', 0), frame(types.CALL, '\x80', 2),
    header(types.CALL, 1, 0, 1, 16384) .. noise(100),
    frame(33, noise(100), 1), frame(36, noise(100), 1, 0x10), frame(38, '\x82\x01\xcf' .. ('\xff'):rep(8), 1),
    frame(types.PING, '', 5), frame(63, '', 1), frame(1, '', 1), frame(types.GOODBYE, noise(20)),
  }
  for type = 0, 70, 3 do
    list[#list + 1] = header(type, 0, 0, type < 32 and 0 or 1, 0xffffffff) -- announces gigabytes
    list[#list + 1] = header(type, 0xff, 0xffff, 0xffffffff, 10) .. noise(10)
  end
  return list
end

local function call_works(client)
  assert.equal(5, client:eval "return mesh.call('add', 2, 3)")
end

--- The shortest of some calls, in seconds: what the machine does beside is not the node's.
local function call_time(client)
  return client:eval [[
    local best = math.huge
    for _ = 1, 20 do
      local before = mesh.now()
      mesh.call('add', 2, 3)
      best = math.min(best, mesh.now() - before)
    end
    return best
  ]]
end

--- Runs `body` between a look at the node and another: nothing may stay of it.
local function leaves_no_trace(server, client, body)
  call_works(client)
  local fds, memory = server:descriptors(), server:rss()
  body()
  call_works(client)
  server:wait_for 'return mesh.metrics().links_now == 1 and #mesh.nodes() == 2'
  local deadline = process.now() + 5 * process.patience
  while server:descriptors() > fds and process.now() < deadline do process.sleep(0.05) end
  assert.equal(fds, server:descriptors())
  local growth = server:rss() - memory
  assert.is_true(growth < 6 * MIB or server:is_sanitized(), growth)
  assert.equal(0, client:metrics().peers_lost)
  assert.equal('', server.process:stderr():gsub('^ready [^\n]*\n', '')) -- nothing to bother anybody with
end

for _, kind in ipairs { 'tcp', 'unix' } do
  describe('a listener over ' .. kind, function()
    local server, client

    before_each(function()
      server = nodes.start('server', { listen = kind, flags = FLAGS }, SERVE)
      client = nodes.start('client', { peers = { server } })
    end)

    --- Opens a connection for each text, says it, and waits until the node has closed them all.
    local function say_all(texts, finish)
      local open = {}
      for i, text in ipairs(texts) do
        open[i] = socket.connect(server.url)
        open[i]:send(text)
        if finish then open[i]:finish() end
      end
      local answers = {}
      for i, s in ipairs(open) do
        answers[i] = s:receive_all()
        s:close()
      end
      return answers
    end

    it('closes strangers that do not speak the protocol, and says nothing to them', function()
      leaves_no_trace(server, client, function()
        local texts = strangers()
        for i, answer in ipairs(say_all(texts)) do
          if texts[i]:sub(1, 4) ~= 'PLN\n' then assert.equal('', answer) end
        end
        say_all(texts, true)
      end)
    end)

    it('tells its version to those of another', function()
      for _, answer in ipairs(say_all { 'PLN\n\2\0\0\0', 'PLN\n\0\9\0\0' }) do
        assert.equal(peers.PREAMBLE, answer)
      end
      server:wait_for 'return mesh.metrics().handshakes_failed == 2'
    end)

    it('says goodbye to guests that break the protocol, and allocates nothing that they announce', function()
      leaves_no_trace(server, client, function()
        local texts = guests()
        for i, text in ipairs(texts) do texts[i] = greeting() .. text end
        for _, answer in ipairs(say_all(texts, true)) do
          assert.equal(peers.PREAMBLE, answer:sub(1, 8))
        end
        assert.is_true(server:metrics().protocol_errors > 20)
      end)
    end)

    it('closes whoever stays silent when the handshake should be over', function()
      local began = process.now()
      for _, text in ipairs { '', 'PL', peers.PREAMBLE:sub(1, 6), peers.PREAMBLE .. peers.hello() } do
        local s = socket.connect(server.url)
        s:send(text)
        s:receive_all(3 * process.patience)
        local took = process.now() - began
        assert.is_true(took > 0.9, took)
        began = process.now()
      end
      call_works(client)
    end)

    it('is not kept by drops of bytes', function()
      local s, began = socket.connect(server.url), process.now()
      local text, closed = peers.PREAMBLE .. peers.hello() .. READY, false
      for i = 1, #text do
        if not s:send(text:sub(i, i)) or s:receive(0.1) == '' then
          closed = true
          break
        end
      end
      assert.is_true(closed)
      local took = process.now() - began
      assert.is_true(took > 0.9 and took < 2 * process.patience, took)
      call_works(client)
    end)

    it('takes no more than 64 KiB of one that is not known yet', function()
      local s, sent = socket.connect(server.url), 0
      s:send(peers.PREAMBLE)
      local skipped = frame(200, ('x'):rep(1000))
      while s:send(skipped) do
        sent = sent + #skipped
        assert.is_true(sent < 8 * MIB) -- what the system holds in between
        if s:receive(0) == '' then break end
      end
      assert.is_true(server:metrics().bytes_read < 2 * 256 * 1024) -- it may come in one read
      call_works(client)
    end)

    it('serves while a thousand are connected that never speak, and forgets them', function()
      leaves_no_trace(server, client, function()
        local silent = {}
        for i = 1, socket.allow(1000) do silent[i] = socket.connect(server.url) end
        local took = call_time(client)
        assert.is_true(took < 0.1 * process.patience, took)
        for _, s in ipairs(silent) do
          assert.equal('', s:receive_all())
          s:close()
        end
      end)
    end)

    it('stands storms of those that come and go', function()
      leaves_no_trace(server, client, function()
        for i = 1, 3000 do
          local s = socket.connect(server.url)
          if i % 4 == 1 then
            s:send(noise(i % 100))
          elseif i % 4 == 2 then
            s:send(greeting())
          elseif i % 4 == 3 then
            s:finish()
          end
          if i % 3 == 0 then s:reset() else s:close() end
        end
        assert.is_true(call_time(client) < 0.1 * process.patience)
      end)
    end)
  end)
end
