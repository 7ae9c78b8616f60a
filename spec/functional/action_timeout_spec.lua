--- The timeout of an action is how long its callers wait, unless they say otherwise.

local cluster = require 'spec.support.cluster'
local stranger = require 'spec.support.stranger'
local testing = require 'perilune.testing'

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

  it('gives way to that of a call, longer or shorter, here, at a neighbour and over a relay', function()
    local c = over.net:node('c', {}, server)
    local b = over.net:node('b', { peers = { c } })
    local a = over.net:node('a', { peers = { b } })
    a:eval(function() mesh.wait('flows', 5) end)
    for _, node in ipairs { c, b, a } do
      assert_took({ 'TIMEOUT', 1 }, node, 'long', 60, { timeout = 1 })
      assert_took({ 'done', 15 }, node, 'usual', 15, { timeout = 20 })
      assert_took({ 'done', 15 }, node, 'short', 15, { timeout = 20 })
      assert_took({ 'TIMEOUT', 20 }, node, 'short', 60, { timeout = 20 })
    end
  end)

  it('ends the handler of a call that may take for ever', function()
    local b = over.net:node('b', {}, server)
    local a = over.net:node('a', { peers = { b } })
    assert_took({ 'TIMEOUT', 30 }, a, 'long', 60, { timeout = 0 })
    assert_took({ 'TIMEOUT', 30 }, b, 'long', 60, { timeout = 0 })
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

  it('of a neighbour that tells nonsense is as if it was not said', function()
    local message, put = testing.wire.message, testing.wire.msgpack.put
    local told = {
      put('str', '1'), put('nil'), put('int', -1), put('int', 0), put('int', math.maxinteger), put('float', 0 / 0),
      put('float', math.huge), put('float', -1.5), put('float', 1e-9), put('bool', true), put('array', 0),
    }
    local a = over.net:node('a')
    local raw = stranger.greet(over.net, a)
    local items = {}
    for i, value in ipairs(told) do
      items[i] = { kind = 'action', name = 'odd' .. i, attributes = put('map', 2) .. put('str', 'tags') .. put('int', 5)
        .. put('str', 'timeout') .. value }
    end
    items[#items + 1] = { kind = 'action', name = 'even', attributes = put('map', 1) .. put('str', 'timeout')
      .. put('float', 1.5) }
    raw:send(stranger.ADVERT, message.encode('advert', { version = 1, snapshot = true, complete = true,
      items = message.items(items) }))
    over.net:settle()
    local function waits(name)
      local call = a:start(function(...) return pcall(mesh.call, ...) end, name)
      local frame = assert(raw:receive(stranger.CALL), name)
      call:cancel()
      return (assert(message.decode('call', frame.body)).timeout_ms + 50) // 100 / 10
    end
    for i in ipairs(told) do assert.equal(10.0, waits('odd' .. i), 'number ' .. i) end
    assert.equal(1.5, waits 'even')
    assert.equal(0, a:eval(function() return #mesh.actions { tag = 'x' } end))
    raw.raw:abort()
  end)
end)
