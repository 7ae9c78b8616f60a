--- What is shown with the error of a script: one that does not load, and a slip in what runs later.

local process = require 'spec.support.process'

--- Runs a script that fails, and returns what it prints up to the traceback.
local function shown(text, options)
  options = options or {}
  local files = options.files or {}
  local name = options.name or 'app.lua'
  files[name] = text
  local run = process.perilune_run('run', name, table.unpack(options.arguments or {}, 1),
    { cwd = process.temp_dir(files) })
  assert.same({ 1, '' }, { run.code, run.stdout }, run.stderr)
  return (run.stderr:gsub('\n?stack traceback:.*', ''):gsub('\n$', ''))
end

local MESH = "local mesh = require 'perilune'\n"

describe('a script that does not load', function()
  it('is told what the mesh may have been meant to do', function()
    assert.equal([[
app.lua:2: attempt to call a nil value (field 'acton')
    2 | mesh.acton('x', function() end)
      |      ^^^^^
  did you mean mesh.action?]], shown(MESH .. "mesh.acton('x', function() end)\n"))
  end)

  it('is told the same of other modules, by the name that it gave them', function()
    assert.matches('\n  did you mean lg.info%?$', shown "local lg = require('perilune.log')\nlg.inf 'x'\n")
    assert.matches('\n  did you mean string.format%?$', shown "print(string.fromat('x'))\n")
    assert.matches("\n  did you mean require 'perilune.fs'%?$", shown "local fs = require 'perilune.fss'\n")
  end)

  it('is told of globals that are not there', function()
    assert.matches('\n      | %^%^%^%^\n  did you mean print%?$', shown "prnt 'x'\n")
    assert.matches("\n  missing: local mesh = require 'perilune'$", shown "mesh.action('x', print)\n")
    assert.matches("\n  missing: local json = require 'perilune.json'$", shown "print(json.encode(5))\n")
    assert.equal("app.lua:1: attempt to call a nil value (global 'xyzzy')\n    1 | xyzzy()\n      | ^^^^^",
      shown 'xyzzy()')
  end)

  it('shows where the syntax ends', function()
    assert.equal([[
app.lua:2: ')' expected near 'function'
    2 | mesh.action('x' function() end)
      |                 ^^^^^^^^]], shown(MESH .. "mesh.action('x' function() end)\n"))
    assert.equal("app.lua:1: 'end' expected near <eof>\n    1 | while true do", shown 'while true do')
  end)

  it('has the line of a module that it requires, and of what has no place in its message', function()
    assert.equal("./mod.lua:2: attempt to index a nil value (local 't')\n    2 | return t.x\n      |        ^",
      shown("require 'mod'", { files = { ['mod.lua'] = 'local t\nreturn t.x' } }))
    assert.equal("NOT_FOUND: no reachable node provides the action 'nothing'\n    2 | local x = mesh.call 'nothing'",
      shown(MESH .. "local x = mesh.call 'nothing'\n"))
    assert.equal("app.lua:3: mine\n    3 | fail()", shown "local function fail() error('mine', 2) end\n\nfail()\n")
  end)

  it('is told of options that are not there', function()
    assert.equal([[
app.lua:2: unknown option 'concurency' of mesh.action; did you mean 'concurrency'?
    2 | mesh.action('a', print, { concurency = 5 })
      |                           ^^^^^^^^^^]], shown(MESH .. "mesh.action('a', print, { concurency = 5 })\n"))
    assert.matches("^app.lua:2: mesh.node: unknown option 'lisen'; did you mean 'listen'%?\n",
      shown(MESH .. 'mesh.node { lisen = {} }'))
    assert.matches("^app.lua:2: mesh.node: unknown option 'xyzzy'\n", shown(MESH .. 'mesh.node { xyzzy = 1 }'))
    assert.matches("^app.lua:2: unknown option '5' of mesh.action\n",
      shown(MESH .. "mesh.action('a', print, { [5] = 5 })"))
  end)

  it('has no hint of its own for the slip of another node, which comes with that of the other', function()
    local dir = process.temp_dir {
      ['there/app.lua'] = MESH .. "\nmesh.action('fails', function() return prnt 'x' end)",
      ['here/app.lua'] = MESH .. "mesh.wait('fails', 10)\nlocal prnt, x = print, mesh.call 'fails'",
    }
    process.start({ process.perilune, 'run', 'app.lua' }, { cwd = dir .. '/there' }):wait_line '^ready '
    local run = process.perilune_run('run', 'app.lua', { cwd = dir .. '/here' })
    assert.equal([[
    3 | local prnt, x = print, mesh.call 'fails'
    3 | mesh.action('fails', function() return prnt 'x' end)
      |                                        ^^^^
  did you mean print?]], run.stderr:match '\n(    3.-)\nstack traceback:')
  end)

  it('has a mark below the word with tabs, and letters of several bytes', function()
    assert.equal("app.lua:1: attempt to call a nil value (global 'xyzzy')\n    1 | \tlocal s = 'äö€' xyzzy()\n"
      .. '      | \t                ^^^^^', shown "\tlocal s = 'äö€' xyzzy()\r\n")
    assert.equal("app.lua:1: attempt to call a nil value (global 'xyzzy')\n    1 | local a = xyzzy and 1 or xyzzy()",
      shown 'local a = xyzzy and 1 or xyzzy()')
  end)

  it('writes no more of a line than can be read, and nothing that steers a terminal', function()
    local long = shown('local s = "' .. ('ä'):rep(200) .. '" xyzzy()')
    assert.matches('\n    1 | local s = "[ä]+…$', long)
    assert.is_true(#long < 300)
    assert.is_nil(shown("local s = '\27[2J\0' xyzzy()"):find '[\27%z]')
  end)

  it('has its error even when no hint can be made', function()
    assert.equal('app.lua:1: attempt to call a nil value (global \'xyzzy\')',
      (shown "string.find = nil string.match = nil string.gsub = nil xyzzy()"):match '^[^\n]*')
    assert.matches("^app.lua:1: attempt to call a nil value %(global 'xyzzy'%)",
      shown 'setmetatable(_G, { __pairs = error }) package.loaded = nil package = nil xyzzy()')
    assert.equal('nil\n    1 | error()', shown 'error()')
    assert.matches('^OUT_OF_STOCK: none left', shown "error { code = 'OUT_OF_STOCK', message = 'none left' }")
    assert.equal("nowhere.lua:7: mine\n    1 | error('nowhere.lua:7: mine', 0)",
      shown "error('nowhere.lua:7: mine', 0)")
    assert.equal("app.lua:99: mine\n    1 | error('app.lua:99: mine', 0)", shown "error('app.lua:99: mine', 0)")
  end)

  it('is found by a long path', function()
    local path = ('folder/'):rep(12) .. 'app.lua'
    assert.matches('\n    1 | xyzzy%(%)\n      | %^%^%^%^%^$', shown('xyzzy()', { name = path }))
  end)

  it('is not run any further in a sandbox', function()
    assert.equal("app.lua:1: attempt to call a nil value (global 'prnt')",
      shown("prnt 'x'", { arguments = { '--sandbox' } }))
  end)

  it('has hints that are true: each module named can be required', function()
    local source <close> = assert(io.open(process.root .. '/stdlib/perilune/hint.lua'))
    local names = source:read('a'):match "for name in gmatch%('([%l ]+)'"
    local text = {}
    for name in names:gmatch '%l+' do text[#text + 1] = ("require 'perilune.%s'"):format(name) end
    assert.is_true(#text > 10)
    local dir = process.temp_dir { ['app.lua'] = table.concat(text, '\n') }
    assert.equal(0, process.perilune_run('run', 'app.lua', { cwd = dir }).code)
  end)
end)

--- What the traceback of a call of the handler begins with; the text may span lines, the first is the second line of
--- the script.
local function traced(handler)
  local text = MESH .. "mesh.action('fails', " .. handler .. ')\n'
    .. "local ok, err = pcall(mesh.call, 'fails')\nprint(err.traceback)\nos.exit(0)"
  local run = process.perilune_run('run', 'app.lua', { cwd = process.temp_dir { ['app.lua'] = text }, timeout = 60 })
  assert.equal(0, run.code, run.stderr)
  return (run.stdout:gsub('\n?stack traceback:.*', '')), run
end

describe('a slip in a handler', function()
  it('is told to the caller with its line, the mark and a hint, and to the log', function()
    local told, run = traced "function() mesh.acton('x', print) end"
    assert.equal([[
    2 | mesh.action('fails', function() mesh.acton('x', print) end)
      |                                      ^^^^^
  did you mean mesh.action?]], told)
    assert.matches('traceback="    2 | mesh.action.-\\n  did you mean mesh.action%?\\nstack traceback:', run.stderr)
  end)

  it('has a hint for what is often meant', function()
    local cases = { -- each is a line of the script
      { 'function(n) return n + 1 end', 'n is an argument, and was not given' },
      { 'function() return json.encode(1) end', "missing: local json = require 'perilune.json'" },
      { 'function() local shop = { price = 1 } return shop.prise + 1 end', 'did you mean shop.price?' },
      { '(function() local a = { b = { price = 1 } } return function() return a.b.prise() end end)()',
        'did you mean a.b.price?' },
      { 'function() local s <const> = { send = print } s:sent() end', 'did you mean s.send?' },
      { 'function() local t = mesh.spawn(print) return t + 1 end', 't is a task; its results are those of t:await()' },
      { "function() local s = mesh.stream 'x' return s .. '' end",
        's is a stream; its chunks come from s:next(), its results from s:result()' },
      { 'function() table.sort({ 1, 2 }, function() mesh.sleep(1) end) end',
        'table.sort is C and cannot be left halfway: wait before it, or after' },
      { 'function() mesh.spawn(function() coroutine.yield(1) end):await() end',
        'chunks are yielded by the handler itself; a task that it spawned has its results only' },
      { 'function() mesh.with { timout = 1 } end' },
      { 'function() coroutine.wrap(function() prnt() end)() end', 'did you mean print?' },
    }
    local lines, expected, told = {}, {}, {}
    for i, case in ipairs(cases) do
      local line = ('mesh.action("%d", %s)'):format(i, case[1])
      lines[i] = line
      expected[i] = ('%5d | %s%s'):format(i + 1, line, case[2] and '\n  ' .. case[2] or '')
    end
    local ask = 'for i = 1, %d do\nlocal _, e = pcall(mesh.call, tostring(i)) io.write(e.traceback, "\\0")\nend\n'
      .. 'os.exit(0)'
    local run = process.perilune_run('run', 'app.lua', { cwd = process.temp_dir {
      ['app.lua'] = MESH .. table.concat(lines, '\n') .. '\n' .. ask:format(#cases),
    } })
    for traceback in run.stdout:gmatch '[^\0]+' do
      local hint = traceback:gsub('\n?stack traceback:.*', ''):gsub('\n      | *%^+', '')
      told[#told + 1] = hint
    end
    assert.same(expected, told)
  end)

  it('is not looked for in what a script raises on purpose, or catches', function()
    assert.equal('', (traced "function() error 'sold out' end"))
    assert.equal('', (traced "function() error { code = 'NO', message = 'app.lua:2: attempt to index' } end"))
    assert.equal('', (traced "function() pcall(function() prnt() end) error('sold out', 0) end"))
  end)

  it('has its hint, whatever became of the functions of Lua', function()
    for _, replaced in ipairs { 'function() while true do end end', 'error', 'nil' } do
      local text = ([[function()
        local next_of, ipairs_of = next, ipairs
        local names = { 'next', 'type', 'rawget', 'tonumber', 'ipairs', 'pairs', 'select', 'error' }
        local set = rawset
        for i = 1, #names do set(_G, names[i], %s) end
        for _, lib in ipairs_of { string, table, utf8 } do
          for name in next_of, lib do set(lib, name, %s) end
        end
        prnt()
      end]]):format(replaced, replaced)
      assert.matches('prnt%(%)\n      | +%^%^%^%^\n  did you mean print%?$', (traced(text)))
    end
  end)

  it('holds nobody up, however much there is to look at', function()
    for what, text in pairs {
      ['names'] = "local t = {} for i = 1, 500000 do t['name' .. i] = i end clock = os.clock() t.name()",
      ['globals'] = "for i = 1, 5000 do _G['name' .. i] = i end clock = os.clock() nam()",
      ['a line'] = 'local a clock = os.clock() a.b() --[[' .. ('a'):rep(100000) .. ']]',
      ['a name'] = ("clock = os.clock() %s()"):format(('a'):rep(30000)),
      ['an error'] = "clock = os.clock() error('app.lua:2: attempt to ' .. (\"(a '\"):rep(100000))",
    } do
      local app = MESH .. "mesh.action('fails', function() " .. text .. " end)\npcall(mesh.call, 'fails')\n"
        .. 'print(os.clock() - clock)\nos.exit(0)'
      local r = process.perilune_run('run', 'app.lua', { cwd = process.temp_dir { ['app.lua'] = app }, timeout = 60 })
      assert.is_true(tonumber(r.stdout) < 0.1 * process.patience, what .. ': ' .. r.stdout .. r.stderr)
    end
  end)

  it('is told of a script in a sandbox without a hint', function()
    local text = MESH .. "mesh.action('fails', function() prnt() end)\nmesh.call 'fails'"
    local dir = process.temp_dir { ['app.lua'] = text }
    local run = process.perilune_run('run', 'app.lua', '--sandbox', { cwd = dir })
    assert.matches('traceback="stack traceback:\\n', run.stderr)
    assert.is_nil(run.stderr:find('did you mean', 1, true))
  end)

  it('is told of one on a worker thread', function()
    local dir = process.temp_dir {
      ['app.lua'] = MESH .. "mesh.action('fails', function() prnt() end)",
      ['asks.lua'] = MESH .. "mesh.wait('fails', 20)\nmesh.call 'fails'",
    }
    local words = { process.perilune, 'run', 'app.lua', '--workers', '1', '--replicas', '1' }
    process.start(words, { cwd = dir }):wait_line '^ready '
    assert.matches('\n  did you mean print%?\nstack traceback:',
      process.perilune_run('run', 'asks.lua', { cwd = dir }).stderr)
  end)
end)

describe('a slip in a script that is loaded again', function()
  for what, case in pairs {
    ['where its syntax ends'] = { 'local = 5', "<name> expected near '='\n    1 | local = 5\n      |       ^\n" },
    ['what may have been meant'] = { 'prnt()',
      "(global 'prnt')\n    1 | prnt()\n      | ^^^^\n  did you mean print?\nstack traceback:" },
  } do
    it('is told with ' .. what, function()
      local good = MESH .. "mesh.action('x', print)"
      local dir = process.temp_dir { ['app.lua'] = good }
      process.start({ process.perilune, 'run', 'app.lua' }, { cwd = dir }):wait_line '^ready '
      local file <close> = assert(io.open(dir .. '/app.lua', 'w'))
      file:write(case[1])
      file:close()
      local run = process.perilune_run('reload', { cwd = dir })
      assert.equal(1, run.code)
      assert(run.stderr:find(case[2], 1, true), run.stderr)
    end)
  end
end)
