--- `perilune check`: mistakes in scripts, found without running them.

local json = require 'dkjson'
local nodes = require 'spec.support.nodes'
local process = require 'spec.support.process'

local ALONE = 'no node runs in the local mesh: the names of actions were not checked\n'

--- Checks a text as app.lua, and returns the lines that it prints.
local function check(text, ...)
  local dir = process.temp_dir { ['app.lua'] = text }
  local arguments = { ... }
  arguments[#arguments + 1] = { cwd = dir }
  return process.perilune_run('check', 'app.lua', table.unpack(arguments))
end

--- The script has exactly these findings, without their file.
local function finds(text, ...)
  local wanted = {}
  for i, line in ipairs { ... } do wanted[i] = 'app.lua:' .. line .. '\n' end
  local result = check("local mesh = require 'perilune' " .. text)
  assert.same({ table.concat(wanted), ALONE, #wanted > 0 and 1 or 0 }, { result.stdout, result.stderr, result.code })
end

describe('perilune check', function()
  it('says what is no Lua, with line and column', function()
    local result = check 'local x = 1\nlocal y = = 2\n'
    assert.same({ "app.lua:2:11: unexpected symbol near '='\n", 1 }, { result.stdout, result.code })
    assert.equal("app.lua:3:1: 'end' expected (to close 'if' at line 1) near <eof>\n", check('if x then\nf()\n').stdout)
    assert.equal("app.lua:1:1: attempt to assign to const variable 'x'\n", check('local x <const> = 1 x = 2').stdout)
    assert.equal('app.lua:2:5: unfinished string near \'"abc\'\n', check('x = 1\ny = "abc\n').stdout)
  end)

  it('runs nothing, and accepts what is right', function()
    finds [[
      io.stderr:write 'it runs' os.exit(9)
      mesh.node { name = 'x', listen = { 'tcp://127.0.0.1:0' }, request_timeout = 2 }
      mesh.action('sum', function(a) return a end, { timeout = 1, queue = 10, serializer = 'json' })
      local wait <const> = 5
      local caller = mesh.with { timeout = wait, node = name, [key()] = 1, strategy = 'hash', key = 7 }
      for a in caller.stream('sum', ...) do print(a) end
      mesh.state.hits = mesh.state.hits + 1
      mesh.timeout(...)
      mesh.sleep(seconds())
      mesh.own = function() end
      local function mine(mesh) mesh.whatever() end
      require('perilune.process').run({ 'ls', '-l' }, { cwd = '/' })
      require('other').anything(mine)
    ]]
  end)

  it('knows the functions and handles that there are', function()
    finds("mesh.cal('x')", "1:38: perilune has no 'cal'; did you mean 'call'?")
    assert.equal("app.lua:1:1: there is no global 'mesh'; missing: local mesh = require 'perilune'\n",
      check("mesh.call 'x' mesh.call 'y'").stdout)
    assert.equal('', check("require 'perilune.test'.mesh { script = function() mesh.call 'x' end }").stdout)
    assert.equal('', check("mesh = require 'perilune' mesh.call 'x'").stdout)
    finds("mesh:call('x')", "1:38: 'call' is no method: write mesh.call(…)")
    finds("require('perilune.fs').opn 'x'", "1:56: perilune.fs has no 'opn'; did you mean 'open'?")
    finds("local hex = require 'perilune.crypto'.hex hex.encod 'x'",
      "1:79: perilune.crypto.hex has no 'encod'; did you mean 'encode'?")
    finds("local s = mesh.stream 'x' s:sent(1)", "1:61: perilune.Stream has no 'sent'; did you mean 'send'?")
    finds("local s <close> = (mesh.stream 'x') local t = s t:resul()",
      "1:83: perilune.Stream has no 'resul'; did you mean 'result'?")
    finds("mesh.state:icnr 'x'", "1:44: perilune.State has no 'icnr'; did you mean 'incr'?")
    finds "local s = mesh.stream 'x' s = other() s:sent(1) local m = mesh m = nil m.cal()"
  end)

  it('knows their arguments and options', function()
    finds("mesh.sleep 'x'", "1:44: argument 1 of mesh.sleep ('seconds'): number expected, got string 'x'")
    finds('mesh.sleep()', "1:38: mesh.sleep: argument 1 ('seconds') is missing")
    finds("mesh.action('x', 5)",
      "1:50: argument 2 of mesh.action ('handler'): fun(...: any): ...: any expected, got number 5")
    finds("mesh.with { timout = 1 }", "1:45: unknown option 'timout' of mesh.with; did you mean 'timeout'?")
    finds("mesh.with { retries = 1.5, priority = 'urgent', strategy = 'lest' }",
      "1:55: option 'retries' of mesh.with: integer expected, got number 1.5",
      "1:71: option 'priority' of mesh.with: 'high'|'normal'|'low'|nil expected, got string 'urgent'",
      "1:92: option 'strategy' of mesh.with: 'least'|'round_robin'|'random'|'weighted'|'p2c'|'hash'|'local'|function"
      .. "|nil expected, got string 'lest'")
    finds("mesh.action('x', print, { ['queu'] = 1 })",
      "1:59: unknown option 'queu' of mesh.action; did you mean 'queue'?")
    finds("mesh.node { request_timout = 1, peers = true }",
      "1:45: unknown option 'request_timout' of mesh.node; did you mean 'request_timeout'?",
      "1:73: option 'peers' of mesh.node: string|string[] expected, got boolean")
    finds("require 'perilune.fs'.read('x', { maxx = 1 })",
      "1:67: unknown option 'maxx' of fs.read; did you mean 'max'?")
  end)

  it('knows the actions of the mesh, and those of the scripts', function()
    local node = nodes.start('one', { listen = 'tcp' }, [[
      mesh.action('sum', function() end)
      mesh.action('count', function() end)
    ]])
    local text = [[
local mesh = require 'perilune'
mesh.action('mine', print)
mesh.call 'mine' mesh.call 'sum'
mesh.call('som', 1)
for x in mesh.with { timeout = 1 }.stream 'cuont' do print(x) end
mesh.call(name) mesh.call('_perilune.ps')
]]
    local result = check(text, '--peer', node.url)
    assert.same({ "app.lua:4:11: no node provides 'som'; did you mean 'sum'?\n"
      .. "app.lua:5:43: no node provides 'cuont'; did you mean 'count'?\n", '', 1 },
      { result.stdout, result.stderr, result.code })
    result = check(text:gsub("'mine', print", 'any_name, print'), '--peer', node.url)
    assert.same({ '', '', 0 }, { result.stdout, result.stderr, result.code })

    local dir = process.temp_dir { ['a.lua'] = "require 'perilune'.call 'theirs'",
      ['b.lua'] = "require 'perilune'.action('theirs', print) require 'perilune.files'.serve('files', '.')",
      ['c.lua'] = "require 'perilune'.call('files.stat', 'x')" }
    result = process.perilune_run('check', 'a.lua', 'c.lua', '--peer', node.url, { cwd = dir })
    assert.equal("a.lua:1:25: no node provides 'theirs'\nc.lua:1:25: no node provides 'files.stat'\n", result.stdout)
    assert.equal(0, process.perilune_run('check', 'a.lua', 'b.lua', 'c.lua', '--peer', node.url, { cwd = dir }).code)
  end)

  it('knows what actions take, of the mesh and of the scripts', function()
    local node = nodes.start('one', { listen = 'tcp' }, [[
      mesh.action('sum', function() end, { params = { { list = 'number', max = 3 }, '?int' } })
      mesh.action('user', function() end, { params = {
        { name = { type = 'string', max = 5 }, kind = { enum = { 'a', 1 } }, age = '?int', on = '?boolean' },
      } })
      mesh.action('any', function() end, { params = { 'any', 'bytes...' } })
    ]])
    local result = check([[
local mesh = require 'perilune'
mesh.call('sum', { 1, 'x' }, 1.5)
mesh.call 'sum'
mesh.call('sum', { 1, 2, 3, 4 })
mesh.call('sum', {}, 1, 2)
mesh.with { timeout = 1 }.call('user', { nme = 'x', kind = 'c' })
mesh.stream('user', { name = 'too long', kind = 1, age = nil, on = 1 })
mesh.call('user', 'ada')
mesh.call('any', nil)
mesh.call('any', 1, 'a', 2)
mesh.action('own', print, { params = { { fields = { a = 'int' }, extra = 'string' } } })
mesh.call('own', { a = 'x', b = 5, c = 'fine' })
mesh.action('wrong', print, { params = { 'integer' } })
mesh.call('sum', ...) mesh.call('sum', f()) mesh.call('sum', { f() }, n) mesh.call('sum', { 1, 2, 3 }, nil)
mesh.call('user', { name = n, [k] = 1 }) mesh.call('user', u) mesh.call('any', f, 'a', g())
]], '--peer', node.url)
    assert.equal(([[
2:23: 'sum': args[1][2]: number expected, got string 'x'
2:30: 'sum': args[2]: int expected, got number 1.5
3:6: 'sum': args[1]: it is missing
4:18: 'sum': args[1]: list of at most 3 values expected, got 4
5:25: 'sum': args: at most 2 expected, got 3
6:40: 'user': args[1].name: it is missing
6:42: 'user': args[1].nme: no such field; did you mean 'name'?
6:60: 'user': args[1].kind: 'a', 1 expected, got string 'c'
7:30: 'user': args[1].name: string of at most 5 bytes expected, got string 'too long'
7:68: 'user': args[1].on: boolean expected, got number 1
8:19: 'user': args[1]: table of fields expected, got string 'ada'
9:18: 'any': args[1]: a value expected, got nil
10:26: 'any': args[3]: bytes expected, got number 2
12:24: 'own': args[1].a: int expected, got string 'x'
12:33: 'own': args[1].b: string expected, got number 5
13:40: option 'params' of mesh.action: params[1]: 'integer' is no type; did you mean 'int'?
]]):gsub('([^\n]+)', 'app.lua:%1'), result.stdout)
  end)

  it('knows the actions behind a proxy', function()
    local node = nodes.start('one', { listen = 'tcp' }, "mesh.action('calc.add', print, { params = { 'int', 'int' } })")
    local result = check([[
local mesh = require 'perilune'
local calc <const> = mesh.proxy 'calc'
calc.add(1, 2) calc.add(n, ...) mesh.proxy(name).add(1.5) calc.add:describe()
calc.add(1, 'x')
calc.sub(1, 2)
for n in calc.fib:stream(10) do print(n) end
calc.add:strem(1)
mesh.proxy('calc', { timout = 1 }).add:stream(1)
]], '--peer', node.url)
    assert.equal(([[
4:13: 'calc.add': args[2]: int expected, got string 'x'
5:6: no node provides 'calc.sub'; did you mean 'calc.add'?
6:15: no node provides 'calc.fib'; did you mean 'calc.add'?
7:10: calc.add has no 'strem'; did you mean 'stream'?
8:22: unknown option 'timout' of mesh.proxy; did you mean 'timeout'?
8:40: 'calc.add': args[2]: it is missing
]]):gsub('([^\n]+)', 'app.lua:%1'), result.stdout)
  end)

  it('comes to an end with whatever nodes say of their actions', function()
    local dir = process.temp_dir { ['fuzz.lua'] = [[
      local lint = require 'perilune.lint'
      math.randomseed(11)
      local random = math.random
      local words = { 'int', 'string', 'any', 'boolean', 'x', '\27', '' }
      local function any(depth)
        local kind = random(depth > 4 and 5 or 8)
        if kind == 1 then return words[random(#words)] end
        if kind == 2 then return random(-3, 9) end
        if kind == 3 then return random(2) == 1 end
        if kind == 4 then return 0 / 0 end
        if kind == 5 then return require 'perilune'.null end
        local t = {}
        for i = 1, random(0, 3) do t[i] = any(depth + 1) end
        for _, key in ipairs { 'type', 'list', 'enum', 'fields', 'extra', 'optional', 'rest', 'min', 'max', 'x' } do
          if random(3) == 1 then t[key] = any(depth + 1) end
        end
        return t
      end
      local text = "local mesh = require 'perilune' "
        .. "mesh.call('a', { 1, 'x', { x = 5, y = {} }, ... }, 'x', nil, -1.5, true)"
      local found = 0
      for _ = 1, 600 do
        local params = any(1)
        local review = lint.new()
        lint.add(review, 'a.lua', text)
        found = found + #lint.findings(review, { a = { params = type(params) == 'table' and params or nil } })
      end
      print(found > 100)
    ]] }
    local result = process.perilune_run('run', dir .. '/fuzz.lua')
    assert.same({ 'true\n', 0 }, { result.stdout, result.code }, result.stderr)
  end)

  it('tells programs as JSON', function()
    local result = check("require 'perilune'.cal()", '--json')
    assert.same({ { path = 'app.lua', line = 1, column = 20, text = "perilune has no 'cal'; did you mean 'call'?" } },
      json.decode(result.stdout))
    assert.same({ '[]\n', 0 }, { check('', '--json').stdout, check('', '--json').code })
  end)

  it('finds nothing in the examples', function()
    local list <close> = assert(io.popen("find examples -name '*.lua' | sort"))
    local paths = {}
    for path in list:lines() do paths[#paths + 1] = path end
    assert.is_true(#paths > 5)
    assert.equal('', process.perilune_run('check', table.unpack(paths)).stdout)
  end)

  it('comes to an end with any bytes, and steers no terminal', function()
    math.randomseed(4)
    local files, arguments = {}, {}
    for i = 1, 40 do
      local bytes = {}
      for k = 1, math.random(200) do bytes[k] = string.char(math.random(0, 255)) end
      files[i .. '.lua'] = table.concat(bytes)
      arguments[i] = i .. '.lua'
    end
    files['long.lua'] = "local m = require 'perilune' " .. ('local m = m '):rep(150) .. 'm.cal' .. ('()'):rep(20000)
    files['esc.lua'] = "require 'perilune'['\27[2J']()"
    arguments[#arguments + 1] = { cwd = process.temp_dir(files) }
    assert.equal(1, process.perilune_run('check', table.unpack(arguments)).code)
    arguments = { 'long.lua', 'esc.lua', arguments[#arguments] }
    assert.matches("^long.lua:1:%d+: perilune has no 'cal'; .-\nesc.lua:1:19: perilune has no '\\x1b%[2J'\n$",
      process.perilune_run('check', table.unpack(arguments)).stdout)
  end)

  it('refuses what makes no sense', function()
    assert.equal(2, process.perilune_run('check').code)
    assert.equal(2, process.perilune_run('check', 'x.lua', '--jsno').code)
    local missing = process.perilune_run('check', '/no/file.lua')
    assert.same({ 1, 'IO_ERROR: read /no/file.lua: no such file or directory\n' }, { missing.code, missing.stderr })
    assert.equal(3, check('', '--peer', 'tcp://127.0.0.1:1').code)
    local large = check(('-- long\n'):rep(150000))
    assert.same({ 1, 'TOO_LARGE: read app.lua: more than 1048576 bytes\n' }, { large.code, large.stderr })
    local command = ("'%s' check spec/support/*.lua examples/*.lua | head -c 1"):format(process.perilune)
    local result = process.run { 'sh', '-c', command }
    assert.equal(0, result.code)
  end)
end)
