--- What actions say of their arguments, results and chunks holds on every path: docs/actions.md, "Schemas".

local cluster = require 'spec.support.cluster'

-- luacheck: globals mesh report, ignore 431

local function server()
  mesh.state.begun = 0
  local function begun() mesh.state:incr 'begun' end

  mesh.action('add', function(t)
    begun()
    return t.a + t.b
  end, { params = { { a = 'int', b = 'int' } }, returns = { 'int' }, description = 'adds two numbers' })
  mesh.action('lies', function() return { 'x' } end, { returns = { { list = 'int' } } })
  mesh.action('letters', function(...)
    begun()
    for _, letter in ipairs { ... } do coroutine.yield(letter) end
    return 'done'
  end, { params = { 'any...' }, chunks = { { enum = { 'a', 'b' } } }, returns = { { enum = { 'done' } } } })
  mesh.action('upload', function(name)
    begun()
    local n = 0
    for _ in mesh.input() do n = n + 1 end
    return name, n
  end, { params = { 'string' }, returns = { 'string', 'int' } })
  mesh.action('json', function(t) return t.n end, { params = { { n = 'number' } }, serializer = 'json' })
  mesh.action('begun', function() return mesh.state.begun end)
end

-- Everything that goes wrong, as a caller sees it.
local function attempts()
  local function told(ok, err)
    if ok then return 'no error' end
    return { err.code, err.outcome, err.message, err.details, err.cause == nil, err.action }
  end
  local function drain(...)
    for _ in mesh.stream(...) do end -- luacheck: ignore 542
  end
  local up = mesh.with { input = ipairs { 1, 2 } and coroutine.wrap(function() coroutine.yield(1) end) }
  return {
    call = told(pcall(mesh.call, 'add', { a = 1, b = 'x' })),
    stream = told(pcall(drain, 'add', { a = 1 })),
    result = told(pcall(mesh.call, 'lies')),
    streamed = told(pcall(function() return (mesh.stream 'lies'):result() end)),
    upload = told(pcall(up.call, 'upload', 5)),
    json = told(pcall(mesh.call, 'json', { n = true })),
    extra = told(pcall(mesh.call, 'add', { a = 1, b = 2 }, 3)),
    begun = mesh.call 'begun',
  }
end

local function violation(outcome, action, message, details)
  return { 'INVALID', outcome, message, details, true, action }
end

local EXPECTED = {
  call = violation('not_executed', 'add', 'args[1].b: int expected, got string',
    { path = 'args[1].b', rule = 'type', expected = 'int', got = 'string' }),
  stream = violation('not_executed', 'add', 'args[1].b: int expected, got nothing',
    { path = 'args[1].b', rule = 'missing', expected = 'int', got = 'nothing' }),
  result = violation('executed', 'lies', 'result[1][1]: int expected, got string',
    { path = 'result[1][1]', rule = 'type', expected = 'int', got = 'string' }),
  upload = violation('not_executed', 'upload', 'args[1]: string expected, got 5',
    { path = 'args[1]', rule = 'type', expected = 'string', got = '5' }),
  json = violation('not_executed', 'json', 'args[1].n: number expected, got true',
    { path = 'args[1].n', rule = 'type', expected = 'number', got = 'true' }),
  extra = violation('not_executed', 'add', 'args: at most 1 expected, got 2',
    { path = 'args', rule = 'count', expected = 'at most 1', got = '2' }),
  begun = 0,
}
EXPECTED.streamed = EXPECTED.result

local function chunk_of(...)
  local seen = {}
  local ok, err = pcall(function(...)
    for letter in mesh.stream('letters', ...) do seen[#seen + 1] = letter end
  end, ...)
  return table.concat(seen), not ok and { err.code, err.outcome, err.message } or nil
end

local function assert_chunks(node)
  assert.equal('ab', (node:eval(chunk_of, 'a', 'b')))
  local seen, err = node:eval(chunk_of, 'a', 'c', 'b')
  assert.equal('a', seen)
  assert.same({ 'INVALID', 'executed', "chunk[1]: one of 'a', 'b' expected, got 'c'" }, err)
end

cluster.describe('the schema of an action holds', { 'mem', 'tcp', 'unix' }, function(over)
  local function assert_same_at(node)
    assert.same(EXPECTED, node:eval(attempts))
    assert.equal(3, node:eval(function() return mesh.call('add', { a = 1, b = 2 }) end))
    assert_chunks(node)
  end

  it('in the script itself', function() assert_same_at(over.net:node('b', {}, server)) end)

  it('for a neighbour', function()
    local b = over.net:node('b', {}, server)
    assert_same_at(over.net:node('a', { peers = { b } }))
  end)

  it('over two relays', function()
    local d = over.net:node('d', {}, server)
    local c = over.net:node('c', { peers = { d } })
    local b = over.net:node('b', { peers = { c } })
    local a = over.net:node('a', { peers = { b } })
    a:eval(function() mesh.wait('begun', 5) end)
    assert_same_at(a)
  end)

  it('after a reload', function()
    local b = over.net:node('b', {}, server)
    b:reloaded(server)
    assert_same_at(over.net:node('a', { peers = { b } }))
  end)
end)

cluster.describe('arguments that an action does not take', { 'mem' }, function(over)
  it('are no failure of its handler', function()
    local b = over.net:node('b', {}, server)
    local a = over.net:node('a', { peers = { b } })
    a:fails(function() mesh.call('add', 1) end)
    assert.is_nil(over.net:log():find('handler failed', 1, true))
    a:fails(function() mesh.call 'lies' end)
    assert.is_truthy(over.net:log():find('handler failed', 1, true))
  end)

  it('are not tried elsewhere', function()
    local b = over.net:node('b', {}, server)
    local c = over.net:node('c', {}, server)
    local a = over.net:node('a', { peers = { b, c } })
    a:fails(function() mesh.with { retries = 5 }.call('add', 1) end)
    local refused = b:eval(function() return mesh.metrics().requests_received end)
    assert.equal(1, refused) -- of the two, the one that was asked; all nodes here count together
  end)

  it('free the slot that they took', function()
    local b = over.net:node('b', {}, function()
      mesh.action('one', function(n) return n end, { concurrency = 1, params = { 'int' } })
    end)
    local a = over.net:node('a', { peers = { b } })
    assert.equal(7, a:eval(function()
      for _ = 1, 100 do pcall(mesh.call, 'one', 'x') end
      return mesh.call('one', 7)
    end))
  end)

  it('are those of the new handler once it was replaced', function()
    local b = over.net:node('b', {}, server)
    local a = over.net:node('a', { peers = { b } })
    b:eval(function() mesh.action('add', function(x, y) return x .. y end, { params = { 'string', 'string' } }) end)
    assert.equal('12', a:eval(function() return mesh.call('add', '1', '2') end))
    b:eval(function() mesh.action('add', function() return 'anything' end) end)
    assert.equal('anything', a:eval(function() return mesh.call('add', nil, {}) end))
  end)
end)
