--- Scripts that are not trusted: what they cannot reach, what they keep, and what `--allow` gives back.

local process = require 'spec.support.process'

-- What a script may try, with what it needs. Each is an expression; it must fail without, and get on with it.
local CAPABILITIES = {
  fs = {
    "io.open('secret.txt'):read('a')", "io.lines('secret.txt')()", "loadfile('secret.lua')", "dofile('ok.lua')",
    "os.remove('gone.txt') or true", "os.rename('a.txt', 'b.txt')", "os.tmpname()",
    "require('perilune.fs').read('secret.txt')", "require('perilune.core.fs').open", "require 'perilune.stdio'",
    "require 'perilune.io'",
    "require 'perilune.files'", "require 'perilune.core.folder'", "package.searchpath('secret', './?.txt')",
    "(function() package.path = './?.txt' local _, e = pcall(require, 'secret') return e:find 'SECRET' end)()",
  },
  net = {
    "require('perilune.dns').resolve", "require('perilune.core.dns')",
    "select(2, pcall(mesh.connect, 'tcp://127.0.0.1:1')).code == 'CONNECT_FAILED' or nil",
    "select(2, pcall(mesh.disconnect, ('f'):rep(32))).code == 'NO_ROUTE' or nil",
    "select(2, pcall(mesh.keep, ('f'):rep(32))).code == 'NO_ROUTE' or nil",
  },
  env = { "os.getenv 'HOME'" },
  debug = { "debug.getinfo(1)", "debug.getregistry()", "debug.getmetatable('')", "debug.sethook" },
  process = {
    "os.execute('true')", "io.popen('echo 1'):read('a')", "require('perilune.process').run({ 'true' })",
    "require 'perilune.core.process'", "mesh.sim { nodes = 0 }", "require('perilune.core.sim').new(1)",
    "mesh.with { node = mesh.self().id }.call('_perilune.info').name",
    "mesh.with { node = mesh.self().id }.stream('_perilune.info'):result().name",
  },
  native = { "require 'lfs'", "package.loadlib", "package.cpath", "package.searchers[5]" },
}

-- What no sandbox has, whatever it is allowed but `debug`.
local NEVER = {
  "string.dump and load(string.dump(function() end))", "load('\27Lua')",
  "setmetatable({}, { __gc = function() end })", "setmetatable({}, { __gc = true })",
  "require('perilune.core.sys').box({ __gc = print })",
  "getmetatable(mesh.array {}).__index", "getmetatable(select(2, pcall(mesh.call, 'none'))).__tostring",
  "getmetatable(mesh.spawn(function() end)).__index", "getmetatable(mesh.stream 'none').__index", "os.setlocale",
  "mesh.node { listen = { 'tcp://127.0.0.1:0' } }", "mesh.node { psk = '/etc/passwd' }",
  "mesh.node { memory_limit = 0 }", "mesh.node { cpu_limit = 0 }", "mesh.node { sandbox = false }",
  "mesh.node { allow = { 'fs' } }", "mesh.node { insecure = true }",
}

-- What it keeps.
local KEPT = {
  "mesh.node { name = 'boxed' } or mesh.self().name == 'boxed'",
  "os.time()", "os.date()", "os.clock()", "('a'):upper()", "debug.traceback()", "load('return 1')()",
  "require('perilune.json').encode({ 1 })", "require('perilune.crypto').sha256('')", "require 'perilune.time'",
  "require 'perilune.log'", "mesh.self().id",
  "getmetatable(setmetatable({}, { __index = { 1 } })).__index", "require('beside').here", "pcall(error)==false",
  "mesh.timeout(1, mesh.sleep, 0) or true",
}

--- Evaluates expressions in one script; a list of what each came to: `true`, `nil`, or the error.
local function evaluate(expressions, ...)
  local lines = { "local mesh = require 'perilune'", "local e = {}" }
  for i, e in ipairs(expressions) do lines[#lines + 1] = ('e[%d] = function() return %s end'):format(i, e) end
  lines[#lines + 1] = [[
    for i = 1, #e do
      local ok, result = pcall(e[i])
      print(ok and (result and 'true' or 'nil') or (tostring(result):gsub('\n.*', '')))
    end]]
  local dir = process.temp_dir {
    ['app.lua'] = table.concat(lines, '\n'), ['secret.txt'] = 'SECRET SECRET', ['secret.lua'] = 'return 1',
    ['ok.lua'] = 'return true', ['beside.lua'] = 'return { here = true }', ['gone.txt'] = '', ['a.txt'] = '',
  }
  local p = process.run({ process.perilune, 'run', 'app.lua', ... }, { cwd = dir })
  assert.equal(0, p.code, p.stderr)
  local results = {}
  for line in p.stdout:gmatch '[^\n]+' do results[#results + 1] = line end
  assert.equal(#expressions, #results, p.stdout .. p.stderr)
  return results
end

describe('a script in a sandbox', function()
  it('has no capability that it was not given', function()
    local all = {}
    for _, list in pairs(CAPABILITIES) do table.move(list, 1, #list, #all + 1, all) end
    table.move(NEVER, 1, #NEVER, #all + 1, all)
    for i, result in ipairs(evaluate(all, '--sandbox')) do assert.not_equal('true', result, all[i]) end
  end)

  for name, list in pairs(CAPABILITIES) do
    it('has what it is allowed: ' .. name, function()
      local others = {}
      local implied = { process = { fs = true, env = true } }
      for other, more in pairs(CAPABILITIES) do
        local is_given = other == name or (implied[name] or {})[other]
        if not is_given then table.move(more, 1, #more, #others + 1, others) end
      end
      for i, result in ipairs(evaluate(list, '--allow', name)) do assert.equal('true', result, list[i]) end
      for i, result in ipairs(evaluate(others, '--allow', name)) do assert.not_equal('true', result, others[i]) end
    end)
  end

  it('keeps the language, the mesh and modules beside it', function()
    for i, result in ipairs(evaluate(KEPT, '--sandbox')) do assert.equal('true', result, KEPT[i]) end
  end)

  it('does not get around it with what it is allowed', function()
    for i, result in ipairs(evaluate(NEVER, '--allow', 'fs,net', '--allow', 'env')) do
      assert.not_equal('true', result, NEVER[i])
    end
  end)

  it('is told what it lacks, and by which word it would have it', function()
    local results = evaluate(
      { "require 'perilune.fs'", 'os.exit(7)', 'mesh.stop()', 'mesh.monitor(print)' }, '--sandbox')
    assert.equal("FORBIDDEN: perilune.fs needs 'fs', which this script is not allowed in its sandbox", results[1])
    assert.equal("FORBIDDEN: os.exit needs 'process', which this script is not allowed in its sandbox", results[2])
    assert.matches('^FORBIDDEN: mesh.stop ', results[3])
    assert.matches('^FORBIDDEN: mesh.monitor ', results[4])
    local dir = process.temp_dir { ['app.lua'] = "print(select(2, pcall(require, 'lfs')))" }
    local told = process.run({ process.perilune, 'run', 'app.lua', '--sandbox' }, { cwd = dir }).stdout
    assert.matches("\n\tno module in C: those need 'native', which this script is not allowed in its sandbox\n$", told)
  end)

  it('serves and calls as any other', function()
    local dir = process.temp_dir { ['app.lua'] = [[
      local mesh = require 'perilune'
      mesh.action('twice', function(x) coroutine.yield(x) return x end)
      local s = mesh.stream('twice', 4)
      for x in s do print(x) end
      print(s:result())
      mesh.remove 'twice'
    ]] }
    local p = process.start({ process.perilune, 'run', 'app.lua', '--sandbox' }, { cwd = dir })
    p:wait_line '^ready '
    p:kill 'TERM'
    assert.equal(0, p:wait())
    assert.equal('4\n4\n', p:stdout())
  end)

  it('may be asked for by the environment and the configuration file', function()
    local dir = process.temp_dir { ['app.lua'] = 'print(io)', ['c.json'] = '{"sandbox": true}',
      ['d.json'] = '{"allow": ["fs"]}' }
    local function run(options, ...)
      options.cwd = dir
      return process.run({ process.perilune, 'run', 'app.lua', ... }, options).stdout
    end
    assert.equal('nil\n', run { env = { PERILUNE_SANDBOX = '1' } })
    assert.equal('nil\n', run({}, '--config', 'c.json'))
    assert.matches('^table', run({}, '--config', 'd.json'))
    assert.matches('^table', run { env = { PERILUNE_SANDBOX = '1', PERILUNE_ALLOW = 'net,fs' } })
  end)

  it('is closed when what it is allowed turns out to be nothing', function()
    local dir = process.temp_dir { ['app.lua'] = 'print(io, os.exit ~= nil)', ['c.json'] = '{"allow": []}' }
    for _, options in ipairs { { '--allow', '' }, { '--allow=,' }, { '--config', 'c.json' } } do
      local run = process.run({ process.perilune, 'run', 'app.lua', table.unpack(options) }, { cwd = dir })
      assert.equal('nil\ttrue\n', run.stdout, run.stderr)
    end
  end)

  it('is refused words that are none', function()
    local p = process.perilune_run('run', 'app.lua', '--allow', 'fs,files')
    assert.equal(2, p.code)
    assert.matches("allow: 'files' is none of fs, net, process, env, debug, native", p.stderr)
  end)
end)
