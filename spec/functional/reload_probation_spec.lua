--- A new version that does worse than the one before is taken back.

local cluster = require 'spec.support.cluster'
local nodes = require 'spec.support.nodes'
local process = require 'spec.support.process'

-- luacheck: globals mesh report, ignore 111 112 113

local GOOD = [[
mesh = require 'perilune'
mesh.action('v', function() mesh.sleep(0.001) return 'good' end)
mesh.action('generation', function() return mesh.self().generation end)
mesh.on_load(function(...) report('loaded', ...) end)
]]

local function version(handler, more)
  return ([[
mesh = require 'perilune'
mesh.action('v', function(i) %s end)
mesh.action('generation', function() return mesh.self().generation end)
%s]]):format(handler, more or '')
end

cluster.describe('a version on probation', { 'mem' }, function(over)
  local a, b

  local function start(first, options)
    options = options or { probation = 10 }
    b = over.net:node('b', options, nil)
    b:reloaded(first or GOOD)
    over.net:advance(options.probation + 1)
    a = over.net:node('a', { peers = { b } })
  end

  before_each(function() a, b = nil, nil end)

  --- `n` calls, one after the other. How many failed.
  local function calls(n)
    return a:eval(function(count)
      local failed = 0
      for i = 1, count do
        if not pcall(mesh.call, 'v', i) then failed = failed + 1 end
      end
      return failed
    end, n)
  end

  local function serving() return a:eval(function() return mesh.call 'generation' end) end

  --- Loads that version, has it serve 40 calls, and returns which generation serves afterwards.
  local function try(text)
    calls(40)
    local generation = b:reloaded(text).generation
    assert.equal(3, generation)
    calls(40)
    over.net:advance(1)
    return serving()
  end

  it('is taken back when its calls fail', function()
    start()
    assert.equal(4, try(version "error 'broken'"))
    assert.equal(0, calls(10))
    assert.equal('good', a:eval(function() return mesh.call 'v' end))
    assert.matches('does worse than the one before', over.net:log())
    assert.matches('100 %% of its calls fail, 0 %% did before', over.net:log())
    over.net:advance(60)
    assert.equal(4, serving())
  end)

  it('is taken back when its calls take much longer, or never end', function()
    start()
    assert.equal(4, try(version 'mesh.sleep(0.2) return 1'))
    assert.matches('its calls take 20%d ms', over.net:log())
  end)

  it('is taken back when its calls never end', function()
    start()
    b:reloaded(version 'mesh.sleep(1e6)')
    a:eval(function()
      local tasks = {}
      for i = 1, 30 do tasks[i] = mesh.spawn(pcall, mesh.with { timeout = 1 }.call, 'v') end
      mesh.all(tasks)
    end)
    over.net:advance(1)
    assert.equal(4, serving())
  end)

  it('hands over to the one that comes back, unless it cannot', function()
    start()
    assert.equal(4, try(version("error 'broken'", "mesh.on_unload(function() return 'kept' end)")))
    assert.same({ 'loaded', 'kept', n = 2 }, b:reports()[#b:reports()])
    assert.equal('~generation ~v', b:reloads()[#b:reloads()].text)
  end)

  it('is taken back although it cannot hand over', function()
    start()
    assert.equal(4, try(version("error 'broken'", "mesh.on_unload(function() error 'no' end)")))
  end)

  it('stays when it does as well as the one before', function()
    start()
    assert.equal(3, try(version "mesh.sleep(0.002) if i % 20 == 0 then error 'sometimes' end return 1"))
  end)

  it('stays when the one before was as bad', function()
    start(version "if i % 2 == 0 then error 'often' end return 1")
    assert.equal(3, try(version "mesh.sleep(0.001) if i % 2 == 1 then error 'often' end return 1"))
  end)

  it('stays when little is known of it', function()
    start()
    calls(40)
    b:reloaded(version "error 'broken'")
    calls(15)
    over.net:advance(20)
    assert.equal(3, serving())
    calls(40)
    over.net:advance(20)
    assert.equal(3, serving())
  end)

  it('stays where there is no probation', function()
    start(nil, { probation = 0 })
    assert.equal(3, try(version "error 'broken'"))
  end)

  it('gives way to a newer one', function()
    start()
    calls(40)
    b:reloaded(version "error 'broken'")
    assert.equal(4, b:reloaded(version 'return 1').generation)
    calls(40)
    over.net:advance(1)
    assert.equal(4, serving())
  end)

  it('leaves nothing behind when the node ends', function()
    start()
    b:reloaded(version 'return 1')
    assert.equal(0, b:finish())
  end)
end)

cluster.describe('generations that are replaced quickly', { 'mem' }, function(over)
  it('begin their background tasks when all before them have ended theirs', function()
    local SLOW_END = [[
      mesh = require 'perilune'
      mesh.action('v', function() end)
      mesh.spawn(function()
        report(mesh.self().generation, 'began')
        local cleanup <close> = setmetatable({}, { __close = function()
          mesh.sleep(1)
          report('ended')
        end })
        mesh.sleep(1e6)
      end)]]
    local b = over.net:node('b', {}, nil)
    b:reloaded(SLOW_END)
    over.net:advance(0.1)
    for _ = 1, 5 do
      b:reloaded(SLOW_END)
      over.net:advance(0.1)
    end
    over.net:advance(5)
    assert.same({ 2, 'ended', 7 }, b:reported())
  end)
end)

describe('a version that comes back', function()
  it('is made of the texts that it had, modules as well, whatever is on the disk by then', function()
    local dir = process.temp_dir {
      ['app.lua'] = "require('perilune').action('v', (require 'answer'))\n",
      ['answer.lua'] = "return function() return require('part').word end\n",
      ['part.lua'] = "return { word = 'good' }\n",
    }
    local url = 'unix://' .. dir .. '/n.sock'
    local p = process.start({ process.perilune, 'run', 'app.lua', '--name=n', '--probation=60', '--listen=' .. url },
      { cwd = dir })
    p:wait_line '^ready '
    local client = nodes.start('client', { peers = { url } })
    assert.equal('good', client:eval "return mesh.call 'v'") -- which has required the part only now

    local file <close> = assert(io.open(dir .. '/answer.lua', 'w'))
    file:write "return function() error 'broken' end\n"
    file:close()
    assert.equal(0, process.perilune_run('reload', '--peer=' .. url).code)
    for _, name in ipairs { 'app.lua', 'answer.lua', 'part.lua' } do assert(os.remove(dir .. '/' .. name)) end
    client:eval "for _ = 1, 30 do pcall(mesh.call, 'v') end"
    p:wait_line 'a generation does worse than the one before, which comes back .*generation=2'
    p:wait_line 'reloaded .*generation=3'
    assert.equal('good', client:eval "return mesh.call 'v'")
  end)
end)
