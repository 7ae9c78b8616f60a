--- What is shown with the error of a script that does not load.

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

  it('has no hint from the text of another node', function()
    local dir = process.temp_dir {
      ['there/app.lua'] = MESH .. "\nmesh.action('fails', function() return prnt 'x' end)",
      ['here/app.lua'] = MESH .. "mesh.wait('fails', 10)\nlocal prnt, x = print, mesh.call 'fails'",
    }
    process.start({ process.perilune, 'run', 'app.lua' }, { cwd = dir .. '/there' }):wait_line '^ready '
    local run = process.perilune_run('run', 'app.lua', { cwd = dir .. '/here' })
    assert.matches("\n    3 | local prnt, x = print, mesh.call 'fails'\nstack traceback:", run.stderr)
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
    assert.equal('app.lua:99: mine', shown "error('app.lua:99: mine', 0)")
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
    local names = source:read('a'):match "for name in %('([%l ]+)'%)"
    local text = {}
    for name in names:gmatch '%l+' do text[#text + 1] = ("require 'perilune.%s'"):format(name) end
    assert.is_true(#text > 10)
    local dir = process.temp_dir { ['app.lua'] = table.concat(text, '\n') }
    assert.equal(0, process.perilune_run('run', 'app.lua', { cwd = dir }).code)
  end)
end)
