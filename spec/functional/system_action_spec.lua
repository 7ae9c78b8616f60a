--- What nodes serve themselves: beside the actions of scripts, told to nobody, for who may look into a node.

local cluster = require 'spec.support.cluster'
local keys = require 'spec.support.keys'
local process = require 'spec.support.process'
local stranger = require 'spec.support.stranger'
local testing = require 'perilune.testing'

-- luacheck: globals mesh report, ignore 431

local S, SYSTEM_CALLS = stranger, 64
local put = testing.wire.msgpack.put

local function info_of(name) return mesh.with { node = name }.call '_perilune.info' end

cluster.describe('what a node serves itself', { 'mem', 'tcp', 'unix' }, function(over)
  local net

  before_each(function() net = over.net end)

  local function server()
    mesh.action('work', function() mesh.sleep(1000) end)
  end

  it('tells of the node to its neighbours', function()
    local b = net:node('b', {}, server)
    local a = net:node('a', { peers = { b } })
    local info = a:eval(info_of, 'b')
    assert.same({ b:id(), 'b', false, false }, { info.id, info.name, info.leaf, info.draining })
    assert.equal(a:eval(function() return mesh.self().version end), info.version)
    assert.is_true(info.uptime >= 0)
    assert.is_true(info.metrics.requests_system >= 1)
    assert.equal('a', a:eval(info_of, 'a').name)
  end)

  it('is there over relays, and at a leaf', function()
    local d = net:node('d', {}, server)
    local c = net:node('c', { peers = { d } }, server)
    local b = net:node('b', { peers = { c } })
    net:wait(function() return #b:eval(function() return mesh.nodes() end) == 3 end, 'all to be known')
    assert.equal('d', b:eval(info_of, 'd').name)
    local leaf = net:launch('leaf', { peers = { d }, listen = false }, function()
      mesh.self()
      mesh.sleep(1000)
    end)
    net:wait(function() return #d:eval(function() return mesh.nodes() end) == 4 end, 'the leaf to be known')
    local info = d:eval(info_of, 'leaf')
    assert.same({ leaf:id(), true }, { info.id, info.leaf })
  end)

  it('is told to nobody, and found at a named node only', function()
    local b = net:node('b', {}, server)
    local a = net:node('a', { peers = { b } })
    assert.same({ 'work' }, a:eval(function()
      local names = {}
      for i, action in ipairs(mesh.actions()) do names[i] = action.name end
      return names
    end))
    for _, node in ipairs { a, b } do
      assert.equal('NOT_FOUND', node:fails(function() mesh.call '_perilune.info' end).code)
    end
    local e = a:fails(function() mesh.with { node = 'b' }.call '_perilune.other' end)
    assert.same({ 'NOT_FOUND', 'not_executed', b:id() }, { e.code, e.outcome, e.node })
    assert.equal('NO_ROUTE', a:fails(function() mesh.with { node = ('f'):rep(32) }.call '_perilune.info' end).code)
  end)

  it('belongs to no script', function()
    local a = net:node('a', {}, server)
    for _, name in ipairs { '_perilune.info', '_perilune.', '_perilune.mine', '_ping' } do
      local e = a:fails(function(n) mesh.action(n, function() end) end, name)
      assert.equal('INVALID', e.code)
      assert.matches('not one of the node itself', e.message)
      assert.is_false(a:eval(function(n) return mesh.remove(n) end, name))
    end
    assert.equal('a', a:eval(info_of, 'a').name)
    a:eval(function() mesh.action('_perilun', function() return 1 end) end)
    assert.equal(1, a:eval(function() return mesh.call '_perilun' end))
  end)

  it('needs no slot, and is there while the node drains', function()
    local b = net:node('b', { max_concurrency = 1, max_queue = 1, drain = 5 }, server)
    local a = net:node('a', { peers = { b } })
    local first = a:start(function() mesh.call 'work' end)
    local second = a:start(function() mesh.call 'work' end)
    net:wait(function() return net:metrics().requests_queued_now == 1 end, 'a call that waits')
    assert.equal('BUSY', a:fails(function() mesh.with { retries = 0 }.call 'work' end).code)
    assert.equal('b', a:eval(info_of, 'b').name)
    b:stop(5)
    net:wait(function() return a:eval(info_of, 'b').draining end, 'the drain')
    first:cancel()
    second:cancel()
    b:finish(0)
  end)

  it('is bounded for each of its actions', function()
    local b = net:node('b', {}, server)
    b.host:hold '_perilune.hold'
    local s = S.greet(net, b)
    for i = 1, SYSTEM_CALLS + 3 do s:call(2 * i - 1, '_perilune.hold') end
    for i = SYSTEM_CALLS + 1, SYSTEM_CALLS + 3 do
      local e = s:error(2 * i - 1)
      assert.same({ 'BUSY', 1 }, { e.code, e.outcome })
    end
    s:call(1001, '_perilune.info')
    assert(s:receive(S.RESULT, 1001))
    s:send(S.CANCEL, testing.wire.message.encode('cancel', { call_id = 1 }), { label = 1 })
    s:receive(S.ERROR, 1)
    s:call(1003, '_perilune.hold')
    s:call(1005, '_perilune.hold')
    assert.equal('BUSY', s:error(1005).code)
    s:close()
    net:wait(function() return net:metrics().requests_now == 0 end, 'the end of what was held')
  end)

  it('takes arguments of one frame', function()
    local b = net:node('b', {}, server)
    local s = S.greet(net, b)
    s:call(1, '_perilune.info', { body_len = 20000 }, ('x'):rep(10000), { flags = S.MORE })
    assert.equal('TOO_LARGE', s:error(1).code)
    s:call(3, '_perilune.info', nil, '\xc1 what is no value does no harm')
    assert(s:receive(S.RESULT, 3))
    s:call(5, '_perilune.info', { stream = true, input = true, window_items = 1, window_bytes = 65536 })
    assert(s:receive(S.RESULT, 5))
    s:call(7, '_perilune.info', { codec = 7 })
    assert.equal('INVALID', s:error(7).code)
  end)

  it('hides the actions of scripts whose names begin like that', function()
    local b = net:node('b', {}, function()
      mesh.action('_mine', function() return 'seen' end)
      mesh.action('mine', function() return mesh.call '_mine' end)
    end)
    local s = S.greet(net, b)
    for i, fields in ipairs { {}, { destination = put('bin', testing.base.id.parse(b:id())), hops_left = 16 } } do
      s:call(2 * i - 1, '_mine', fields)
      assert.equal('NOT_FOUND', s:error(2 * i - 1).code)
    end
    s:call(9, 'mine')
    assert(s:receive(S.RESULT, 9))
  end)
end)

describe('what a node serves itself', function()
  local function near(i) return 'tcp://127.0.0.1:' .. 4000 + i end
  local function far(i) return 'tcp://10.0.0.' .. i .. ':4000' end

  --- Three nodes in a row, c - r - b, at addresses; what `r` and `b` are told when they ask `c`.
  local function told(addresses, psk)
    local dir = process.temp_dir { ['app.lua'] = ([[
      local mesh = require 'perilune'
      local urls = { %s }
      local function script() mesh.action('x', function() end) end
      local net <close> = mesh.sim { nodes = 0 }
      for i, name in ipairs { 'c', 'r', 'b' } do
        net:node(name, { script = script, peers = { urls[i - 1] }, options = { listen = { urls[i] }, %s } })
      end
      net:advance(1)
      local function ask(name)
        local ok, got = pcall(mesh.with { node = name }.call, '_perilune.info')
        return ok and got.name or got.code .. ' ' .. got.outcome
      end
      print(net.r:eval(ask, 'c') .. ', ' .. net.b:eval(ask, 'c'))
    ]]):format("'" .. table.concat(addresses, "', '") .. "'", psk and ('psk = %q'):format(psk) or 'insecure = true') }
    local run = process.perilune_run('run', 'app.lua', { cwd = dir })
    assert(run.code == 0, run.stdout .. run.stderr)
    return run.stdout
  end

  it('is for the nodes of its machine, over any number of links', function()
    assert.equal('c, c\n', told { near(1), near(2), near(3) })
  end)

  it('is not for others', function()
    assert.equal('FORBIDDEN not_executed, FORBIDDEN not_sent\n', told { far(1), far(2), far(3) })
  end)

  it('is not passed on for others by who may', function()
    assert.equal('c, FORBIDDEN not_sent\n', told { near(1), far(2), far(3) })
  end)

  it('does not trust what came from another machine', function()
    assert.equal('FORBIDDEN not_executed, FORBIDDEN not_executed\n', told { far(1), near(2), near(3) })
  end)

  it('is for who is authenticated', function()
    assert.equal('c, c\n', told({ far(1), far(2), far(3) }, keys.file(keys.ONE)))
  end)
end)
