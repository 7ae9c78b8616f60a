--- `mesh.state` and `mesh.shared`: values that the host keeps for a script, and for the node.

local cluster = require 'spec.support.cluster'

-- luacheck: globals mesh report

describe('mesh.state', function()
  local net, node

  before_each(function()
    net = cluster.new 'mem'
    node = net:node('a', { state_limit = 64 * 1024 })
  end)

  after_each(function() net:finish() end)

  local function eval(code, ...) return node:eval(code, ...) end

  it('keeps values of all kinds, as calls take them', function()
    eval(function()
      local state = mesh.state
      for name, value in pairs { i = 1 << 60, f = 2.0, s = 'grün', b = '\xff\0', t = true, n = false } do
        state[name] = value
        assert(state[name] == value and math.type(state[name]) == math.type(value), name)
      end
      state.long = ('x'):rep(10000)
      assert(state.long == ('x'):rep(10000))
      state.bytes = mesh.bytes 'text'
      assert(state.bytes == 'text')
      state.null = mesh.null
      assert(state.null == mesh.null)
      assert(state.missing == nil)
    end)
  end)

  it('forgets a key that is set to nil', function()
    assert.same({ 'y' }, eval(function()
      mesh.state.x, mesh.state.y = 1, 2
      mesh.state.x = nil
      mesh.state:set('z', 1)
      mesh.state:set('z', nil)
      assert(mesh.state.x == nil)
      return mesh.state:keys()
    end))
  end)

  it('is another than mesh.shared', function()
    eval(function()
      mesh.state.x, mesh.shared.x = 1, 2
      assert(mesh.state.x == 1 and mesh.shared.x == 2)
      mesh.state:clear()
      assert(mesh.state.x == nil and mesh.shared.x == 2)
      assert(tostring(mesh.state) == 'mesh.state' and tostring(mesh.shared) == 'mesh.shared')
    end)
  end)

  it('is walked in the order in which its keys came, whatever happens meanwhile', function()
    eval(function()
      local state = mesh.state
      assert(next(state) == nil)
      for i = 1, 5 do state['k' .. i] = i end
      local seen = {}
      for key, value in pairs(state) do
        seen[#seen + 1] = key .. value
        if key == 'k2' then
          state.k1, state.k3, state.k4, state.new = nil, nil, 40, 6
        end
      end
      assert(table.concat(seen, ' ') == 'k1' .. '1 k22 k440 k55', table.concat(seen, ' '))
      assert(table.concat(state:keys(), ' ') == 'k2 k4 k5 new')
      local key, value = next(state, 'k4')
      assert(key == 'k5' and value == 5)
      assert(next(state, 'new') == nil)
    end)
  end)

  it('lets a key go when its time has come', function()
    eval(function()
      mesh.state:set('brief', { 1 }, { ttl = 10 })
      mesh.state:set('long', 1, { ttl = 20 })
      mesh.state.always = 1
    end)
    net:advance(9.9)
    assert.same({ 'brief', 'long', 'always' }, eval(function() return mesh.state:keys() end))
    net:advance(0.2)
    assert.same({ 'long', 'always' }, eval(function()
      assert(mesh.state.brief == nil)
      return mesh.state:keys()
    end))
    net:advance(3600)
    assert.same({ 'always' }, eval(function() return mesh.state:keys() end))
    assert.equal(1, eval(function() return mesh.metrics().state_keys_now end))
  end)

  it('keeps the time of a key that is changed, until it is set anew', function()
    eval(function()
      mesh.state:set('n', 1, { ttl = 10 })
      mesh.state:set('m', 1, { ttl = 10 })
      mesh.state:incr 'n'
      mesh.state:update('n', function(n) return n + 1 end)
      assert(mesh.state:cas('n', 3, 4))
      mesh.state.m = 2
    end)
    net:advance(11)
    assert.same({ 'm' }, eval(function() return mesh.state:keys() end))
  end)

  describe('update', function()
    it('gives the function a table of its own', function()
      eval(function()
        local old
        local result = mesh.state:update('t', function(t)
          assert(t == nil)
          return { list = { 1 } }
        end)
        assert(result.list[1] == 1)
        mesh.state:update('t', function(t)
          old = t
          t.list[2] = 2
          t.new = true
          return t
        end)
        old.list[3] = 3
        assert(mesh.state.t == { list = { 1, 2 }, new = true })
        assert(mesh.state:update('t', function() return nil end) == nil and mesh.state.t == nil)
      end)
    end)

    it('begins again when somebody else was faster', function()
      eval(function()
        local tries = 0
        mesh.state.n = 1
        mesh.state:update('n', function(n)
          tries = tries + 1
          if tries < 3 then mesh.state.n = n + 10 end
          return n + 1
        end)
        assert(tries == 3 and mesh.state.n == 22)
        tries = 0
        local ok, err = pcall(mesh.state.update, mesh.state, 'n', function(n)
          tries = tries + 1
          mesh.state.n = n + 1
          return 0
        end)
        assert(not ok and err.code == 'BUSY' and err.outcome == 'not_executed' and tries == 100, tostring(err))
        assert(tostring(err):find('mesh.state.n was changed by others', 1, true), tostring(err))
      end)
    end)

    it('refuses functions that wait, yield or return nothing', function()
      eval(function()
        mesh.state.n = 1
        local function try(fn)
          local ok, err = pcall(function() mesh.state:update('n', fn) end)
          assert(not ok and mesh.state.n == 1)
          return tostring(err)
        end
        local message = try(function() mesh.sleep(1) end)
        assert(message:find 'mesh.sleep cannot wait across a C boundary %(mesh.state:update%) at .*:%d+', message)
        message = try(function() coroutine.yield(1) end)
        assert(message:find 'yield', message)
        message = try(function() end)
        assert(message:find ':%d+: mesh.state:update: the function returned nothing', message)
        message = try(function() error 'mine' end)
        assert(message:find 'mine', message)
        message = try(function() return print end)
        assert(message:find('mesh.state.n is a function', 1, true), message)
      end)
    end)
  end)

  it('adds', function()
    eval(function()
      local state = mesh.state
      assert(state:incr 'n' == 1 and state:incr 'n' == 2 and state:incr('n', 5) == 7)
      assert(math.type(state.n) == 'integer')
      assert(state:incr('n', -7) == 0 and state:incr('n', 0.5) == 0.5 and state:incr('m', 1.5) == 1.5)
      state.s, state.t = 'x', {}
      for key, kind in pairs { s = 'string', t = 'table' } do
        local ok, err = pcall(function() state:incr(key) end)
        assert(not ok and err:find(':%d+: mesh.state:incr: mesh.state.' .. key .. ' is a ' .. kind), err)
      end
      assert(not pcall(state.incr, state, 'n', '1'))
    end)
  end)

  it('compares and sets', function()
    eval(function()
      local state = mesh.state
      assert(state:cas('k', nil, 1) == true and state.k == 1)
      assert(state:cas('k', nil, 2) == false and state:cas('k', 2, 3) == false and state.k == 1)
      assert(state:cas('k', 1.0, 'text') and state:cas('k', 'text', '\xff') and state:cas('k', '\xff', { a = 1 }))
      local many, same = {}, {}
      for i = 1, 50 do many['k' .. i] = { i, i / 2 } end
      for i = 50, 1, -1 do same['k' .. i] = { i, i / 2 } end
      state.k = many
      assert(not state:cas('k', { k1 = { 1, 0.5 } }, 1))
      assert(state:cas('k', same, { 1, 2 }))
      assert(state:cas('k', state.k, { 1, 2, 3 }) and #state.k == 3)
      assert(state:cas('k', { 1, 2, 3 }, nil) and state.k == nil)
      assert(state:cas('k', nil, nil) and not state:cas('k', 1, nil))
      state.k = mesh.null
      assert(not state:cas('k', nil, 1) and state:cas('k', mesh.null, {}) and state:cas('k', mesh.array {}, 1))
    end)
  end)

  it('is bounded, and says what to do', function()
    eval(function()
      mesh.state.a = ('x'):rep(60 * 1024)
      local function try(fn)
        local ok, err = pcall(fn)
        assert(not ok and err.code == 'TOO_LARGE' and err.outcome ~= 'executed', tostring(err))
        return tostring(err)
      end
      local message = try(function() mesh.state.b = ('x'):rep(10 * 1024) end)
      assert(message:find('mesh.state.b: no room for 10243 bytes, 61572 of 65536 are in use (state_limit): '
        .. 'remove keys, give them a ttl, or raise the limit', 1, true), message)
      try(function() mesh.state.b = ('x'):rep(70 * 1024) end)
      try(function() mesh.state:update('a', function(a) return a .. a end) end)
      assert(mesh.state.b == nil and #mesh.state.a == 60 * 1024)
      mesh.shared.b = ('x'):rep(60 * 1024)
      local metrics = mesh.metrics()
      assert(metrics.state_refused == 1 and metrics.state_keys_now == 2 and metrics.state_bytes_now > 2 * 60 * 1024)
      mesh.state.a = nil
      mesh.state.b = ('x'):rep(10 * 1024)
      local n = 0
      local ok, err = pcall(function()
        for i = 1, 1000 do
          mesh.state['k' .. i] = true
          n = i
        end
      end)
      assert(not ok and err.code == 'TOO_LARGE' and n > 300 and n < 500, n)
    end)
  end)

  it('refuses misuse at the line of the caller', function()
    local cases = {
      ['mesh.state[1] = 1'] = 'mesh.state: keys are strings, got the number 1',
      ['return mesh.state[1.5]'] = 'mesh.state: keys are strings, got the number 1.5',
      ['mesh.shared[true] = 1'] = 'mesh.shared: keys are strings, got a boolean',
      ['mesh.state[{}] = 1'] = 'mesh.state: keys are strings, got a table',
      ['mesh.state.keys = 1'] = "mesh.state: 'keys' is the name of a method and cannot be a key",
      ['mesh.state.update = nil'] = "mesh.state: 'update' is the name of a method",
      ["mesh.shared:set('incr', 1)"] = "mesh.shared: 'incr' is the name of a method",
      ["mesh.state:incr('clear')"] = "mesh.state: 'clear' is the name of a method",
      ["mesh.state:cas('cas', nil, 1)"] = "mesh.state: 'cas' is the name of a method",
      ["mesh.state:update('set', print)"] = "mesh.state: 'set' is the name of a method",
      ["mesh.state[('k'):rep(1025)] = 1"] = 'mesh.state: a key of 1025 bytes is longer than 1024',
      ["mesh.state:set('k')"] = "bad argument #2 to 'set' (value expected)",
      ["mesh.state:set('k', 1, 5)"] = "bad argument #3 to 'set' (table expected, got number)",
      ["mesh.state:set('k', 1, { tll = 5 })"] = "unknown option 'tll' of mesh.state:set",
      ["mesh.state:set('k', 1, { ttl = '5' })"] = "option 'ttl' of mesh.state:set: number of seconds above 0 expected",
      ["mesh.state:set('k', 1, { ttl = 0 })"] = 'number of seconds above 0 expected, got 0',
      ["mesh.state:set('k', 1, { ttl = 0/0 })"] = "option 'ttl' of mesh.state:set: number of seconds above 0 expected",
      ["mesh.state:update('k')"] = "bad argument #2 to 'update' (function expected, got no value)",
      ["mesh.state:incr('k', '1')"] = "bad argument #2 to 'incr' (number expected, got string)",
      ["mesh.state:cas('k', 1)"] = "bad argument #3 to 'cas' (value expected)",
      ["mesh.state.incr('k')"] = "bad argument #1 to 'incr' (perilune.State expected, got string)",
      ["next(mesh.state, 'k')"] = "invalid key to 'next'",
      ['setmetatable(mesh.state, {})'] = '(table expected, got perilune.State)',
    }
    for code, expected in pairs(cases) do
      local message = eval(function(source)
        return select(2, pcall(load('\n' .. source, '=code')))
      end, code)
      assert.truthy(message:find(expected, 1, true), code .. ': ' .. message)
      if not code:find '^setmeta' and not code:find '^next' then
        assert.truthy(message:find('code:2: ', 1, true), code .. ': ' .. message)
      end
    end
  end)

  it('refuses values that no call takes, and says where in them', function()
    eval(function()
      local function why(value)
        local ok, err = pcall(function() mesh.state['my key'] = { user = { cb = value } } end)
        assert(not ok and err.code == 'INVALID', tostring(err))
        return tostring(err)
      end
      assert(why(print):find("mesh.state['my key'].user.cb is a function", 1, true), why(print))
      assert(why(mesh.state):find("mesh.state['my key'].user.cb is a userdata", 1, true))
      assert(why((mesh.stream('x'))):find("mesh.state['my key'].user.cb is a", 1, true))
      assert(mesh.state['my key'] == nil)
    end)
  end)

  it('starts the node, as any use of the mesh', function()
    local other = net:launch('c', { listen = false }, function()
      mesh = require 'perilune'
      mesh.state.x = 1
      report(pcall(mesh.node, {}))
    end)
    net:wait(function() return (other:over()) end, 'its end')
    local seen = other:reports()[1]
    assert.is_false(seen[1])
    assert.truthy(seen[2]:find('already started', 1, true), seen[2])
  end)
end)

describe('next', function()
  local script = require 'spec.support.script'

  after_each(script.close_all)

  it('is as in plain Lua for other tables', function()
    assert.equal('nil 1 a nil x 5', script.eval [[
      local seen = {}
      local function see(...) for i = 1, select('#', ...) do seen[#seen + 1] = tostring((select(i, ...))) end end
      see(next {}) see(next { 'a' }) see(next({ 'a' }, 1)) see(next(setmetatable({ x = 5 }, { __index = { y = 1 } })))
      assert(not pcall(next) and not pcall(next, 1) and not pcall(next, {}, 'k') and not pcall(next, io.stdout))
      return table.concat(seen, ' ')
    ]])
  end)
end)

describe('mesh.state over a reload', function()
  it('is that of the old version, for both while both live', function()
    local net = cluster.new 'mem'
    local function version()
      mesh.state.loads = (mesh.state.loads or 0) + 1
      mesh.state:update('list', function(list)
        list = list or {}
        list[#list + 1] = mesh.state.loads
        return list
      end)
      mesh.action('slow', function()
        mesh.sleep(1)
        return mesh.state:incr 'calls', mesh.state.loads, mesh.self().generation
      end)
    end
    local b = net:node('b', {}, version)
    local a = net:node('a', { peers = { b } })
    local function slow() return { mesh.call 'slow' } end
    local old = a:start(slow)
    net:advance(0.1)
    assert.equal(2, b:reloaded(version).generation)
    local new = a:start(slow)
    assert.same({ 1, 2, 1 }, old:wait())
    assert.same({ 2, 2, 2 }, new:wait())
    assert.is_true(b:eval(function() return mesh.state.list == { 1, 2 } end))
    net:finish()
  end)

  it('is kept when the new version fails', function()
    local net = cluster.new 'mem'
    local b = net:node('b', {}, function() mesh.state.n = 1 end)
    assert.truthy(b:reloaded(function()
      mesh.state.n = 2
      error 'no'
    end).failure)
    assert.equal(2, b:eval(function() return mesh.state.n end))
    net:finish()
  end)
end)

describe('mesh.state of a simulated node', function()
  it('ends with its process', function()
    local process = require 'spec.support.process'
    local dir = process.temp_dir { ['app.lua'] = [[
      local mesh = require 'perilune'
      local net <close> = mesh.sim { nodes = 2, script = function() mesh.state:set('n', 1, { ttl = 3600 }) end }
      print(net.n1:eval(function() return mesh.state:incr 'n', mesh.shared.n end))
      net:advance(3601)
      print(net.n1:eval(function() return mesh.state.n end), net.n2:eval(function() return mesh.state.n end))
    ]] }
    local run = process.perilune_run('run', 'app.lua', { cwd = dir })
    assert.same({ '2\tnil\nnil\tnil\n', 0 }, { run.stdout, run.code }, run.stderr)
  end)
end)

describe('mesh.shared', function()
  it('is the same for all scripts of a node', function()
    local process = require 'spec.support.process'
    local dir = process.temp_dir {
      ['a.lua'] = [[
        local mesh = require 'perilune'
        mesh.shared.from_a, mesh.state.own = { 1, 2 }, 'a'
        repeat mesh.sleep(0.01) until mesh.shared.from_b
        print('a', #mesh.shared.from_b, mesh.state.own)
        mesh.shared.seen = true
      ]],
      ['b.lua'] = [[
        local mesh = require 'perilune'
        mesh.shared.from_b, mesh.state.own = { 1, 2, 3 }, 'b'
        repeat mesh.sleep(0.01) until mesh.shared.seen
        print('b', #mesh.shared.from_a, mesh.state.own)
      ]],
    }
    local run = process.perilune_run('run', 'a.lua', 'b.lua', '--mesh', process.unique 'state', { cwd = dir })
    assert.same({ 'a\t3\ta\nb\t2\tb\n', 0 }, { run.stdout, run.code }, run.stderr)
  end)
end)
