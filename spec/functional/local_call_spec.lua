local cluster = require 'spec.support.cluster'

-- luacheck: globals mesh report, ignore 211/guard 431

cluster.describe('a call to the node itself', { 'mem', 'tcp' }, function(over)
  local function node()
    return over.net:node('a', {}, function()
      mesh.action('echo', function(...) return ... end)
      mesh.action('fail', function() error { code = 'NOPE', message = 'no', details = { 1 } } end)
      mesh.action('boom', function() error 'boom' end)
      mesh.action('count', function(n)
        for i = 1, n do coroutine.yield(i) end
        return 'done'
      end)
      mesh.action('_hidden', function() return 'seen' end)
      mesh.action('change', function(t)
        t.x = 'changed'
        return t
      end)
    end)
  end

  it('returns what the action returned', function()
    local a = node()
    assert.same({ 1, 'two', n = 4, [4] = false }, table.pack(a:eval(function()
      return mesh.call('echo', 1, 'two', nil, false)
    end)))
  end)

  it('raises the same errors as a remote one', function()
    local a = node()
    local b = over.net:node('b', { peers = { a } })
    for _, action in ipairs { 'fail', 'boom', 'missing' } do
      local here = a:fails(function(name) mesh.call(name) end, action)
      local there = b:fails(function(name) mesh.call(name) end, action)
      for _, field in ipairs { 'code', 'message', 'outcome', 'action', 'node', 'details' } do
        if field ~= 'node' or action ~= 'missing' then assert.same(there[field], here[field]) end
      end
    end
  end)

  it('causes no traffic on sockets', function()
    local a = node()
    a:eval(function() return mesh.call('echo', 1) end)
    over.net:settle()
    local before = over.net:metrics().writes
    a:eval(function()
      for i = 1, 100 do mesh.call('echo', i) end
      for _ in mesh.stream('count', 100) do end
    end)
    if over.kind == 'tcp' then assert.equal(before, over.net:metrics().writes) end
  end)

  it('copies its values', function()
    local a = node()
    assert.same({ 'mine', 'changed', false }, {
      a:eval(function()
        local t = { x = 'mine' }
        local r = mesh.call('change', t)
        return t.x, r.x, r == t
      end),
    })
  end)

  it('reaches names with an underscore, which others cannot', function()
    local a = node()
    local b = over.net:node('b', { peers = { a } })
    assert.equal('seen', a:eval(function() return mesh.call '_hidden' end))
    assert.equal('NOT_FOUND', b:fails(function() mesh.call '_hidden' end).code)
    for _, entry in ipairs(b:eval(function() return mesh.actions() end)) do
      assert.not_equal('_hidden', entry.name)
    end
  end)

  it('may name the node', function()
    local a = node()
    assert.same({ 1, 2 }, { a:eval(function()
      return mesh.with { node = mesh.self().id }.call('echo', 1), mesh.with { node = 'a' }.call('echo', 2)
    end) })
    assert.equal('NOT_FOUND', a:fails(function() mesh.with { node = 'a' }.call 'missing' end).code)
  end)

  it('streams', function()
    local a = node()
    local total, result = a:eval(function()
      local sum = 0
      local s <close> = mesh.stream('count', 5000)
      for i in s do sum = sum + i end
      return sum, s:result()
    end)
    assert.equal(5000 * 5001 // 2, total)
    assert.equal('done', result)
  end)

  it('is a provider like any other', function()
    local a = node()
    local b = over.net:node('b', { peers = { a } }, function()
      mesh.action('where', function() return mesh.self().name end)
    end)
    a:eval(function()
      mesh.action('where', function() return mesh.self().name end)
    end)
    b:eval(function() mesh.wait 'echo' end)
    over.net:advance(0.05)
    local seen = b:eval(function()
      local names = {}
      for _ = 1, 10 do
        local name = mesh.call 'where'
        names[name] = (names[name] or 0) + 1
      end
      return names
    end)
    assert.same({ a = 5, b = 5 }, seen)
  end)
end)
