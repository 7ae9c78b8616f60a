local lfs = require 'lfs'
local process = require 'spec.support.process'
local script = require 'spec.support.script'
local eval, run = script.eval, script.run

describe('require', function()
  local directory

  before_each(function() directory = process.temp_dir() end)

  after_each(script.close_all)

  --- Writes a module below the script's folder.
  local function write(path, source)
    local folder = ''
    for part in path:gmatch '([^/]+)/' do
      folder = folder .. '/' .. part
      lfs.mkdir(directory .. folder)
    end
    local f = assert(io.open(directory .. '/' .. path, 'w'))
    f:write(source)
    f:close()
  end

  local function here(options)
    options = options or {}
    options.directory = directory
    return options
  end

  it('finds the standard library in the executable', function()
    assert.equal('table :embedded:', eval [[
      package.loaded['perilune.task'] = nil
      local m, where = require 'perilune.task'
      return type(m), where]])
  end)

  it('finds modules beside the script and in its lua_modules', function()
    write('one.lua', 'return 1')
    write('two/init.lua', 'return 2')
    write('lua_modules/share/lua/5.4/three.lua', 'return 3')
    write('lua_modules/four.lua', 'return 4')
    assert.equal('1 2 3 4', eval([[
      return require 'one' + 0, require 'two' + 0, require 'three' + 0, require 'four' + 0]], here()))
  end)

  it('may wait while the module loads', function()
    write('slow.lua', "require 'perilune.task'.sleep(2) return ...")
    assert.equal('slow', eval("return (require 'slow')", here()))
  end)

  it('loads a module once for two tasks, of which one waits', function()
    write('slow.lua', "count = (count or 0) + 1 require 'perilune.task'.sleep(2) return {}")
    assert.equal('true 1', eval([[
      local a, b = mesh.spawn(require, 'slow'), mesh.spawn(require, 'slow')
      return a:await() == b:await(), count]], here()))
  end)

  it('tries again in the second task when the first could not load it', function()
    write('flaky.lua', [[
      count = (count or 0) + 1
      require 'perilune.task'.sleep(1)
      if count == 1 then error 'once' end
      return 7]])
    assert.equal('false 7', eval([[
      local a, b = mesh.spawn(require, 'flaky'), mesh.spawn(require, 'flaky')
      return (pcall(a.await, a)), (b:await())]], here()))
  end)

  it('names a loop of modules', function()
    write('a.lua', "return require 'b'")
    write('b.lua', "return require 'a'")
    local _, result = run("require 'a'", here())
    assert.truthy(result:find("module 'a' is being loaded: it requires itself", 1, true), result)
  end)

  it('names a loop of modules over two tasks', function()
    write('a.lua', "require 'perilune.task'.sleep(1) return require 'b'")
    write('b.lua', "require 'perilune.task'.sleep(1) return require 'a'")
    assert.equal('true', eval([[
      local a, b = mesh.spawn(require, 'a'), mesh.spawn(require, 'b')
      local ok1, e1 = pcall(a.await, a)
      local ok2, e2 = pcall(b.await, b)
      return tostring(e1 .. e2):find('it requires itself', 1, true) ~= nil]], here()))
  end)

  it('does not keep a task that was cancelled while it waited for a module', function()
    write('slow.lua', "require 'perilune.task'.sleep(2) return 7")
    assert.equal('cancelled 7', eval([[
      local a, b = mesh.spawn(require, 'slow'), mesh.spawn(require, 'slow')
      mesh.sleep(1)
      b:cancel()
      mesh.sleep(0)
      return b.status, (a:await())]], here()))
  end)

  it('keeps what plain Lua promises', function()
    write('nothing.lua', 'x = 1')
    write('falsy.lua', 'return false')
    assert.equal('true false table 9 :preload:', eval([[
      package.preload.nine = function() return 9 end
      return (require 'nothing'), (require 'falsy'), type(require 'string'), require 'nine']], here()))
  end)

  it('says where it looked', function()
    local _, result = run("require 'absent'", here())
    assert.truthy(result:find("module 'absent' not found:", 1, true))
    assert.truthy(result:find("no module 'absent' in the standard library", 1, true))
    assert.truthy(result:find(directory .. '/absent.lua', 1, true))
  end)

  it('gives file and line of an error in a module', function()
    write('broken.lua', '\nx =')
    local _, result = run("require 'broken'", here())
    assert.truthy(result:find('broken.lua:2:', 1, true), result)
  end)

  it('refuses a module of bytecode', function()
    write('code.lua', string.dump(function() end))
    local state, result = run("require 'code'", here())
    assert.equal('failed', state)
    assert.truthy(result:find('attempt to load a binary chunk', 1, true), result)
  end)

  it('loads C modules of the distribution', function()
    assert.equal('function', eval "return type(require 'lfs'.attributes)")
  end)
end)
