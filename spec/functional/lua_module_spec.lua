--- The Lua module: programs in plain lua5.4 that ask a mesh. Under a sanitizer, which has to be in the interpreter,
--- too, it is spec/plain/interpreter.c that loads the module in place of lua5.4.

local nodes = require 'spec.support.nodes'
local process = require 'spec.support.process'

local build = process.perilune:match '^(.*)/'
local sanitized = io.open(build .. '/perilune_plain') ~= nil
local interpreter = sanitized and build .. '/perilune_plain' or 'lua5.4'
local module = build .. '/module/?.so'

local SCRIPT = [[
  local produced = 0
  mesh.action('sum', function(list)
    local total = 0
    for _, n in ipairs(list) do total = total + n end
    return total
  end)
  mesh.action('echo', function(...) return ... end)
  mesh.action('echo_json', function(...) return ... end, { serializer = 'json' })
  mesh.action('count', function(n) for i = 1, n do coroutine.yield(i) end return 'done', n end)
  mesh.action('odd', function() coroutine.yield() coroutine.yield(nil, 2) end)
  mesh.action('fail', function() error { code = 'OUT_OF_STOCK', message = 'none left', details = { left = 0 } } end)
  mesh.action('sleep', function(s)
    local on_end <close> = setmetatable({}, { __close = function(_, err) ended = err and err.code or 'well' end })
    mesh.sleep(s)
    return 'slept'
  end)
  mesh.action('fails_late', function() coroutine.yield(1) error 'late' end)
  mesh.action('flood', function() while true do produced = produced + 1 coroutine.yield(produced) end end)
  mesh.action('produced', function() return produced end)
  mesh.action('measure', function() local n = 0 for block in mesh.input() do n = n + #block end return n end)
  mesh.action('one_only', function() for block in mesh.input() do return #block end end)
  mesh.action('who', function() local c = mesh.context() return c.meta and c.meta.user, mesh.self().name end)
]]

--- Starts a program, of which `arg` are the rest.
local function start(code, options, ...)
  local dir = process.temp_dir { ['program.lua'] = "local perilune = require 'perilune'\n" .. code }
  options = options or {}
  options.env = options.env or {}
  options.env.LUA_CPATH_5_4 = options.env.LUA_CPATH_5_4 or module
  options.cwd = dir
  return process.start({ interpreter, 'program.lua', ... }, options)
end

--- Runs one, which must succeed, and returns what it printed.
local function run(code, ...)
  local p = start(code, {}, ...)
  local status = p:wait(60)
  if status ~= 0 or p:stderr() ~= '' then p:fail('it failed', 2) end
  return p:stdout()
end

describe('a program in plain Lua', function()
  local node

  before_each(function() node = nodes.start('b', { listen = 'unix' }, SCRIPT) end)

  it('calls, and values of any kind arrive as they were', function()
    assert.equal('60\n', run([[
      local mesh <close> = perilune.connect(arg[1])
      print(mesh.call('sum', { 10, 20, 30 }))
      local long = ('x'):rep(1000000)
      local function check(name)
        local r = table.pack(mesh.call(name, nil, true, 1, 1.0, math.mininteger, 0.1, 'text', { 1, { a = { 2.5 } } },
          perilune.array {}, long, nil))
        assert(r.n == 11 and r[1] == nil and r[2] == true and r[11] == nil)
        assert(math.type(r[3]) == 'integer' and math.type(r[4]) == 'float' and r[5] == math.mininteger)
        assert(r[6] == 0.1 and r[7] == 'text' and r[8][1] == 1 and r[8][2].a[1] == 2.5)
        assert(next(r[9]) == nil and r[10] == long)
        local null, bytes = mesh.call(name, { perilune.null }, '\0\xff' .. tostring(perilune.bytes 'x'))
        assert(null[1] == perilune.null and bytes == '\0\xffx')
        assert(select('#', mesh.call(name)) == 0)
      end
      check 'echo'
      check 'echo_json'
      local inf = mesh.call('echo', { math.huge })
      assert(inf[1] == math.huge)
    ]], node.url))
  end)

  it('gets errors with all that is known of them', function()
    assert.equal(([[
OUT_OF_STOCK executed none left 0 fail %s true OUT_OF_STOCK: none left
NOT_FOUND not_sent
TIMEOUT unknown
STREAM_EXPECTED executed
INVALID not_sent args[1].cb is a function
]]):format(node.id), (run([[
      local mesh <close> = perilune.connect(arg[1])
      local function failed(...)
        local ok, err = pcall(...)
        assert(not ok and type(err) == 'table', err)
        return err
      end
      local err = failed(mesh.call, 'fail')
      print(('%s %s %s %d %s %s %s %s'):format(err.code, err.outcome, err.message, err.details.left, err.action,
        err.node, err.traceback:find 'main.lua' ~= nil, err))
      err = failed(mesh.call, 'missing') print(err.code, err.outcome)
      err = failed(mesh.with { timeout = 0.05 }.call, 'sleep', 60) print(err.code, err.outcome)
      err = failed(mesh.call, 'count', 3) print(err.code, err.outcome)
      err = failed(mesh.call, 'sum', { cb = print }) print(err.code, err.outcome, err.message)
    ]], node.url):gsub('\t', ' ')))
  end)

  it('is told which argument is wrong', function()
    local said = run([[
      local mesh <close> = perilune.connect(arg[1])
      local function wrong(fn)
        local ok, err = pcall(fn)
        assert(not ok)
        print((tostring(err):gsub('^[^:]+:%d+: ', '')))
      end
      wrong(function() mesh.call() end)
      wrong(function() mesh:call('sum') end)
      wrong(function() mesh.call({}) end)
      wrong(function() mesh.stream(1, print) end)
      wrong(function() mesh.with() end)
      wrong(function() mesh.with { tiemout = 1 } end)
      wrong(function() mesh.with { [1] = 1 } end)
      wrong(function() mesh.with { timeout = 'x' } end)
      wrong(function() mesh.with { timeout = -1 } end)
      wrong(function() mesh.with { timeout = 0/0 } end)
      wrong(function() mesh.with { node = '' } end)
      wrong(function() mesh.with { node = ('x'):rep(256) } end)
      wrong(function() mesh.with { meta = { cb = print } } end)
      wrong(function() mesh.with { meta = { long = ('x'):rep(10000) } } end)
      wrong(function() mesh.with { priority = 'urgent' } end)
      wrong(function() mesh.with { retries = 1.5 } end)
      wrong(function() perilune.connect(5) end)
      wrong(function() perilune.connect { peer = 'x' } end)
      wrong(function() perilune.connect { 'x' } end)
      wrong(function() perilune.connect { listen = 'tcp://127.0.0.1:0' } end)
      wrong(function() perilune.connect { peers = { 5 } } end)
      wrong(function() perilune.connect { peers = 'tcp://x:1\0' } end)
      wrong(function() perilune.connect 'nonsense' end)
      wrong(function() perilune.connect { request_timeout = -1 } end)
      wrong(function() perilune.connect { psk = '/no/such/file' } end)
      wrong(function() mesh.stream('count').next(print) end)
      wrong(function() mesh.call('echo', (mesh.stream 'count')) end)
    ]], node.url)
    local expected = [[
bad argument #1 to 'call' (string expected, got no value)
the name of an action is expected, got a table; functions of a client are called with a dot
the name of an action is expected, got a table; functions of a client are called with a dot
INVALID: args[1] is a function
bad argument #1 to 'with' (table expected, got no value)
unknown option 'tiemout' of with; did you mean 'timeout'?
options of with have names, got a number
option 'timeout' of with: number of seconds expected, got string
option 'timeout' of with: number of seconds from 0 on expected, got -1.0
option 'timeout' of with: number of seconds from 0 on expected, got -nan
option 'node' of with: 1 to 255 bytes expected
option 'node' of with: 1 to 255 bytes expected
INVALID: meta.cb is a function
TOO_LARGE: meta: more than 8192 bytes encoded
option 'priority' of with: 'high', 'normal' or 'low' expected
option 'retries' of with: whole number from 0 on expected, got 1.5
bad argument #1 to 'connect' (table or address expected, got number)
perilune.connect: unknown option 'peer'; did you mean 'peers'?
perilune.connect: options have names, got a number
perilune.connect: 'listen' is an option of nodes that serve
perilune.connect: peers[1]: a string is expected, got number
perilune.connect: peers: a NUL byte is not allowed
perilune.connect: peers: 'nonsense' is not an address: an address looks like tcp://host:port, unix:///path or mem://name
perilune.connect: request_timeout: -1 is not between 0 and 1e+09
]]
    assert.equal(expected, said:sub(1, #expected))
    assert.matches("^perilune.connect: psk: cannot open the key file: [^\n]+\nbad argument #1 to 'next' [^\n]+\n"
      .. "INVALID: args%[1%] is a stream, which only scripts of a node can pass on\n$",
      said:sub(#expected + 1))
  end)

  it('sends with a call what it says of it, and waits for a provider if it says so', function()
    assert.equal('me b\nTIMEOUT not_sent\nNO_ROUTE\nslept\nlater\n', (run([[
      local mesh <close> = perilune.connect(arg[1])
      print(mesh.with { node = 'b', meta = { user = 'me' }, priority = 'high', retries = 0 }.call 'who')
      local _, err = pcall(mesh.with { wait = 0.05 }.call, 'later')
      print(err.code, err.outcome)
      print(select(2, pcall(mesh.with { node = 'nobody' }.call, 'who')).code)
      print(mesh.with { timeout = 0 }.call('sleep', 0.01))
      mesh.call 'sum_later'
      print(mesh.with { wait = 60 }.call 'later')
    ]], (function()
      node:eval [[mesh.action('sum_later', function()
        mesh.after(0.1, function() mesh.action('later', function() return 'later' end) end)
      end)]]
      return node.url
    end)()):gsub('\t', ' ')))
  end)

  it('takes streams chunk by chunk, and breaks them off', function()
    assert.equal('1 2 3 done 3 3\ntrue 1\ntrue 2\nfalse\ndone 2\n2 null\nlate 1\nfalse\nnil\nCANCELLED\n', (run([[
      local mesh <close> = perilune.connect(arg[1])
      local s, last = mesh.stream('count', 3), nil
      for i in s do io.write(i, ' ') last = i end
      local text, n = s:result()
      print(text, n, last)
      local t <close> = mesh.stream('count', 2)
      print(t:next()) print(t:next()) print(t:next()) print(t:result())
      local nulls = 0
      for a, b in mesh.stream 'odd' do
        assert(a == perilune.null)
        nulls = nulls + 1
        if b then print(b, 'null') end
      end
      assert(nulls == 2)
      local got = {}
      local ok, err = pcall(function() for i in mesh.stream 'fails_late' do got[#got + 1] = i end end)
      assert(not ok and err.code == 'HANDLER_ERROR', err)
      print('late', #got)
      for i in mesh.stream 'flood' do if i == 10 then break end end
      local closed = mesh.stream('count', 2)
      closed:close() closed:close()
      print(closed:next()) print(closed())
      print(select(2, pcall(closed.result, closed)).code)
    ]], node.url):gsub('\t', ' ')))
    node:wait_for 'return mesh.metrics().requests_now == 0'
  end)

  it('holds a producer that is faster', function()
    local p = start([[
      local mesh <close> = perilune.connect(arg[1])
      local flood = mesh.stream 'flood'
      print(flood:next())
      io.read()
      local at = mesh.call 'produced'
      print('produced', at)
      for i = 2, at + 100 do assert(select(2, flood:next()) == i) end
      print 'end'
    ]], { stdin = true }, node.url)
    p:wait_line '^true'
    node:wait_for [[
      local before = mesh.call 'produced'
      mesh.sleep(0.2)
      return mesh.call 'produced' == before
    ]]
    p:write '\n'
    assert.is_true(tonumber((p:wait_line '^produced%s+(%d+)')) <= 3000)
    assert.equal(0, (p:wait()))
  end)

  it('sends into streams, no faster than they are read', function()
    assert.equal('20971520\n65536\nfalse\n', run([[
      local mesh <close> = perilune.connect(arg[1])
      local block = ('x'):rep(65536)
      local up <close> = mesh.stream 'measure'
      for _ = 1, 320 do assert(up:send(block)) end
      up:finish()
      print(up:result())
      local one <close> = mesh.stream 'one_only'
      while one:send(block) do end
      print(one:result())
      print(one:send(block))
    ]], node.url))
  end)

  it('keeps its links while it does something else, and what streams over them', function()
    local calm = nodes.start('calm', { listen = 'unix', flags = { '--heartbeat=0.5', '--heartbeat-misses=4' } }, SCRIPT)
    local p = start([[
      local mesh <close> = perilune.connect { peers = arg[1], heartbeat = 0.5, heartbeat_misses = 4 }
      local flood = mesh.stream 'flood'
      assert(select(2, flood:next()) == 1)
      print 'away'
      io.read()
      assert(select(2, flood:next()) == 2)
      print(mesh.call('sum', { 1 }))
    ]], { stdin = true }, calm.url)
    p:wait_line '^away'
    local before = calm:metrics()
    process.sleep(4)
    local after = calm:metrics()
    for _, name in ipairs { 'links_opened', 'links_closed', 'links_broken', 'links_now' } do
      assert.equal(before[name], after[name], name)
    end
    p:write '\n'
    assert.equal(0, (p:wait()), p:describe())
  end)

  it('finds its node again after that was away', function()
    local p = start([[
      local mesh <close> = perilune.connect(arg[1])
      print(mesh.call('sum', { 1 }))
      io.read()
      local ok, err
      repeat
        ok, err = pcall(mesh.with { timeout = 0.2 }.call, 'sum', { 1 })
      until ok or err.code == 'CONNECT_FAILED'
      print(ok, err.code, err.outcome)
      io.read()
      print(mesh.with { wait = 60 }.call('sum', { 2 }))
    ]], { stdin = true }, node.url)
    p:wait_line '^1$'
    node.process:kill 'KILL'
    node.process:wait()
    p:write '\n'
    assert.matches('^CONNECT_FAILED%s+not_sent', (p:wait_line '^false%s+(.*)'))
    local again = nodes.start('b', { listen = node.url }, SCRIPT)
    p:write '\n'
    p:wait_line '^2$'
    assert.equal(0, (p:wait()))
    assert.is_not.equal(node.id, again.id)
  end)

  it('is told at once that its node was lost during a call', function()
    local p = start([[
      local mesh <close> = perilune.connect(arg[1])
      print 'calls'
      local ok, err = pcall(mesh.with { timeout = 0 }.call, 'sleep', 1000)
      print(ok, err.code, err.outcome)
    ]], {}, node.url)
    p:wait_line '^calls'
    node:wait_for 'return mesh.metrics().requests_now > 0'
    node.process:kill 'KILL'
    assert.matches('^PEER_LOST%s+unknown', (p:wait_line '^false%s+(.*)'))
    assert.equal(0, (p:wait()))
  end)

  it('says why there is nobody to ask', function()
    local locked = nodes.start('locked', { listen = 'unix', env = { PERILUNE_PSK = ('ab'):rep(16) } })
    local said = run([[
      local function failed(...)
        local ok, err = pcall(perilune.connect, ...)
        assert(not ok)
        print(err.code, err.outcome, err.message)
      end
      failed 'unix:///no/such/socket'
      failed(arg[1])
      failed { mesh = 'nobody-here' }
    ]], locked.url):gsub('\t', ' ')
    assert.matches('^CONNECT_FAILED not_sent unix:///no/such/socket: [^\n]+\nUNAUTHORIZED not_sent [^\n]+\n'
      .. "CONNECT_FAILED not_sent no node runs in the local mesh 'nobody%-here' of this user\n$", said)
  end)

  it('finds the mesh as the commands do: the environment, else the local mesh', function()
    nodes.start('here', {}, SCRIPT)
    assert.equal('here\n', run 'local mesh <close> = perilune.connect() print(select(2, mesh.call "who"))')
    local p = start([[
      local any <close> = perilune.connect()
      local here <close> = perilune.connect { mesh = 'default' }
      print(select(2, any.call 'who'), select(2, here.call 'who'))
    ]], { env = { PERILUNE_PEER = node.url, PERILUNE_LISTEN = 'tcp://127.0.0.1:1' } })
    assert.equal(0, (p:wait()), p:describe())
    assert.equal('b\there\n', p:stdout())
  end)

  it('is over when it is closed', function()
    assert.equal('CLOSED\nCLOSED\nCLOSED\nCLOSED\nend\n', run([[
      local mesh = perilune.connect(arg[1])
      local flood, unopened, with = mesh.stream 'flood', mesh.stream 'flood', mesh.with { timeout = 1 }
      flood:next()
      mesh.close() mesh.close()
      print(select(2, pcall(mesh.call, 'sum', {})).code)
      print(select(2, pcall(flood.next, flood)).code)
      print(select(2, pcall(unopened.next, unopened)).code)
      print(select(2, pcall(with.call, 'sum', {})).code)
      flood:close() unopened:close()
      do
        local again = perilune.connect(arg[1])
        local s = again.stream 'flood'
        s:next()
        again, s = nil, nil
        collectgarbage() collectgarbage()
      end
      left_open = perilune.connect(arg[1])
      left_stream = left_open.stream 'flood'
      left_stream:next()
      print 'end'
    ]], node.url))
    node:wait_for 'return mesh.metrics().requests_now == 0 and mesh.metrics().links_now == 0'
  end)

  it('leaves nothing behind', function()
    assert.equal('no more\n', run([[
      local function count(what)
        local list <close> = io.popen('ls /proc/' .. pid .. '/' .. what .. ' | wc -l')
        return list:read 'n'
      end
      local stat <close> = io.open '/proc/self/stat'
      pid = stat:read 'n'
      local function once()
        local mesh <close> = perilune.connect(arg[1])
        for i in mesh.stream('count', 100) do if i == 50 then break end end
        assert(mesh.call('sum', { 1 }) == 1)
        pcall(mesh.call, 'missing')
      end
      for _ = 1, 3 do once() end
      local files, threads = count 'fd', count 'task'
      for _ = 1, 30 do once() end
      collectgarbage()
      local now_files, now_threads, looks = 0, 0, 0
      repeat -- what was closed last may take a moment
        now_files, now_threads, looks = count 'fd', count 'task', looks + 1
      until now_files <= files and now_threads <= threads or looks == 300
      print(looks < 300 and 'no more' or table.concat({ files, now_files, threads, now_threads }, ' '))
    ]], node.url))
  end)

  it('asks several meshes at once, from coroutines and in the middle of other answers', function()
    local other = nodes.start('other', { listen = 'tcp' }, SCRIPT)
    assert.equal('b other\n1 b\n2 other\n3 b\n', (run([[
      local b <close> = perilune.connect(arg[1])
      local other <close> = perilune.connect { peers = { arg[2] } }
      print(select(2, b.call 'who'), select(2, other.call 'who'))
      local each = coroutine.wrap(function()
        for i in b.stream('count', 3) do
          local mesh = i == 2 and other or b
          coroutine.yield(i, select(2, mesh.call 'who'))
        end
      end)
      for i, name in each do print(i, name) end
    ]], node.url, other.url):gsub('\t', ' ')))
  end)

  it('is interrupted by Ctrl-C while it waits, and the handler with it', function()
    for _, code in ipairs {
      "mesh.with { timeout = 0 }.call('sleep', 1000)",
      "assert(coroutine.resume(coroutine.create(function() mesh.with { timeout = 0 }.call('sleep', 1000) end)))",
      "mesh.stream('sleep', 1000):next()",
    } do
      local p = start("local mesh <close> = perilune.connect(arg[1]) print 'waits' " .. code, {}, node.url)
      p:wait_line '^waits'
      node:wait_for 'return mesh.metrics().requests_now > 0'
      p:kill 'INT'
      assert.equal(1, (p:wait()), p:describe())
      assert.matches('interrupted', p:stderr())
      node:wait_for "return ended == 'CANCELLED' and mesh.metrics().requests_now == 0"
    end
    local p = start("print 'waits' perilune.connect { peers = arg[1], handshake_timeout = 2 }", {}, node.url)
    node.process:kill 'STOP'
    p:wait_line '^waits'
    p:kill 'INT'
    local code = p:wait()
    node.process:kill 'CONT'
    assert.equal(1, code, p:describe())
  end)

  it('leaves signals of the program as they were', function()
    assert.equal('0\n0\n', (run([[
      local function ignored()
        for line in io.lines '/proc/self/status' do
          local mask = line:match '^SigIgn:%s*(%x+)'
          if mask then return tonumber(mask, 16) >> 12 & 1 end
        end
      end
      print(ignored())
      local mesh <close> = perilune.connect(arg[1])
      mesh.call('sum', {})
      print(ignored())
    ]], node.url)))
  end)

  it('finds the module where it is installed', function()
    if sanitized then return end -- then it is not
    local prefix = process.temp_dir()
    local installed = process.run { 'cmake', '--install', build, '--prefix', prefix }
    assert.equal(0, installed.code, installed.stderr)
    local p = start("print(perilune.version, perilune.connect(arg[1]).call('sum', { 2 }))",
      { env = { LUA_CPATH_5_4 = prefix .. '/lib/lua/5.4/?.so' } }, node.url)
    assert.equal(0, (p:wait()), p:describe())
    assert.equal('0.1.0\t2\n', p:stdout())
  end)
end)
