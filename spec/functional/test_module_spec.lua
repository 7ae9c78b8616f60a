--- `perilune.test`: meshes and fakes for specs of users.

local process = require 'spec.support.process'

local SERVICE = [[
  local mesh = require 'perilune'
  mesh.action('count', function(n) for i = 1, n do coroutine.yield(i) mesh.sleep(0.1) end end)
  mesh.action('twice', function(id) return 2 * mesh.call('stock', id) end)
  mesh.every(1, function() pcall(mesh.call, 'twice', 0) end) -- what it does by itself is no leak
]]

--- Runs tests; `body` is what the file has.
local function run(body)
  local dir = process.temp_dir {
    ['service.lua'] = SERVICE,
    ['spec/a_spec.lua'] = "local mesh, test = require 'perilune', require 'perilune.test'\n" .. body,
  }
  return process.perilune_run('test', { cwd = dir })
end

local function assert_passes(body)
  local result = run(body)
  assert.equal(0, result.code, result.stdout .. result.stderr)
end

describe('test.mesh', function()
  it('has nodes in virtual time that end with the test', function()
    assert_passes [[
      it('makes them', function()
        local net = test.mesh { nodes = { worker = test.script 'service.lua', client = true } }
        net:advance(3600)
        assert.is_true(net:now() >= 3600)
        local n = 0
        assert.equal(5050, net.client:eval(function()
          local sum = 0
          for i in mesh.stream('count', 100) do sum = sum + i end
          return sum
        end))
      end)
    ]]
  end)

  it('fails the test that leaves something open in a node, and says what and where', function()
    local result = run [[
      local net
      local function open() net = test.mesh { nodes = { worker = test.script 'service.lua', client = true } } end
      it('leaves a stream', function()
        open()
        net.client:eval(function() kept = mesh.stream('count', 1000000) kept:next() end)
      end)
      it('leaves a task', function()
        open()
        net.client:start(function() mesh.sleep(1000) end)
      end)
      describe('before_each', function()
        before_each(open)
        it('is looked at, too', function() net.client:start(function() mesh.sleep(1000) end) end)
      end)
      it('closes', function()
        do
          local own <close> = test.mesh { nodes = 2, script = "mesh.action('one', function() return 1 end)" }
          assert.equal(1, own.n1:call 'one')
        end
        open()
        net:finish()
      end)
      it('does not look when it is told so', function()
        local own = test.mesh { nodes = 1, leaks = true }
        own.n1:start(function() mesh.sleep(1000) end)
      end)
      it('does not hide an error', function()
        open()
        net.client:start(function() mesh.sleep(1000) end)
        error 'the true reason'
      end)
    ]]
    assert.equal(1, result.code)
    assert.matches('3 successes / 2 failures / 2 errors', result.stdout)
    assert.matches("a_spec.lua:4: left open in the mesh: client: a stream of 'count'; "
      .. "worker: the handler of 'count' at worker:2", result.stdout)
    assert.matches('a_spec.lua:8: left open in the mesh: client: a task at spec/a_spec.lua:10 %(mesh.sleep%)',
      result.stdout)
    assert.matches('a_spec.lua:14: left open in the mesh: client: a task at spec/a_spec.lua:14', result.stdout)
    assert.matches('a_spec.lua:31: the true reason', result.stdout)
  end)

  it('finds a leak across a partition and in nodes that were added or paused', function()
    local result = run [[
      it('leaves a call', function()
        local net = test.mesh { nodes = { a = true } }
        net:node('b', { peers = { 'a' }, script = "mesh.action('wait', function() mesh.sleep(1000) end)" })
        net.a:start(function() mesh.with { timeout = 0 }.call('wait') end)
        net:advance(1)
        net:partition('a', 'b')
        net.b:pause()
      end)
    ]]
    assert.equal(1, result.code)
    assert.matches('left open in the mesh: a: ', result.stdout)
  end)

  it('leaves alone what setup has made', function()
    assert_passes [[
      describe('a net for all', function()
        local net
        setup(function() net = test.mesh { nodes = { worker = test.script 'service.lua' } } end)
        teardown(function() net:finish() end)
        it('is there', function() net.worker:eval(function() assert(mesh.self()) end) end)
        it('is still there', function() net.worker:eval(function() assert(mesh.self()) end) end)
      end)
    ]]
  end)
end)

describe('test.fake', function()
  it('answers with a function or with values, and keeps its calls', function()
    assert_passes [[
      it('fakes', function()
        local asked
        local one = test.fake('one', function(id)
          asked = id
          if id == 0 then error { code = 'NONE' } end
          for i = 1, 3 do coroutine.yield(i) end
          return 'end'
        end)
        local two = test.fake('two', 1, nil, 3)
        local three = test.fake('three')
        local sum = 0
        for i in mesh.stream('one', 7) do sum = sum + i end
        assert.same({ 6, 7 }, { sum, asked })
        assert.equal('NONE', select(2, pcall(mesh.call, 'one', 0)).code)
        assert.same({ n = 3, 1, nil, 3 }, table.pack(mesh.call('two', nil, { a = 1 })))
        assert.equal(0, select('#', mesh.call('three')))
        assert.same({ { 7 }, { 0 } }, one:calls())
        assert.same({ { mesh.null, { a = 1 } } }, two:calls())
        assert.same({ {} }, three:calls())
      end)
    ]]
  end)

  it('goes with the test, and what it stood before is back', function()
    assert_passes [[
      test.fake('of the file', 1)
      describe('inner', function()
        setup(function() test.fake('of setup', 2) end)
        it('has its own', function()
          test.fake('of the test', 3)
          test.fake('of the file', 4)
          test.fake('of the file', 5)
          assert.same({ 5, 2, 3 }, { mesh.call 'of the file', mesh.call 'of setup', mesh.call 'of the test' })
        end)
        it('has those around it', function()
          assert.same({ 1, 2 }, { mesh.call 'of the file', mesh.call 'of setup' })
          assert.equal('NOT_FOUND', select(2, pcall(mesh.call, 'of the test')).code)
        end)
      end)
    ]]
  end)

  it('stands for no action of the script itself', function()
    assert_passes [[
      it('refuses', function()
        mesh.action('own', function() end)
        local ok, err = pcall(test.fake, 'own', 1)
        assert.matches("fake: this script provides 'own' itself", err)
      end)
    ]]
  end)

  it('is there for simulated nodes, with functions that see their node alone', function()
    assert_passes [[
      it('fakes', function()
        local net = test.mesh { nodes = { worker = test.script 'service.lua', shop = true } }
        local stock = net.shop:fake('stock', function(id)
          mesh.sleep(5)
          return id * 10, mesh.self().name
        end)
        local began = net:now()
        assert.equal(140, net.worker:eval(function() return mesh.call('twice', 7) end))
        assert.is_true(net:now() - began >= 5)
        local own = 0
        for _, call in ipairs(stock:calls()) do own = own + (call[1] == 7 and 1 or 0) end
        assert.equal(1, own)
        local pair = net.shop:fake('pair', 1, nil, 2)
        assert.same({ n = 3, 1, nil, 2 }, table.pack(net.worker:call('pair', nil)))
        assert.same({ { mesh.null } }, pair:calls())
        local outer = 1
        local ok, err = pcall(net.shop.fake, net.shop, 'x', function() return outer end)
        assert.matches("cannot use the local 'outer' around it", err)
        net.shop:crash()
        assert.matches('shop does not run', select(2, pcall(net.shop.fake, net.shop, 'x', 1)))
        assert.matches('shop does not run', select(2, pcall(net.shop.fake, net.shop, 'x', function() end)))
      end)
    ]]
  end)

  it('says what is wrong with what it is given', function()
    assert_passes [[
      it('refuses', function()
        assert.matches("bad argument #1 to 'test.fake'", select(2, pcall(test.fake, 5)))
        assert.matches("bad argument #1 to 'test.mesh'", select(2, pcall(test.mesh, 'three')))
        local ok, err = pcall(function() test.mesh { topologie = 'ring' } end)
        assert.matches("^spec/a_spec.lua:%d+: unknown option 'topologie' of test.mesh", err)
        assert.matches('no such file', tostring(select(2, pcall(test.script, 'nowhere.lua'))))
      end)
    ]]
  end)
end)

describe('a fake of an action with schemas', function()
  it('takes and returns what that says', function()
    assert_passes [[
      it('does', function()
        local net = test.mesh { nodes = {
          shop = [=[
            local schemas = { params = { 'string' }, returns = { 'int' } }
            require 'perilune'.action('price', function() return 1 end, schemas)
          ]=],
          client = true,
        } }
        net.client:eval("require 'perilune'.wait 'price'")
        local fake = net.client:fake('price', function(id) return id == 'tea' and 3 or 'much' end)
        local function ask(id)
          return net.client:eval([=[
            local mesh = require 'perilune'
            local ok, err = pcall(mesh.with { node = mesh.self().id }.call, 'price', ...)
            return ok and err or err.message
          ]=], id)
        end
        assert.equal(3, ask 'tea')
        assert.equal('args[1]: string expected, got 5', ask(5))
        assert.equal('result[1]: int expected, got string', ask 'coffee')
        assert.equal(2, #fake:calls())
      end)
    ]]
  end)
end)
