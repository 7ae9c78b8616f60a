--- mesh.describe: what an action is, asked of who provides it.

local cluster = require 'spec.support.cluster'
local stranger = require 'spec.support.stranger'
local testing = require 'perilune.testing'

-- luacheck: globals mesh report, ignore 431

local put = testing.wire.msgpack.put

local function server()
  mesh.action('add', function(numbers, scale) -- luacheck: ignore
    return 1
  end, {
    params = { { a = 'int', b = '?int' }, { type = 'number', optional = true, description = 'times that' } },
    returns = { 'number' },
    chunks = { { list = { enum = { 'a', 1 } }, max = 3 } },
    description = 'adds two numbers', tags = { 'math', 'demo' },
    timeout = 3, concurrency = 5, idempotent = true, strategy = 'random', weight = 2,
  })
  mesh.action('plain', function(...) return ... end)
end

local DESCRIPTION = {
  action = 'add',
  description = 'adds two numbers',
  names = { 'numbers', 'scale' },
  tags = { 'demo', 'math' },
  options = { timeout = 3, concurrency = 5, idempotent = true, strategy = 'random', weight = 2 },
  params = {
    { fields = { a = { type = 'int' }, b = { type = 'int', optional = true } } },
    { type = 'number', optional = true, description = 'times that' },
  },
  returns = { { type = 'number' } },
  chunks = { { list = { enum = { 'a', 1 } }, max = 3 } },
}

local function expected(node)
  local copy = { node = node:id(), node_name = node.name }
  for key, value in pairs(DESCRIPTION) do copy[key] = value end
  return copy
end

--- Without the place in this file, which is checked by itself.
local function described(node, name, options)
  local told = node:eval(function(...) return mesh.describe(...) end, name, options)
  assert.matches(':%d+$', told.where)
  told.where = nil
  return told
end

cluster.describe('the description of an action', { 'mem', 'tcp', 'unix' }, function(over)
  it('is what its script said, here, at a neighbour and over relays', function()
    local c = over.net:node('c', {}, server)
    local b = over.net:node('b', { peers = { c } })
    local a = over.net:node('a', { peers = { b } })
    a:eval(function() mesh.wait('add', 5) end)
    for _, node in ipairs { c, b, a } do assert.same(expected(c), described(node, 'add')) end
    assert.same({ action = 'plain', node = c:id(), node_name = 'c', options = {}, names = {} }, described(a, 'plain'))
  end)

  it('is that of the named provider, else of the nearest', function()
    local c = over.net:node('c', {}, server)
    local b = over.net:node('b', { peers = { c } }, server)
    local a = over.net:node('a', { peers = { b } })
    over.net:wait(function() return #a:eval(function() return mesh.nodes() end) == 3 end, 'all to be known')
    assert.equal('b', described(a, 'add').node_name)
    assert.equal('c', described(a, 'add', { node = 'c' }).node_name)
    assert.equal(c:id(), described(a, 'add', { node = c:id() }).node)
    assert.equal('c', described(c, 'add').node_name)
    assert.equal('NOT_FOUND', a:fails(function() mesh.describe('add', { node = 'a' }) end).code)
  end)

  it('of one that nobody provides is NOT_FOUND, with a guess', function()
    local b = over.net:node('b', {}, server)
    local a = over.net:node('a', { peers = { b } })
    local err = a:fails(function() mesh.describe 'ad' end)
    assert.same({ 'NOT_FOUND', 'not_sent', 'ad' }, { err.code, err.outcome, err.action })
    assert.equal("no node provides 'ad'; did you mean 'add'?", err.message)
    assert.equal("no node provides 'quite_another'",
      a:fails(function() mesh.describe 'quite_another' end).message)
  end)

  it('changes with a reload, and only then', function()
    local b = over.net:node('b', {}, server)
    local a = over.net:node('a', { peers = { b } })
    b:reloaded(function() mesh.action('add', print, { description = 'another' }) end)
    local told = described(a, 'add')
    assert.equal('another', told.description)
    assert.is_nil(told.params)
  end)
end)

cluster.describe('a node that is asked for a description', { 'mem' }, function(over)
  local S = stranger

  it('answers anything else than a name with INVALID', function()
    local b = over.net:node('b', {}, server)
    local function ask(...)
      return b:fails(function(...) mesh.with { node = 'b' }.call('_perilune.describe', ...) end, ...)
    end
    assert.equal('INVALID', ask().code)
    assert.equal('INVALID', ask(5).code)
    assert.equal('INVALID', ask('').code)
    assert.equal('INVALID', ask('add', 'add').code)
    assert.equal('INVALID', ask({}).code)
    assert.equal('INVALID', ask(('x'):rep(256)).code)
    assert.equal('NOT_FOUND', ask('nobody').code)
    assert.equal('NOT_FOUND', ask('_perilune.ps').code)
  end)

  it('answers bytes that are no arguments with an error, and serves on', function()
    local b = over.net:node('b', {}, server)
    local raw = S.greet(over.net, b)
    local whole = put('array', 1) .. put('str', 'add')
    for n = 0, #whole - 1 do
      raw:call(2 * n + 1, '_perilune.describe', nil, whole:sub(1, n))
      raw:receive(S.ERROR)
    end
    raw:call(999, '_perilune.describe', nil, whole)
    raw:receive(S.RESULT)
    assert.equal('adds two numbers', described(b, 'add').description)
  end)
end)

cluster.describe('a node that describes nonsense', { 'mem' }, function(over)
  it('is told as an error, whatever it answers', function()
    local S, message = stranger, testing.wire.message
    local a = over.net:node('a')
    local raw = S.greet(over.net, a)
    raw:send(S.ADVERT, message.encode('advert', { version = 1, snapshot = true, complete = true,
      items = message.items { { kind = 'action', name = 'y', attributes = put('map', 0) } } }))
    over.net:settle()
    for _, answer in ipairs { S.NOTHING, put('array', 1) .. put('int', 5), put('array', 1) .. put('nil'), '\xc1' } do
      local asked = a:start(function() return mesh.describe 'y' end)
      local frame = raw:receive(S.CALL)
      raw:send(S.RESULT, answer, { label = frame.label, flags = S.CALLEE | S.NORMAL })
      assert.equal('PROTOCOL', asked:failure().code)
    end
    raw.raw:abort()
  end)
end)
