--- The admin listener: what a node tells over HTTP to whoever is on its machine.

local cluster = require 'spec.support.cluster'
local exposition = require 'spec.support.exposition'
local process = require 'spec.support.process'
local socket = require 'spec.support.socket'

-- luacheck: globals mesh report, ignore 431

local CLIENTS, TIME = 64, 10

local function split(answer)
  local status, fields, body = answer:match '^HTTP/1%.1 (%d+) [^\r\n]+\r\n(.-)\r\n\r\n(.*)$'
  assert(status, 'no answer: ' .. answer)
  local by = {}
  for name, value in (fields .. '\r\n'):gmatch '([^:\r\n]+): ([^\r\n]*)\r\n' do by[name] = value end
  return tonumber(status), body, by
end

cluster.describe('the admin listener', { 'mem' }, function(over)
  local net

  before_each(function() net = over.net end)

  local function ask(raw, request)
    raw:send(request)
    local answer = ''
    net:wait(function()
      answer = answer .. raw:take()
      return raw:is_closed()
    end, 'an answer')
    return split(answer .. raw:take())
  end

  local function get(path, method)
    return ask(net:dial 'mem://admin', (method or 'GET') .. ' ' .. path .. ' HTTP/1.1\r\nHost: localhost\r\n\r\n')
  end

  local function server(more)
    local options = { admin = 'mem://admin' }
    for key, value in pairs(more or {}) do options[key] = value end
    return net:node('b', options, function()
      mesh.action('add', function(x, y) return x + y end)
      mesh.action('boom', function() error 'boom' end)
      mesh.action('nap', function() mesh.sleep(0.3) end)
      mesh.action('an "odd" \\ name', function() return 1 end)
      mesh.action('no text \255', function() return 1 end)
    end)
  end

  it('says that the process lives, and whether the node serves', function()
    local b = net:launch('b', { admin = 'mem://admin' }, function()
      mesh.self()
      mesh.sleep(1)
      mesh.action('late', function() mesh.sleep(1000) end)
    end)
    net:advance(0.5)
    local status, body, fields = get '/health'
    assert.same({ 200, 'ok\n', '3', 'no-store', 'close' },
      { status, body, fields['Content-Length'], fields['Cache-Control'], fields.Connection })
    assert.same({ 503, 'loading\n' }, { get '/ready', (select(2, get '/ready')) })
    net:wait(function() return b:ready() end, 'the script to be loaded')
    assert.same({ 200, 'ready\n' }, { get '/ready', (select(2, get '/ready')) })
    local a = net:node('a', { peers = { b } })
    local run = a:start(function() mesh.with { timeout = 0 }.call 'late' end)
    net:advance(0.1)
    b:stop(5)
    net:advance(0.1)
    assert.same({ 503, 'draining\n' }, { get '/ready', (select(2, get '/ready')) })
    assert.equal(200, (get '/health'))
    run:cancel()
    b:finish(0)
  end)

  it('tells what has been counted, in the format of Prometheus', function()
    local b = server()
    local a = net:node('a', { peers = { b } })
    a:eval(function()
      for i = 1, 7 do mesh.call('add', i, i) end
      for _ = 1, 3 do pcall(mesh.call, 'boom') end
      for _ = 1, 2 do mesh.call 'nap' end
      mesh.call 'an "odd" \\ name'
      mesh.call 'no text \255'
    end)
    local status, body, fields = get '/metrics'
    assert.same({ 200, 'text/plain; version=0.0.4; charset=utf-8', tostring(#body) },
      { status, fields['Content-Type'], fields['Content-Length'] })
    local m = exposition.parse(body)
    local function of(name, action, more)
      local labels = { action = action, ['end'] = 'provider' }
      for key, value in pairs(more or {}) do labels[key] = value end
      return exposition.value(m, 'perilune_action_' .. name, labels)
    end
    assert.same({ 7, 7 }, { of('calls_total', 'add'), of('ok_total', 'add') })
    assert.same({ 0, 0 }, { of('running', 'add'), of('queued', 'add') })
    assert.same({ 3, 0, 3 }, { of('calls_total', 'boom'), of('ok_total', 'boom'),
      of('failed_total', 'boom', { code = 'HANDLER_ERROR' }) })
    assert.same({ 1, 1 }, { of('ok_total', 'an "odd" \\ name'), of('ok_total', 'no text \\xff') })
    local buckets, last = 0, 0
    for _, sample in ipairs(m.perilune_action_latency_seconds.samples) do
      if sample.name:find '_bucket$' and sample.labels.action == 'nap' then
        assert.is_true(sample.value >= last)
        local le = tonumber(sample.labels.le) or math.huge
        assert.equal(le > 0.3 and 2 or 0, sample.value, sample.labels.le)
        buckets, last = buckets + 1, sample.value
      end
    end
    assert.equal(22, buckets)
    assert.equal(2, of('latency_seconds_count', 'nap'))
    local sum = of('latency_seconds_sum', 'nap')
    assert.is_true(sum >= 0.6 and sum < 0.7, sum)
    local counted = net:metrics()
    assert.equal(counted.calls_ok, exposition.value(m, 'perilune_calls_ok_total'))
    assert.equal(counted.links_now, exposition.value(m, 'perilune_links'))
    assert.same({ 'gauge', 'counter' }, { m.perilune_links.type, m.perilune_calls_ok_total.type })
    assert.equal(1, exposition.value(m, 'perilune_node_info', { id = b:id(), name = 'b' }))
  end)

  it('answers HEAD as GET without the body', function()
    server()
    local status, body, fields = get('/health', 'HEAD')
    assert.same({ 200, '', '3' }, { status, body, fields['Content-Length'] })
  end)

  it('refuses other paths, other methods, and bodies', function()
    server()
    for _, path in ipairs { '/', '/metrics/', '/Metrics', '/../metrics', '/%6detrics', '//metrics' } do
      assert.equal(404, (get(path)), path)
    end
    assert.equal(200, (get '/health?verbose=1'))
    for _, method in ipairs { 'POST', 'PUT', 'DELETE', 'OPTIONS', 'get', 'TRACE' } do
      local status, _, fields = get('/metrics', method)
      assert.same({ 405, 'GET, HEAD' }, { status, fields.Allow })
    end
    assert.equal(400, (ask(net:dial 'mem://admin', 'GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx')))
    assert.equal(501, (ask(net:dial 'mem://admin', 'GET /health HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x\r\n\r\n')))
    assert.equal(505, (ask(net:dial 'mem://admin', 'GET /health HTTP/2.0\r\nHost: a\r\n\r\n')))
  end)

  it('takes a request that comes byte by byte, and answers the first of several', function()
    server()
    local raw = net:dial 'mem://admin'
    local request = 'GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n'
    for i = 1, #request - 1 do
      raw:send(request:sub(i, i))
      net:advance(0.001)
    end
    assert.is_false(raw:is_closed())
    local status, body = ask(raw, '\nGET /metrics HTTP/1.1\r\n\r\n')
    assert.same({ 200, 'ok\n' }, { status, body })
  end)

  it('refuses what is no request, and what is too large', function()
    server()
    for _, bytes in ipairs { '\n', '\r\n\r\n', 'hello\r\n\r\n', '\0\1\2\n', '\22\3\1\2\0\1\0\1\252\3\3\n',
      'GET /health HTTP/1.1\r\n\r\n', 'GET /health HTTP/1.1\r\nHost : a\r\n\r\n' } do
      assert.equal(400, (ask(net:dial 'mem://admin', bytes)), bytes)
    end
    assert.equal(431, (ask(net:dial 'mem://admin', 'GET /health HTTP/1.1\r\nX: ' .. ('x'):rep(20000))))
    local fields = ('X: y\r\n'):rep(65)
    assert.equal(431, (ask(net:dial 'mem://admin', 'GET /health HTTP/1.1\r\n' .. fields .. '\r\n')))
    assert.is_true(net:metrics().admin_refused >= 9)
  end)

  it('does not wait for ever for a request', function()
    server()
    local silent, slow = net:dial 'mem://admin', net:dial 'mem://admin'
    for i = 1, 9 do
      slow:send(('GET /hea'):sub(i, i))
      net:advance(1)
    end
    assert.is_false(silent:is_closed() or slow:is_closed())
    net:advance(TIME - 9 + 1.5)
    for _, raw in ipairs { silent, slow } do
      assert.equal(408, (split(raw:take())))
      assert.is_true(raw:is_closed())
    end
    assert.equal(200, (get '/health'))
  end)

  it('cuts whoever is one too many', function()
    server()
    local waiting = {}
    for i = 1, CLIENTS do waiting[i] = net:dial 'mem://admin' end
    local more = net:dial 'mem://admin'
    net:wait(function() return more:is_closed() end, 'the end of the last')
    assert.equal('', more:take())
    for i = 1, CLIENTS do assert.is_false(waiting[i]:is_closed()) end
    waiting[1]:abort()
    net:advance(0.1)
    assert.equal(200, (get '/health'))
  end)

  it('leaves nothing behind when the node ends under way', function()
    local b = server()
    local raw = net:dial 'mem://admin'
    raw:send 'GET /met'
    net:advance(0.1)
    b:finish(0)
    net:wait(function() return raw:is_closed() end, 'the end of the connection')
  end)
end)

describe('the admin listener of a process', function()
  local dir

  before_each(function()
    dir = process.temp_dir { ['app.lua'] = "require('perilune').action('one', function() return 1 end)" }
  end)

  local function run(args, env)
    return process.start({ process.perilune, 'run', 'app.lua', '--mesh', '', '--listen', 'tcp://127.0.0.1:0',
      table.unpack(args) }, { cwd = dir, env = env })
  end

  local function address(p)
    p:wait_line '^ready '
    return p:stderr():match 'admin listener address=(%S+)'
  end

  local function get(url, host)
    local s = socket.connect(url)
    s:send('GET /ready HTTP/1.1\r\nHost: ' .. host .. '\r\n\r\n')
    local status, body = split(s:receive_all())
    s:close()
    return status, body
  end

  it('is at the port that the log tells, by the option or the environment', function()
    for _, p in ipairs { run { '--admin', '127.0.0.1:0' }, run({}, { PERILUNE_ADMIN = 'localhost:0' }),
      run { '--admin=tcp://127.0.0.1:0' } } do
      assert.same({ 200, 'ready\n' }, { get(address(p), '127.0.0.1:9100') })
    end
  end)

  it('answers who calls it by a name of this machine alone', function()
    local at = address(run { '--admin', '127.0.0.1:0' })
    for _, host in ipairs { 'localhost', 'LOCALHOST:80', '127.0.0.1', '127.9.9.9:1', '[::1]', '[::1]:9' } do
      assert.equal(200, (get(at, host)), host)
    end
    for _, host in ipairs { 'example.org', 'localhost.example.org', '127.0.0.1.example.org', '10.0.0.1', '[::1]x',
      '[::2]', 'a127.0.0.1', '[' } do
      assert.equal(403, (get(at, host)), host)
    end
  end)

  it('may be a Unix socket', function()
    local p = run { '--admin', 'unix://' .. dir .. '/admin.sock' }
    assert.same({ 200, 'ready\n' }, { get(address(p), 'whatever') })
  end)

  it('is refused where other machines could reach it, whatever is said', function()
    for _, at in ipairs { '0.0.0.0:0', '*:0', '[::]:0', '10.1.2.3:0' } do
      local p = run { '--admin', at, '--insecure' }
      assert.equal(1, p:wait())
      assert.matches('FORBIDDEN: admin: only this machine may ask', p:stderr())
    end
  end)

  it('is refused with the reason when there can be none', function()
    local taken = run { '--admin', '127.0.0.1:0' }
    local port = address(taken):match ':(%d+)$'
    for at, why in pairs { ['127.0.0.1:' .. port] = 'ADDRESS_IN_USE', nonsense = 'INVALID: admin: nonsense: ',
      ['example.org:1'] = 'FORBIDDEN' } do
      local p = run { '--admin', at }
      assert.equal(1, p:wait(), at)
      assert.matches(why, p:stderr())
    end
  end)

  it('is not for a script in a sandbox to open', function()
    dir = process.temp_dir { ['app.lua'] = "require('perilune').node { admin = '127.0.0.1:0' }" }
    local p = run { '--sandbox' }
    assert.equal(1, p:wait())
    assert.matches('FORBIDDEN', p:stderr())
  end)
end)
