local cluster = require 'spec.support.cluster'

-- luacheck: globals mesh report

local CASES = {
  -- code at line 2, what the message must say
  { "mesh.action()", 'string expected' },
  { "mesh.action('x')", 'function' },
  { "mesh.action(1, print)", 'string' },
  { "mesh.action('x', print, 5)", 'table' },
  { "mesh.action('x', print, { concurency = 1 })", 'concurency' },
  { "mesh.action('x', print, { concurrency = 'two' })", 'concurrency' },
  { "mesh.action('x', print, { concurrency = 1.5 })", 'concurrency' },
  { "mesh.action('x', print, { concurrency = -1 })", 'concurrency' },
  { "mesh.action('x', print, { queue = -1 })", 'queue' },
  { "mesh.action('x', print, { timeout = 0/0 })", 'timeout' },
  { "mesh.action('x', print, { serializer = 'xml' })", 'serializer' },
  { "mesh.action('x', print, { params = { 'integer' } })", "params%[1%]: 'integer' is no type; did you mean 'int'%?" },
  { "mesh.action('x', print, { allow = {} })", 'allow.*not available' },
  { "mesh.remove()", 'string expected' },
  { "mesh.call()", 'string' },
  { "mesh.call({})", 'string' },
  { "mesh.stream()", 'string' },
  { "mesh.with()", 'table' },
  { "mesh.with(5)", 'table' },
  { "mesh.with { tiemout = 1 }", 'tiemout' },
  { "mesh.with { timeout = 'soon' }", 'timeout' },
  { "mesh.with { timeout = -1 }", 'timeout' },
  { "mesh.with { idle = {} }", 'idle' },
  { "mesh.with { node = 5 }", 'node' },
  { "mesh.with { meta = 'x' }", 'meta' },
  { "mesh.with { retries = 1.5 }", 'retries' },
  { "mesh.with { priority = 'urgent' }", 'priority' },
  { "mesh.with { priority = 1 }", 'priority' },
  { "mesh.with { strategy = 'best' }", 'strategy' },
  { "mesh.with { prefer = 'eu' }", 'prefer' },
  { "mesh.with { providers = 1 }", 'providers' },
  { "mesh.with { input = {} }", 'input.*iterator expected' },
  { "mesh.with { wait = 'x' }", 'wait' },
  { "mesh.wait()", 'string expected' },
  { "mesh.wait('x', 'y')", 'seconds' },
  { "mesh.ping()", 'string expected' },
  { "mesh.ping('a', -1)", 'seconds' },
  { "mesh.connect()", 'string' },
  { "mesh.connect(5.5)", 'string expected' },
  { "mesh.disconnect()", 'string expected' },
  { "mesh.disconnect('a', { reson = 'x' })", 'reson' },
  { "mesh.disconnect('a', { reason = 5 })", 'reason' },
  { "mesh.stop(5)", 'table' },
  { "mesh.stop { drain = 'x' }", 'drain' },
  { "mesh.stop { when = 1 }", 'when' },
  { "mesh.node {}", 'already' },
  { "mesh.node()", 'table' },
  { "mesh.emit('x')", 'mesh.emit is not available' },
  { "mesh.on('x', print)", 'mesh.on is not available' },
  { "mesh.service('x', {})", 'not available' },
  { "mesh.array(5)", 'table' },
  { "mesh.bytes({})", 'string' },
  { "mesh.spawn()", 'function' },
  { "mesh.sleep('x')", 'number' },
  { "mesh.timeout('x', print)", 'number' },
}

describe('misuse', function()
  local net, a
  setup(function()
    net = cluster.new 'mem'
    a = net:node('a')
    a:eval 'mesh.self()'
  end)
  teardown(function() net:finish() end)

  for _, case in ipairs(CASES) do
    it('raises at its line: ' .. case[1], function()
      local err = a:fails('local y = 1\n' .. case[1] .. '\nlocal z')
      local text = type(err) == 'table' and err.text or tostring(err)
      assert.matches(case[2], text)
      if type(err) == 'string' then
        assert.matches('^%[string "local y = 1..."%]:2: ', (text:gsub('^eval:2: ', '[string "local y = 1..."]:2: ')))
      else
        assert.equal('INVALID', err.code)
        assert.matches(':2', text .. (err.traceback or ''))
      end
    end)
  end

  it('of mesh.node names the bad option', function()
    for code, what in pairs {
      ["mesh.node { nmae = 'x' }"] = 'nmae',
      ["mesh.node { request_timeout = 'x' }"] = 'request_timeout',
      ["mesh.node { request_timeout = -1 }"] = 'request_timeout',
      ["mesh.node { listen = { 5 } }"] = 'listen',
      ["mesh.node { listen = { 'bogus' } }"] = 'listen',
      ["mesh.node { psk = 'secret' }"] = 'psk',
      ["mesh.node { insecure = 'yes' }"] = 'insecure',
      ["mesh.node { id = 'short' }"] = 'id',
      ["mesh.node { log_level = 'loud' }"] = 'log_level',
    } do
      local failing = net:node('x', { listen = false }, ([[
        mesh = require 'perilune'
        local ok, err = pcall(function() %s end)
        report(ok, type(err) == 'table' and tostring(err) or err)]]):format(code))
      assert.is_false(failing:reports()[1][1], code)
      assert.matches(what, failing:reports()[1][2], code)
      net:wait(function() return (failing:over()) end)
    end
  end)
end)
