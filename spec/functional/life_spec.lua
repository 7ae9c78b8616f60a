local cluster = require 'spec.support.cluster'

-- luacheck: globals mesh report

cluster.describe('a script', { 'mem', 'tcp' }, function(over)
  local function server()
    return over.net:node('b', {}, function()
      mesh.action('echo', function(...) return ... end)
      mesh.action('exit', function(code)
        report 'exiting'
        os.exit(code)
      end)
      mesh.action('slow', function()
        report 'slow began'
        mesh.sleep(0.2)
        return 'slow done'
      end)
    end)
  end

  it('that registered nothing ends the process when it returns', function()
    local b = server()
    local client = over.net:node('client', { listen = false, peers = { b } }, function()
      report(mesh.call('echo', 'hello'))
    end)
    over.net:wait(function() return (client:over()) end)
    assert.same({ 'hello' }, client:reported())
    assert.equal(0, (select(2, client:over())))
    over.net:wait(function() return over.net:metrics().links_now == 0 end)
    assert.is_false((b:over()))
  end)

  it('that spawned tasks lives until they are done', function()
    local client = over.net:node('client', { listen = false }, function()
      mesh.spawn(function()
        report 'spawned'
        mesh.sleep(0.1)
        report 'task done'
      end)
      report 'main done'
    end)
    over.net:wait(function() return (client:over()) end)
    assert.same({ 'main done', 'spawned', 'task done' }, client:reported())
    assert.equal(0, (select(2, client:over())))
  end)

  it('that never uses the mesh needs none', function()
    local client = over.net:node('client', { listen = false }, 'report(1 + 1)')
    over.net:wait(function() return (client:over()) end)
    assert.same({ 2 }, client:reported())
    assert.equal(0, over.net:metrics().links_opened)
  end)

  it('may wait, call and stream at the top', function()
    local b = server()
    local a = over.net:node('a', { peers = { b } }, function()
      report(mesh.call('echo', 1))
      mesh.sleep(0.01)
      report(mesh.call('echo', 2))
      mesh.action('mine', function() return 3 end)
      report(mesh.call 'mine')
    end)
    assert.same({ 1, 2, 3 }, a:reported())
    assert.is_true(a:ready())
  end)

  it('starts its calls when the peers are known, also when some cannot be reached', function()
    local b = server()
    local nobody = over.kind == 'mem' and 'mem://nobody' or 'tcp://127.0.0.1:1'
    local a = over.net:node('a', { listen = false, peers = { nobody, b } }, function()
      report(mesh.call('echo', 'x'))
    end)
    over.net:wait(function() return (a:over()) end)
    assert.same({ 'x' }, a:reported())
  end)

  it('whose node does not start fails', function()
    local b = server()
    local a = over.net:node('a', { listen = { b:url() } }, function()
      report(pcall(mesh.self))
    end)
    over.net:wait(function() return (a:over()) end)
    local ok, err = table.unpack(a:reports()[1], 1, 2)
    assert.is_false(ok)
    assert.equal('ADDRESS_IN_USE', err.code)
    assert.equal(1, (select(2, a:over())))
  end)

  it('ends with os.exit, also in a handler, after what runs', function()
    local b = server()
    local a = over.net:node('a', { peers = { b } })
    local slow = a:start(function() return mesh.call 'slow' end)
    b:wait_reports(1)
    local exit = a:start(function() return mesh.call('exit', 3) end)
    assert.equal('slow done', (slow:wait()))
    over.net:wait(function() return (b:over()) end)
    assert.equal(3, (select(2, b:over())))
    exit:failure()

    local client = over.net:node('client', { listen = false }, function()
      os.exit(7)
      report 'not reached'
    end)
    over.net:wait(function() return (client:over()) end)
    assert.equal(7, (select(2, client:over())))
    assert.same({}, client:reports())
  end)

  it('gets its arguments and its own name', function()
    local a = over.net:node('a', {}, 'report(arg[0], #arg)')
    assert.same({ 'a', 0, n = 2 }, a:reports()[1])
  end)

  it('sets options before anything else', function()
    local a = over.net:node('given', { listen = false, name = 'from outside' }, function()
      mesh.node { name = 'from script', request_timeout = 0.25 }
      mesh.action('left', function() return mesh.context().deadline - mesh.now() end)
      report(mesh.self().name, mesh.call 'left')
    end)
    local name, left = table.unpack(a:reports()[1], 1, 2)
    assert.equal('from outside', name) -- what is given outside has precedence
    assert.is_true(left > 0.2 and left <= 0.25, left)
  end)
end)
