--- Scripts that are reloaded in real nodes: when their files change, at SIGHUP, and by `perilune reload`.

local json = require 'dkjson'
local lfs = require 'lfs'
local process = require 'spec.support.process'

local READY = '^ready '

local MAIN = [[
local mesh = require 'perilune'
local text = require 'text'
mesh.action('v', function() return text end)
]]

local dir, p, url

local function write(name, text)
  local file <close> = assert(io.open(dir .. '/' .. name, 'wb'))
  file:write(text)
end

local function replace(name, text)
  write(name .. '.new', text)
  assert(os.rename(dir .. '/' .. name .. '.new', dir .. '/' .. name))
end

local function start(...)
  url = 'unix://' .. dir .. '/n.sock'
  p = process.start({ process.perilune, 'run', 'app.lua', '--name=n', '--listen=' .. url, ... }, { cwd = dir })
  p:wait_line(READY)
end

local function call(...) return process.perilune_run('call', '--peer=' .. url, ...) end

local function answer()
  local r = call 'v'
  return r.stdout ~= '' and r.stdout or r.stderr
end

local function wait_for(done)
  local deadline = process.now() + 20 * process.patience
  while not done() do
    if process.now() > deadline then p:fail 'it did not come to it' end
    process.sleep(0.05)
  end
end

local function reload(...) return process.perilune_run('reload', '--peer=' .. url, ...) end

before_each(function()
  dir = process.temp_dir { ['app.lua'] = MAIN, ['text.lua'] = "return 'one'\n" }
end)

describe('perilune run --watch', function()
  local function reloaded(generation, actions)
    local pattern = ('^reloaded app%%.lua generation %d in %%d+ ms:%s$'):format(generation, actions or ' ~v')
    p:wait_line(pattern)
  end

  before_each(function() start('--watch', '--load-limit=600', '--cpu-limit=600') end)

  it('reloads when the script changes', function()
    write('app.lua', MAIN .. "mesh.action('w', print)\n")
    reloaded(2, ' %+w ~v')
    write('app.lua', MAIN)
    reloaded(3, ' %-w ~v')
    assert.equal('"one"\n', answer())
  end)

  it('reloads when a module of it changes', function()
    write('text.lua', "return 'two'\n")
    reloaded(2)
    assert.equal('"two"\n', answer())
  end)

  it('sees files that an editor puts in the place of others', function()
    for generation = 2, 4 do
      replace('text.lua', ("return 'text %d'\n"):format(generation))
      reloaded(generation)
      assert.equal(('"text %d"\n'):format(generation), answer())
    end
  end)

  it('sees files that are deleted and made anew', function()
    os.remove(dir .. '/text.lua')
    process.sleep(0.3)
    assert.equal('"one"\n', answer())
    write('text.lua', "return 'anew'\n")
    reloaded(2)
    assert.equal('"anew"\n', answer())
  end)

  it('sees folders that are moved away and come back', function()
    lfs.mkdir(dir .. '/sub')
    write('sub/part.lua', "return 'part'\n")
    write('text.lua', "return require 'sub.part'\n")
    reloaded(2)
    assert(os.rename(dir .. '/sub', dir .. '/away'))
    process.sleep(0.3)
    assert(os.rename(dir .. '/away', dir .. '/sub'))
    write('sub/part.lua', "return 'other part'\n")
    reloaded(3)
    assert.equal('"other part"\n', answer())
  end)

  it('waits for the end of a burst of changes', function()
    local began = process.now()
    for i = 1, 20 do
      write('text.lua', ("return 'text %d'\n"):format(i))
      process.sleep(0.02)
    end
    local pauses = (process.now() - began) / 0.1 -- on a busy machine there may be some
    wait_for(function() return answer() == '"text 20"\n' end)
    local _, count = p:stderr():gsub('\nreloaded ', '')
    assert.is_true(count <= pauses + 1, count .. ' reloads')
  end)

  it('says where a half written file is wrong, serves the old one, and takes the next', function()
    write('app.lua', MAIN:sub(1, -6))
    p:wait_line "^cannot reload app%.lua, generation 1 goes on: app%.lua:3: "
    assert.equal('"one"\n', answer())
    write('text.lua', "return 'two'\n")
    write('app.lua', MAIN)
    p:wait_line '^reloaded app%.lua generation 2'
    assert.equal('"two"\n', answer())
  end)

  it('breaks off the load of a version that does not end when its text is mended', function()
    local beginning = "local mesh = require 'perilune' io.stderr:write 'it loads\\n' "
    local endless = { 'mesh.sleep(1e6)', 'while true do end', 'while true do pcall(mesh.sleep, 1) end' }
    for generation, hangs in ipairs(endless) do
      local name = generation == 1 and 'app.lua' or 'text.lua'
      write(name, beginning .. hangs)
      p:wait_line '^it loads$'
      write(name, name == 'app.lua' and MAIN or ("return 'text %d'\n"):format(generation))
      p:wait_line(('^cannot reload app%%.lua, generation %d goes on: '):format(generation)
        .. 'CANCELLED: app%.lua: has changed while it loaded, and is loaded anew$')
      p:wait_line(('^\t[./]*%s:1: in '):format(name))
      reloaded(generation + 1)
    end
    assert.equal('"text 3"\n', answer())
  end)

  it('tells those who have asked for what was broken off what comes of the newest', function()
    write('app.lua', "io.stderr:write 'it loads\\n' while true do end")
    local asks = process.start({ process.perilune, 'reload', '--peer=' .. url }, { cwd = dir })
    p:wait_line '^it loads$'
    process.sleep(0.3)
    write('app.lua', MAIN)
    assert.equal(0, asks:wait())
    assert.matches('^reloaded app%.lua generation 2 in %d+ ms: ~v\n$', asks:stdout())
  end)

  it('says where a broken module is wrong, and takes the next', function()
    write('text.lua', "return 'two'\nreturn\n")
    p:wait_line '^cannot reload app%.lua, generation 1 goes on: error loading module'
    p:wait_line 'text%.lua:2:'
    write('text.lua', "return 'two'\n")
    reloaded(2)
    assert.equal('"two"\n', answer())
  end)

  it('reloads when a module comes that was missing, wherever it is looked for', function()
    for generation, name in ipairs { 'more.lua', 'other/init.lua', 'lua_modules/third.lua' } do
      local module = name:match '(%w+)/init' or name:match '(%w+)%.lua$'
      write('app.lua', MAIN .. ("require '%s'\n"):format(module))
      p:wait_line(("^cannot reload app%%.lua, generation %d goes on: app%%.lua:4: module '%s' not found:"):format(
        generation, module))
      lfs.mkdir(dir .. '/' .. (name:match '^(.*)/' or ''))
      write(name, 'return 1\n')
      reloaded(generation + 1)
    end
  end)

  it('reloads when a module comes back that was required while it was away', function()
    os.remove(dir .. '/text.lua')
    write('app.lua', MAIN .. '\n')
    p:wait_line "^cannot reload app%.lua, generation 1 goes on: app%.lua:2: module 'text' not found:"
    write('text.lua', "return 'back'\n")
    reloaded(2)
    assert.equal('"back"\n', answer())
  end)

  it('reloads when a module comes that the script can do without', function()
    write('app.lua', MAIN .. "for i = 1, 1000 do pcall(require, i == 1 and 'extra' or 'none' .. i) end\n")
    reloaded(2)
    write('extra.lua', 'return 1\n')
    reloaded(3)
    write('text.lua', "return 'two'\n")
    reloaded(4)
    assert.equal('"two"\n', answer())
  end)

  it('does not reload for a change that changes nothing else', function()
    process.sleep(0.5)
    assert.is_nil(p:stderr():find 'reloaded')
  end)
end)

describe('SIGHUP', function()
  it('reloads the scripts', function()
    start()
    write('text.lua', "return 'two'\n")
    p:kill 'HUP'
    p:wait_line 'reloaded .*generation=2'
    assert.equal('"two"\n', answer())
  end)

  it('says in the log why not', function()
    start()
    write('text.lua', 'return return\n')
    p:kill 'HUP'
    p:wait_line 'reload failed'
    assert.equal('"one"\n', answer())
  end)
end)

describe('perilune reload', function()
  before_each(function() start() end)

  it('reloads the scripts of the node, and prints what is different', function()
    write('app.lua', MAIN .. "mesh.action('w', print)\n")
    local r = reload()
    assert.equal(0, r.code)
    assert.matches('^reloaded app%.lua generation 2 in %d+ ms: %+w ~v\n$', r.stdout)
    assert.equal('', r.stderr)
    assert.matches('^reloaded app%.lua generation 3', reload('app.lua', '--node=n').stdout)
  end)

  it('prints the error, with file and line, and fails', function()
    write('app.lua', MAIN .. "error 'boom'\n")
    local r = reload()
    assert.equal(1, r.code)
    assert.equal('', r.stdout)
    assert.matches('^cannot reload app%.lua, generation 1 goes on: app%.lua:4: boom\nstack traceback:\n', r.stderr)
    assert.equal('"one"\n', answer())
  end)

  it('is seen in the list of tasks, well or not', function()
    local function ps(...) return process.perilune_run('ps', '--peer=' .. url, 'n', ...).stdout end
    assert.is_nil(ps():find 'reload')
    write('text.lua', "return 'two'\nreturn\n")
    assert.equal(1, reload().code)
    assert.matches('\nn: app.lua: generation 1, reload failed %d[%d.]* m?s ago: [^\n]*text%.lua:2: [^\n]*\n$', ps())
    local script = json.decode(ps '--json')[1].scripts[1]
    assert.same({ 'app.lua', 1, 1 }, { script.script, script.generation, script.reload.generation })
    assert.matches('text%.lua:2: ', script.reload.failure)
    write('text.lua', "return 'two'\n")
    assert.equal(0, reload().code)
    assert.matches('\nn: app.lua: generation 2, reloaded %d+[%d.]* m?s ago\n$', ps())
  end)

  it('refuses a script that is not there', function()
    local r = reload 'other.lua'
    assert.equal(1, r.code)
    assert.matches("INVALID: the node runs no script 'other.lua'", r.stderr)
  end)

  it('says that a node is not there', function()
    local r = reload '--node=other'
    assert.equal(1, r.code)
    assert.matches('NO_ROUTE', r.stderr)
  end)

  it('goes from node to node, and stops at the first failure', function()
    for _, name in ipairs { 'second', 'third' } do
      local folder = process.temp_dir { ['app.lua'] = MAIN, ['text.lua'] = "return 'one'\n" }
      local argv = { process.perilune, 'run', 'app.lua', '--name=' .. name, '--peer=' .. url,
        '--listen=unix://' .. folder .. '/n.sock' }
      process.start(argv, { cwd = folder }):wait_line(READY)
    end
    wait_for(function()
      local known = process.perilune_run('nodes', '--peer=' .. url).stdout
      return known:find 'second' and known:find 'third'
    end)
    local r = reload()
    assert.equal(2, r.code)
    assert.matches('INVALID: 3 nodes are in the mesh; say which: %-%-node NAME, or %-%-nodes n,second,third', r.stderr)

    for pattern, arguments in pairs {
      ["INVALID: %-%-nodes: there is a name missing in ''"] = { '--nodes=' },
      ["INVALID: %-%-nodes: there is a name missing in 'n,,third'"] = { '--nodes=n,,third' },
      ["INVALID: %-%-nodes: 'n' is there twice"] = { '--nodes=n,third,n' },
      ['INVALID: %-%-node and %-%-nodes do not go together'] = { '--nodes=n', '--node=third' },
      ["INVALID: %-%-batch: '0' is not 1, 2, 3 or more"] = { '--nodes=n,third', '--batch=0' },
      ["INVALID: %-%-batch: '1.5' is not"] = { '--nodes=n,third', '--batch=1.5' },
    } do
      r = reload(table.unpack(arguments))
      assert.same({ 2, '' }, { r.code, r.stdout }, pattern)
      assert.matches(pattern, r.stderr)
    end
    r = reload '--nodes=third,n,fourth'
    assert.same({ 1, '' }, { r.code, r.stdout })
    assert.matches("^NO_ROUTE: no node named 'fourth' is known; nothing was reloaded\n", r.stderr)

    r = reload '--nodes=third,n,second'
    assert.equal(0, r.code)
    assert.matches('^third: reloaded app%.lua generation 2 .*\nn: reloaded .*\nsecond: reloaded ', r.stdout)

    write('app.lua', MAIN .. "error 'boom'\n")
    r = reload('--nodes=third,n,second', '--batch', '1')
    assert.equal(1, r.code)
    assert.matches('^third: reloaded app%.lua generation 3 [^\n]*\n$', r.stdout)
    assert.matches('^n: cannot reload app%.lua, generation 2 goes on: app%.lua:4: boom', r.stderr)

    r = reload('--nodes=third,n,second', '--batch', '3')
    assert.equal(1, r.code)
    assert.matches('third: reloaded app%.lua generation 4', r.stdout)
    assert.matches('second: reloaded app%.lua generation 3', r.stdout)
  end)
end)
