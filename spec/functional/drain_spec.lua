local nodes = require 'spec.support.nodes'
local process = require 'spec.support.process'

local ACTIONS = [[
seen = {}
mesh.action('slow', function(seconds)
  seen[#seen + 1] = 'began'
  local note <close> = setmetatable({}, { __close = function() io.stderr:write 'closed\n' end })
  mesh.sleep(seconds)
  return 'done'
end)
mesh.action('narrow', function(seconds) mesh.sleep(seconds) return 'done' end, { concurrency = 1, queue = 10 })
mesh.action('count', function(max, pause)
  for i = 1, max do
    coroutine.yield(i)
    mesh.sleep(pause)
  end
  return 'done'
end)
mesh.action('stubborn', function()
  seen[#seen + 1] = 'began'
  while true do pcall(mesh.sleep, 100) end
end)
]]

local function pair(kind, ...)
  local b = nodes.start('b', { listen = kind, flags = { ... } }, ACTIONS)
  return nodes.start('a', { peers = { b } }), b
end

local function began(node, count) node:wait_for('return #seen >= ' .. count) end

describe('a node that is told to stop', function()
  for _, kind in ipairs { 'tcp', 'unix' } do
    it('lets handlers and streams finish, and refuses the rest, over ' .. kind, function()
      local a, b = pair(kind)
      local slow = a:begin "return mesh.call('slow', 1)"
      local stream = a:begin [[
        local s, n = (mesh.stream('count', 10, 0.1)), 0
        for i in s do n = i streaming = true end
        return n, s:result()
      ]]
      local first = a:begin "return mesh.call('narrow', 1)"
      a:wait_for 'return streaming'
      local second = a:begin "return mesh.call('narrow', 1)"
      began(b, 1)
      b:wait_for 'return mesh.metrics().requests_queued_now == 1'
      b.process:kill 'TERM'

      local refused = second:failure()
      assert.equal('DRAINING', refused.code)
      assert.equal('not_executed', refused.outcome)
      assert.is_false(slow:ended())
      local late = a:fails("mesh.with { node = ... }.call('slow', 0)", b.id)
      assert.equal('DRAINING', late.code)
      assert.matches('^not_', late.outcome)
      assert.equal('done', slow:wait())
      assert.equal('done', first:wait())
      assert.same({ 10, 'done' }, { stream:wait() })
      assert.equal(0, b.process:wait())
      a:wait_for "return select(2, pcall(mesh.call, 'slow', 0)).code == 'NOT_FOUND'"
    end)
  end

  it('is known to be draining by its neighbours', function()
    local a, b = pair 'tcp'
    local slow = a:begin "return mesh.call('slow', 1)"
    began(b, 1)
    b.process:kill 'TERM'
    a:wait_for [[
      for _, node in ipairs(mesh.nodes()) do
        if node.name == 'b' then return node.draining end
      end
    ]]
    slow:wait()
    assert.equal(0, b.process:wait())
  end)

  it('ends at once when nothing runs', function()
    local _, b = pair 'tcp'
    local told = process.now()
    b.process:kill 'TERM'
    assert.equal(0, b.process:wait())
    assert.is_true(process.now() - told < 1)
  end)

  it('cancels what still runs when the drain is over, and what it closes may run', function()
    local a, b = pair('tcp', '--drain=0.5')
    local slow = a:begin "return mesh.call('slow', 100)"
    began(b, 1)
    local told = process.now()
    b.process:kill 'TERM'
    local err, at = slow:failure()
    assert.equal('CANCELLED', err.code)
    assert.equal('unknown', err.outcome)
    assert.is_true(at - told > 0.4 and at - told < 1.5, at - told)
    assert.equal(0, b.process:wait())
    assert.matches('closed\n', b.process:stderr())
  end)

  it('does not wait for a second signal', function()
    local a, b = pair('tcp', '--drain=60')
    local slow = a:begin "return mesh.call('slow', 100)"
    began(b, 1)
    b.process:kill 'TERM'
    b.process:wait_line 'stopping'
    local told = process.now()
    b.process:kill 'TERM'
    assert.equal('CANCELLED', slow:failure().code)
    assert.equal(0, b.process:wait())
    assert.is_true(process.now() - told < 1.5)
    assert.matches('closed\n', b.process:stderr())
  end)

  it('ends a handler that swallows its cancellation', function()
    local a, b = pair('tcp', '--drain=0.2', '--cleanup-grace=0.5')
    local call = a:begin "return mesh.call 'stubborn'"
    began(b, 1)
    local told = process.now()
    b.process:kill 'TERM'
    call:failure()
    assert.equal(0, b.process:wait())
    assert.is_true(process.now() - told < 3)
  end)

  it('gives up on a caller that does not read', function()
    local a, b = pair('tcp', '--drain=0.3')
    a:begin "for _ in mesh.stream('count', 1e9, 0) do streaming = true end"
    a:wait_for 'return streaming'
    a.process:kill 'STOP'
    b.process:kill 'TERM'
    assert.equal(0, b.process:wait(10))
  end)

  it('stops on SIGINT as well', function()
    local _, b = pair 'unix'
    b.process:kill 'INT'
    assert.equal(0, b.process:wait())
  end)
end)

describe('a command that is told to stop', function()
  it('leaves its call, whose handler is cancelled', function()
    local b = nodes.start('b', { listen = 'tcp' }, ACTIONS)
    local p = process.start { process.perilune, 'call', 'slow', '100', '--peer', b.url }
    began(b, 1)
    p:kill 'INT'
    assert.equal(130, p:wait())
    b.process:wait_line '^closed'
    b:wait_for 'return mesh.metrics().requests_now == 0'
  end)
end)
