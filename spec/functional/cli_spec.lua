--- The commands: what they print, where, and how they end.

local json = require 'dkjson'
local process = require 'spec.support.process'

local WORKER = [[
  local mesh = require 'perilune'
  mesh.action('echo', function(...) return ... end)
  mesh.action('count', function(max)
    for i = 1, max do coroutine.yield(i) end
    return 'done', max
  end, { description = 'counts' })
  mesh.action('several', function()
    coroutine.yield(1, 'a', nil)
    coroutine.yield()
    coroutine.yield(nil)
    coroutine.yield({})
  end)
  mesh.action('bytes', function()
    coroutine.yield('a\0b\n')
    coroutine.yield('\255\254', 5)
  end)
  mesh.action('fails', function() error { code = 'OUT_OF_STOCK', message = 'none left', details = { sku = 5 } } end)
  mesh.action('steers', function() error('\27[2Jgone\r', 0) end)
  mesh.action('fails_later', function()
    for i = 1, 3 do coroutine.yield(i) end
    error('no more', 0)
  end)
  mesh.action('endless', function()
    local stopped <close> = setmetatable({}, { __close = function() print 'producer stopped' end })
    local i = 0
    while true do
      i = i + 1
      coroutine.yield(i)
    end
  end)
  mesh.action('blocks', function()
    local stopped <close> = setmetatable({}, { __close = function() print 'producer stopped' end })
    local block = ('x'):rep(65536)
    for i = 1, math.huge do
      print(i .. ' blocks')
      coroutine.yield(block)
    end
  end)
  mesh.action('sleeps', function()
    print 'sleeper started'
    local stopped <close> = setmetatable({}, { __close = function() print 'sleeper stopped' end })
    mesh.sleep(60)
  end)
]]

local function start_worker(...)
  local dir = process.temp_dir { ['worker.lua'] = WORKER }
  local worker = process.start({ process.perilune, 'run', 'worker.lua', ... }, { cwd = dir })
  local listen = worker:wait_line '^ready .*listen=(%S*)'
  return worker, listen
end

local perilune = process.perilune_run

local function fails(code, pattern, ...)
  local p = perilune(...)
  assert.equal(code, p.code, p.stderr)
  assert.equal('', p.stdout)
  assert.matches(pattern, p.stderr)
  return p
end

describe('the command line', function()
  it('names what it knows when it is empty', function()
    local p = fails(2, '^usage: perilune COMMAND')
    assert.equal(p.stderr, perilune('help').stdout)
    assert.equal(p.stderr, perilune('--help').stdout)
    assert.equal(p.stderr, perilune('-h').stdout)
  end)

  it('has a help for each command, with an example', function()
    local commands = 0
    for name in perilune('help').stdout:gmatch '\n  (%l+) +%l' do
      commands = commands + 1
      local p = perilune('help', name)
      assert.same({ 0, '' }, { p.code, p.stderr })
      assert.matches('^usage: perilune ' .. name, p.stdout)
      if name ~= 'help' then assert.equal(p.stdout, perilune(name, '--help').stdout) end
      local is_plain = name == 'help' or name == 'version'
      if not is_plain then assert.matches('\n  perilune ' .. name .. ' ?[^\n]*\n', p.stdout) end
    end
    assert.is_true(commands >= 17)
  end)

  it('says its version', function()
    assert.matches('^perilune %d+%.%d+%.%d+ %(Lua 5%.4%.%d+, libuv [%d.]+%)\n$', perilune('version').stdout)
    assert.equal(perilune('version').stdout, perilune('--version').stdout)
  end)

  it('guesses what was meant', function()
    fails(2, "^INVALID: no command 'rnu'; did you mean 'run'%?\n", 'rnu')
    fails(2, "^INVALID: no command 'action'; did you mean 'actions'%?\n", 'action')
    fails(2, "^INVALID: no command 'xyzzy'\n", 'xyzzy')
    fails(2, "a script is run by 'perilune run app.lua'\n", 'app.lua')
    fails(2, "^INVALID: the command comes before '%-%-peer'\n", '--peer')
    fails(2, "^INVALID: no option '%-%-nmae'; did you mean '%-%-name'%?\ntry 'perilune help run'\n$",
      'run', 'app.lua', '--nmae', 'x')
    fails(2, "^INVALID: no option '%-%-peers'; did you mean '%-%-peer'%?\n", 'call', 'x', '--peers=a')
    fails(2, "^INVALID: no option '%-%-jsno'; did you mean '%-%-json'%?\n", 'nodes', '--jsno')
    fails(2, "^INVALID: no option '%-x'\n", 'call', '-x')
  end)

  it('knows what comes in a later version', function()
    for name in ('emit')
      :gmatch '%a+' do
      fails(2, "^UNSUPPORTED: '" .. name .. "' is not available in this version\n", name)
    end
  end)

  it('refuses missing and unexpected arguments', function()
    fails(2, '^INVALID: FILE is missing: perilune run FILE', 'run')
    fails(2, '^INVALID: FILE is missing', 'run', '--', 'app.lua')
    fails(2, '^INVALID: ACTION is missing', 'call')
    fails(2, '^INVALID: NODE is missing', 'ping')
    fails(2, "^INVALID: unexpected argument 'x'\n", 'nodes', 'x')
    fails(2, "^INVALID: unexpected argument 'b'\n", 'ping', 'a', 'b')
    fails(2, '^INVALID: %-%-name needs a value', 'run', 'app.lua', '--name')
    fails(2, '^INVALID: %-%-name needs a value', 'run', 'app.lua', '--name', '--insecure')
    fails(2, '^INVALID: %-%-json takes no value', 'nodes', '--json=yes')
    fails(2, "^INVALID: unexpected argument 'b'\n", 'reload', 'a', 'b')
    fails(2, "^INVALID: unexpected argument 'x'\n", 'version', 'x')
    fails(2, "^INVALID: unexpected argument '%-%-json'\n", 'version', '--json')
    fails(2, "^INVALID: unexpected argument 'x'\n", 'help', 'call', 'x')
    for _, count in ipairs { '0', '1.5', '1e300' } do
      fails(2, "^INVALID: %-%-count: '" .. count .. "' is not 1, 2, 3 or more\n", 'ping', 'a', '--count', count)
    end
    fails(2, "^INVALID: mesh: '%.%./x' is not a name", 'nodes', '--mesh', '../x')
    fails(2, "^INVALID: peers: 'tcp://127.0.0.1:0' is not an address: who is dialled has a port above 0\n",
      'nodes', '--peer', 'tcp://127.0.0.1:0')
    fails(2, "^INVALID: peers: 'tcp://%*:4100' is not an address: who is dialled has a host, not %*\n",
      'nodes', '--peer', 'tcp://*:4100')
    fails(2, "^INVALID: %-%-timeout: '%-1' is not a number of 0 or more", 'call', 'x', '--timeout', '-1')
  end)

  it('reaches nobody: exit code 3, and what to do', function()
    fails(3, "^CONNECT_FAILED: no node runs in the local mesh 'default' of this user\n.*perilune run FILE", 'nodes')
    fails(3, "^CONNECT_FAILED: no node runs in the local mesh 'other'", 'call', 'x', '--mesh', 'other')
    local url = 'tcp://127.0.0.1:' .. process.free_port()
    for _, command in ipairs { { 'call', 'x' }, { 'stream', 'x' }, { 'nodes' }, { 'actions' }, { 'ping', 'x' } } do
      command[#command + 1] = '--peer=' .. url
      fails(3, '^CONNECT_FAILED: no node was reached\n  ' .. url:gsub('%p', '%%%0') .. ': connection refused\n',
        table.unpack(command))
    end
    fails(3, '^CONNECT_FAILED: no node was reached\n', 'nodes', { env = { PERILUNE_PEER = url } })
  end)
end)

describe('perilune call', function()
  it('prints each result as one line of JSON', function()
    start_worker()
    local arguments = { '1', '-5', '2.0', '1e3', 'true', 'null', '"a\\u0000b"', '[1,[]]', '{"a":{"b":null}}' }
    local p = perilune('call', 'echo', table.unpack(arguments))
    assert.equal(0, p.code, p.stderr)
    assert.equal('1\n-5\n2.0\n1000.0\ntrue\nnull\n"a\\u0000b"\n[1,[]]\n{"a":{"b":null}}\n', p.stdout)
    assert.equal('', p.stderr)
    assert.equal('', perilune('call', 'echo').stdout)
  end)

  it('keeps integers of 64 bits', function()
    start_worker()
    assert.equal('9223372036854775807\n-9223372036854775808\n',
      perilune('call', 'echo', '9223372036854775807', '-9223372036854775808').stdout)
  end)

  it('takes what follows -- as arguments', function()
    start_worker()
    assert.equal('"--json"\n', perilune('call', 'echo', '--', '"--json"').stdout)
    assert.equal('-1\n', perilune('call', '--', 'echo', '-1').stdout)
  end)

  it('refuses an argument that is not JSON, before it asks anybody', function()
    fails(2, [[^INVALID: 'abc' is not JSON; quote a string as '"abc"'%s]], 'call', 'echo', 'abc')
    fails(2, [[; quote a string as '"it'\''s"'%s]], 'call', 'echo', "it's")
    fails(2, [[^INVALID: '%[1,' is not JSON.*line 1 column 4]], 'call', 'echo', '[1,')
    fails(2, "^INVALID: '' is not JSON", 'call', 'echo', '')
    fails(2, "^INVALID: '01' is not JSON", 'stream', 'echo', '01')
    fails(2, "^INVALID: 'NaN' is not JSON", 'call', 'echo', 'NaN')
    fails(2, "^INVALID: '1 2' is not JSON", 'call', 'echo', '1 2')
    fails(2, 'is not JSON', 'call', 'echo', '\255')
    fails(2, 'is not JSON', 'call', 'echo', ('['):rep(100))
  end)

  it('fails at once with what the mesh says', function()
    start_worker()
    local p = fails(1, '^NOT_FOUND: .*\n  action: nobody\n  outcome: not_sent\n$', 'call', 'nobody')
    assert.is_nil(p.stderr:find 'traceback')
    fails(1, '^OUT_OF_STOCK: none left\n.*\n  details: {"sku":5}\nstack traceback:\n', 'call', 'fails')
    fails(1, '^HANDLER_ERROR: \\x1b%[2Jgone\\x0d\n', 'call', 'steers')
    fails(1, "^STREAM_EXPECTED: .*perilune stream'", 'call', 'count', '3')
  end)

  it('gives up after --timeout, and the handler is told', function()
    local worker = start_worker()
    fails(1, '^TIMEOUT: ', 'call', 'sleeps', '--timeout', '0.2')
    worker:wait_line('sleeper stopped', nil, 'stdout')
    fails(1, '^TIMEOUT: ', 'call', 'sleeps', { env = { PERILUNE_REQUEST_TIMEOUT = '0.2' } })
  end)

  it('cancels when it is interrupted', function()
    local worker = start_worker()
    local call = process.start { process.perilune, 'call', 'sleeps', '--timeout', '0' }
    worker:wait_line('sleeper started', nil, 'stdout')
    call:kill 'INT'
    assert.equal(130, (call:wait()))
    worker:wait_line('sleeper stopped', nil, 'stdout')
  end)

  it('asks where --peer or PERILUNE_PEER says', function()
    local _, url = start_worker('--listen', 'tcp://127.0.0.1:0')
    fails(3, 'local mesh', 'call', 'echo', '1')
    assert.equal('1\n', perilune('call', 'echo', '1', '--peer', url).stdout)
    assert.equal('1\n', perilune('call', 'echo', '1', { env = { PERILUNE_PEER = url } }).stdout)
    local nowhere = 'tcp://127.0.0.1:' .. process.free_port()
    local p = perilune('call', 'echo', '1', '--peer', url, { env = { PERILUNE_PEER = nowhere } })
    assert.equal('1\n', p.stdout)
    assert.equal('', p.stderr)
  end)

  it('says that its output could not be written', function()
    start_worker()
    local p = process.run { 'sh', '-c', process.perilune .. ' call echo 1 >/dev/full' }
    assert.equal(1, p.code)
    assert.matches('no space left on device', p.stderr)
    p = process.run { 'sh', '-c', process.perilune .. ' call echo 1 >&-' }
    assert.equal(1, p.code)
    assert.matches('bad file descriptor', p.stderr)
    p = process.run { 'sh', '-c', process.perilune .. ' call echo 1 2>&- <&-' }
    assert.equal(0, p.code)
    assert.equal('1\n', p.stdout)
  end)
end)

describe('perilune stream', function()
  it('prints each chunk as one line of JSON, and the results to standard error', function()
    start_worker()
    local p = perilune('stream', 'count', '3')
    assert.equal(0, p.code, p.stderr)
    assert.equal('1\n2\n3\n', p.stdout)
    assert.equal('"done"\n3\n', p.stderr)
    assert.equal('[1,"a",null]\nnull\nnull\n{}\n', perilune('stream', 'several').stdout)
  end)

  it('writes strings as they are with --raw', function()
    start_worker()
    assert.equal('a\0b\n\255\2545\n', perilune('stream', 'bytes', '--raw').stdout)
  end)

  it('prints the chunks that came before an error', function()
    start_worker()
    local p = perilune('stream', 'fails_later')
    assert.equal(1, p.code)
    assert.equal('1\n2\n3\n', p.stdout)
    assert.matches('^HANDLER_ERROR: no more\n', p.stderr)
  end)

  it('ends quietly when nobody reads on, and the producer stops', function()
    local worker = start_worker()
    local p = process.run { 'bash', '-o', 'pipefail', '-c', process.perilune .. ' stream endless | head -n 1' }
    assert.equal(0, p.code)
    assert.equal('1\n', p.stdout)
    assert.equal('', p.stderr)
    worker:wait_line('producer stopped', nil, 'stdout')
  end)

  it('holds the producer up while nobody reads, and answers signals', function()
    local worker = start_worker()
    local fifo = process.temp_dir() .. '/fifo'
    assert(os.execute('mkfifo ' .. fifo))
    local reader = process.start({ 'sh', '-c', 'exec 3<' .. fifo .. '; echo open; read line; echo $line' },
      { stdin = true })
    local p = process.start { 'sh', '-c', ('exec %s stream blocks --raw >%s'):format(process.perilune, fifo) }
    reader:wait_line 'open'
    worker:wait_line('^8 blocks', nil, 'stdout') -- more than a pipe and a window hold
    for _ = 1, 10 do assert.equal('1\n', perilune('call', 'echo', '1').stdout) end
    assert.is_nil(worker:stdout():find '\n40 blocks')
    p:kill 'TERM'
    assert.equal(143, (p:wait(2)))
    worker:wait_line('producer stopped', nil, 'stdout')
    reader:close_stdin()
  end)

  it('prints a chunk when it comes, not when the next does', function()
    local dir = process.temp_dir { ['tick.lua'] = [[
      local mesh = require 'perilune'
      mesh.action('tick', function() coroutine.yield 'first' mesh.sleep(60) end)
    ]] }
    process.start({ process.perilune, 'run', 'tick.lua' }, { cwd = dir }):wait_line '^ready '
    process.start({ process.perilune, 'stream', 'tick' }):wait_line('"first"', 5, 'stdout')
  end)

  it('gives up after --idle seconds without a chunk', function()
    start_worker()
    fails(1, '^TIMEOUT: ', 'stream', 'sleeps', '--timeout', '0.2')
    local dir = process.temp_dir { ['tick.lua'] = [[
      local mesh = require 'perilune'
      mesh.action('tick', function() coroutine.yield 'first' mesh.sleep(60) end)
    ]] }
    process.start({ process.perilune, 'run', 'tick.lua' }, { cwd = dir }):wait_line '^ready '
    local p = perilune('stream', 'tick', '--idle', '0.2')
    assert.equal(1, p.code)
    assert.equal('"first"\n', p.stdout)
    assert.matches('^TIMEOUT: ', p.stderr)
  end)
end)

describe('perilune explain', function()
  it('shows who would take a call, and why', function()
    local worker = start_worker('--name', 'worker', '--region', 'eu')
    local id = worker.collected.stderr:match 'ready name=worker id=(%x+)'
    local p = perilune('explain', 'echo', '1')
    assert.equal(0, p.code, p.stderr)
    assert.matches('^echo: worker takes the call, because it is the only one that can take the call\n' ..
      'strategy: least, the default\n\n   NODE    ID +HOPS +COST +VIA +REGION +STANDING', p.stdout)
    assert.matches('\n%*  worker  ' .. id .. '  1 .*  worker +eu +fit +ok +0 +0 ', p.stdout)
    assert.matches('strategy: hash, said by the node\n', perilune('explain', 'echo', '--strategy', 'hash').stdout)
    p = perilune('explain', 'missing')
    assert.equal("missing: nobody takes the call, because no reachable node provides the action 'missing'\n" ..
      'strategy: least, the default\n', p.stdout)
    fails(2, "^INVALID: strategy: 'best' is no strategy", 'explain', 'echo', '--strategy', 'best')
  end)

  it('prints one line of JSON with --json', function()
    local worker = start_worker('--name', 'worker')
    local id = worker.collected.stderr:match 'ready name=worker id=(%x+)'
    local how = json.decode(perilune('explain', 'echo', '--json', '--key', 'x').stdout)
    assert.same({ 'echo', 'least', 'default', id, 1 },
      { how.action, how.strategy, how.said_by, how.choice, #how.candidates })
    local c = how.candidates[1]
    assert.same({ id, 'worker', 1, 'ok', 'fit', true }, { c.id, c.name, c.hops, c.health, c.standing, c.chosen })
    assert.equal('[]', perilune('explain', 'missing', '--json').stdout:match '"candidates":(%b[])')
  end)
end)

describe('perilune nodes, actions and ping', function()
  it('show a table to people', function()
    start_worker('--name', 'worker')
    local row = 'worker  ' .. ('%x'):rep(32) .. '  1     %-    .*  up     10\n$'
    assert.matches('^NAME    ID +HOPS  VIA  COST +STATE  ACTIONS\n' .. row, perilune('nodes').stdout)
    assert.matches('\ncount +1 +worker +counts\n', perilune('actions').stdout)
  end)

  it('print one line of JSON with --json', function()
    local worker = start_worker('--name', 'worker')
    local id = worker.collected.stderr:match 'ready name=worker id=(%x+)'
    local nodes = perilune('nodes', '--json').stdout
    assert.matches('^%[[^\n]*%]\n$', nodes)
    local node = json.decode(nodes)[1]
    assert.equal('worker', node.name)
    assert.equal(id, node.id)
    assert.equal(1, node.hops)
    assert.equal(10, #node.actions)
    for _, action in ipairs(json.decode(perilune('actions', '--json').stdout)) do
      assert.equal(1, #action.providers)
      assert.equal(id, action.providers[1].id)
    end
  end)

  it('do not let a name move the cursor', function()
    local dir = process.temp_dir { ['app.lua'] = "require('perilune').action('\\xff\\xfe', print)" }
    process.start({ process.perilune, 'run', 'app.lua' }, { cwd = dir }):wait_line '^ready '
    assert.matches('\n\\xff\\xfe +1 ', perilune('actions').stdout)
  end)

  it('measure round trips to a node, by name and by id', function()
    local worker = start_worker('--name', 'worker')
    local id = worker.collected.stderr:match 'ready name=worker id=(%x+)'
    local p = perilune('ping', 'worker', '--count', '2')
    assert.equal(0, p.code, p.stderr)
    assert.matches('^worker: [%d.]+ ms\nworker: [%d.]+ ms\n2 round trips: least [%d.]+ ms, mean ', p.stdout)
    local all = json.decode(perilune('ping', id, '--count=3', '--json').stdout)
    assert.equal(3, #all.times)
    assert.is_true(all.min <= all.mean and all.mean <= all.max and all.max < 5)
    fails(1, "^NO_ROUTE: no node named 'nobody' is known", 'ping', 'nobody')
  end)

  it('list the ids of nodes of one name', function()
    start_worker('--name', 'twin')
    start_worker('--name', 'twin')
    local p = fails(1, '^INVALID: ', 'ping', 'twin')
    assert.matches(('%x'):rep(32) .. ' ' .. ('%x'):rep(32), p.stderr)
  end)
end)
