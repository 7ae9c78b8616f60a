--- mesh.offload and the script that asks: its reloads, its files, its sandbox, its end; and in the simulator.

local cluster = require 'spec.support.cluster'
local process = require 'spec.support.process'

-- luacheck: globals mesh, ignore 111 112 113

cluster.describe('offloaded work at a reload', { 'mem', 'tcp' }, function(over)
  local function version(n)
    return ([[
      mesh = require 'perilune'
      mesh.action('version', function(n)
        return %d, mesh.offload(function(n)
          local sum = 0
          for i = 1, n do sum = sum + 1 end
          return sum
        end, n)
      end)
    ]]):format(n)
  end

  it('finishes in the version in which it began', function()
    local b = over.net:node('b', {}, version(1))
    local a = over.net:node('a', { peers = { b } })
    local calls = {}
    for i = 1, 4 do calls[i] = a:start(function() return mesh.call('version', 3000000) end) end
    over.net:wait(function()
      return b:eval(function() return mesh.metrics().requests_started end) >= 4
    end, 'the calls')
    b:reloaded(version(2))
    for _, call in ipairs(calls) do assert.same({ 1, 3000000 }, { call:wait() }) end
    assert.same({ 2, 10 }, { a:eval(function() return mesh.call('version', 10) end) })
  end)

  it('leaves no VM of older versions behind', function()
    local b = over.net:node('b', { offload_threads = 1 }, version(1))
    for n = 2, 12 do
      assert.equal(n - 1, b:eval(function() return (mesh.call('version', 10)) end))
      b:reloaded(version(n))
    end
    over.net:wait(function() return b:eval(function() return mesh.metrics().offload_vms_now end) == 0 end,
      'the end of their VMs')
  end)
end)

describe('offloaded work of a script in a file', function()
  local function serve(files, ...)
    local dir = process.temp_dir(files)
    local p = process.start({ process.perilune, 'run', 'app.lua', ... }, { cwd = dir })
    p:wait_line '^ready '
    return dir, p
  end

  local function call(name)
    local run = process.perilune_run('call', name)
    return run.code == 0 and run.stdout:gsub('%s+$', '') or run.stderr
  end

  local function write(path, text)
    local file = assert(io.open(path, 'w'))
    file:write(text)
    file:close()
  end

  it('takes a module as its generation has found it, and the new text after a reload', function()
    local dir = serve({
      ['app.lua'] = [[
        local mesh = require 'perilune'
        mesh.action('version', function() return mesh.offload('work', 'version') end)
        mesh.action('break', function() return mesh.offload('work', 'endless') end)
      ]],
      ['work.lua'] = "return { version = function() return 'old' end, endless = function() while true do end end }",
    }, '--offload-cpu-limit', '0.05', '--offload-threads', '1')
    assert.equal('"old"', call 'version')
    write(dir .. '/work.lua', "return { version = function() return 'new' end }")
    assert.matches('CPU_LIMIT', call 'break') -- with that its VM is gone
    assert.equal('"old"', call 'version')
    assert.equal(0, process.perilune_run('reload').code)
    assert.equal('"new"', call 'version')
  end)

  it('is loaded anew when its module changes and the script is watched', function()
    local dir, p = serve({
      ['app.lua'] = [[
        local mesh = require 'perilune'
        mesh.action('version', function() return mesh.offload('work', 'version') end)
      ]],
      ['work.lua'] = "return { version = function() return 'old' end }",
    }, '--watch')
    assert.equal('"old"', call 'version')
    process.sleep(0.3)
    write(dir .. '/work.lua', "return { version = function() return 'newer' end }")
    p:wait_line 'reloaded'
    assert.equal('"newer"', call 'version')
  end)

  it('lets the process end also where it is blocked for ever', function()
    local dir, p = serve {
      ['app.lua'] = [[
        local mesh = require 'perilune'
        mesh.action('block', function() return mesh.offload(function() return io.open 'fifo' end) end)
      ]],
    }
    assert(os.execute(('mkfifo %q'):format(dir .. '/fifo')))
    local blocked = process.start { process.perilune, 'call', 'block' }
    local caller = process.perilune_run('call', 'block', '--timeout', '0.2')
    assert.matches('TIMEOUT', caller.stderr)
    p:kill 'TERM'
    process.sleep(0.1)
    p:kill 'TERM' -- does not wait for the call
    assert.equal(0, p:wait())
    assert.is_true(blocked:wait() ~= 0)
  end)

  it('has the sandbox of the script', function()
    serve({
      ['app.lua'] = [[
        local mesh = require 'perilune'
        mesh.action('has', function()
          return mesh.offload(function()
            return { io = io ~= nil, getenv = os.getenv ~= nil, loadlib = package.loadlib ~= nil,
              execute = os.execute ~= nil, registry = debug.getregistry ~= nil, math = math ~= nil }
          end)
        end)
      ]],
    }, '--sandbox', '--allow', 'env')
    local has = call 'has'
    assert.matches('"math":true', has)
    assert.matches('"getenv":true', has)
    for _, name in ipairs { 'io', 'loadlib', 'execute', 'registry' } do
      assert.matches(('"%s":false'):format(name), has)
    end
  end)
end)

describe('offloaded work in mesh.sim', function()
  it('takes no time, and follows from the seed', function()
    local script = [[
      local mesh = require 'perilune'
      local net <close> = mesh.sim { seed = 5, nodes = 2, script = function()
        mesh.action('roll', function()
          local before = mesh.now()
          local rolled = mesh.offload(function(n)
            local list = {}
            for i = 1, n do list[i] = math.random(1000000) end
            for key in pairs { x = 1, y = 2, z = 3, w = 4 } do list[#list + 1] = key end
            return table.concat(list, ' ')
          end, 5)
          return rolled, mesh.now() - before
        end)
        mesh.action('stuck', function() return mesh.offload(function() while true do end end) end)
      end, options = { offload_cpu_limit = 0.05 } }
      print(net.n1:call 'roll')
      print(net.n2:call 'roll')
      print(pcall(net.n1.call, net.n1, 'stuck'))
    ]]
    local dir = process.temp_dir { ['app.lua'] = script }
    local first = process.perilune_run('run', 'app.lua', { cwd = dir })
    local second = process.perilune_run('run', 'app.lua', { cwd = dir })
    assert.equal(0, first.code, first.stderr)
    assert.equal(first.stdout, second.stdout)
    assert.matches('^[%d ]+w x y z\t0.0\n', first.stdout)
    assert.matches('CPU_LIMIT', first.stdout)
  end)
end)
