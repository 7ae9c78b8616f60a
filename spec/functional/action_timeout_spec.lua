--- The timeout of an action is how long its callers wait, unless they say otherwise.

local cluster = require 'spec.support.cluster'

-- luacheck: globals mesh report, ignore 431

cluster.describe('the timeout of an action', { 'mem' }, function(over)
  local function server()
    mesh.action('short', function(seconds) mesh.sleep(seconds) return 'done' end, { timeout = 2 })
    mesh.action('long', function(seconds) mesh.sleep(seconds) return 'done' end, { timeout = 30 })
    mesh.action('usual', function(seconds) mesh.sleep(seconds) return 'done' end)
    mesh.action('flows', function(seconds)
      mesh.sleep(seconds)
      coroutine.yield 'chunk'
    end, { timeout = 2 })
  end

  --- What a call comes to, and after how many whole seconds.
  local function took(node, name, seconds, options)
    return table.unpack(node:eval(function(...)
      local action, slept, with = ...
      local started = mesh.now()
      local ok, err = pcall((with and mesh.with(with) or mesh).call, action, slept)
      return { ok and err or err.code, math.floor(mesh.now() - started + 0.5) }
    end, name, seconds, options))
  end

  local function assert_took(expected, node, ...) assert.same(expected, { took(node, ...) }) end

  local function assert_holds(node)
    assert_took({ 'TIMEOUT', 2 }, node, 'short', 60)
    assert_took({ 'done', 25 }, node, 'long', 25)
    assert_took({ 'TIMEOUT', 30 }, node, 'long', 60)
    assert_took({ 'TIMEOUT', 10 }, node, 'usual', 60)
  end

  it('is that of calls that do not say theirs, here, at a neighbour and over a relay', function()
    local c = over.net:node('c', {}, server)
    local b = over.net:node('b', { peers = { c } })
    local a = over.net:node('a', { peers = { b } })
    a:eval(function() mesh.wait('flows', 5) end)
    for _, node in ipairs { c, b, a } do assert_holds(node) end
  end)

  it('gives way to that of a call, and ends the handler all the same', function()
    local b = over.net:node('b', {}, server)
    local a = over.net:node('a', { peers = { b } })
    assert_took({ 'TIMEOUT', 1 }, a, 'long', 60, { timeout = 1 })
    assert_took({ 'done', 15 }, a, 'usual', 15, { timeout = 20 })
    assert_took({ 'TIMEOUT', 2 }, a, 'short', 60, { timeout = 20 })
    assert_took({ 'TIMEOUT', 30 }, a, 'long', 60, { timeout = 0 })
  end)

  it('is not longer than the time that the caller has itself', function()
    local b = over.net:node('b', {}, server)
    local a = over.net:node('a', { peers = { b } })
    assert.equal(3, a:eval(function()
      local started = mesh.now()
      pcall(mesh.timeout, 3, function() mesh.call('long', 60) end)
      return math.floor(mesh.now() - started + 0.5)
    end))
  end)

  it('is the longest of its providers, and of a stream none', function()
    local b = over.net:node('b', {}, server)
    local c = over.net:node('c', {}, function()
      mesh.action('short', function() mesh.sleep(60) end, { timeout = 5 })
    end)
    local a = over.net:node('a', { peers = { b, c } })
    assert_took({ 'TIMEOUT', 5 }, a, 'short', 60, { node = 'c' })
    assert.equal('chunk', a:eval(function()
      for chunk in mesh.stream('flows', 5) do return chunk end -- luacheck: ignore 512
    end))
  end)

  it('that makes no sense is as if it was not said', function()
    local b = over.net:node('b', {}, function()
      mesh.action('zero', function() mesh.sleep(60) end, { timeout = 0 })
    end)
    local a = over.net:node('a', { peers = { b } })
    assert_took({ 'TIMEOUT', 10 }, a, 'zero', 60)
  end)
end)
