--- mesh.proxy: the actions whose names begin alike, as functions.

local cluster = require 'spec.support.cluster'

-- luacheck: globals mesh report, ignore 431

local function server()
  mesh.action('calc.add', function(a, b) return a + b end, { params = { 'number', 'number' } })
  mesh.action('calc.fail', function() error { code = 'NOPE', message = 'no' } end)
  mesh.action('calc.slow', function() mesh.sleep(60) end)
  mesh.action('calc.count', function(n)
    for i = 1, n do coroutine.yield(i, mesh.context().meta.who) end
    return 'done'
  end)
  mesh.action('calc.deep.add', function() return 'deep' end)
  mesh.action('calc', function() return 'itself' end)
end

cluster.describe('a proxy', { 'mem', 'tcp' }, function(over)
  local a, b

  before_each(function()
    b = over.net:node('b', {}, server)
    a = over.net:node('a', { peers = { b } })
  end)

  it('calls and streams the actions of its name', function()
    assert.same({ 3, 5, 'deep' }, { a:eval(function()
      local calc = mesh.proxy 'calc'
      return calc.add(1, 2), calc.add(2, 3), mesh.proxy 'calc.deep'.add()
    end) })
    assert.same({ '12', 'done' }, { a:eval(function()
      local calc, seen = mesh.proxy 'calc', ''
      for n in calc.count:stream(2) do seen = seen .. n end
      local s <close> = calc.count:stream(1)
      return seen, s:result()
    end) })
    assert.equal(3, b:eval(function() return mesh.proxy 'calc'.add(1, 2) end))
  end)

  it('raises what the action raises, and what does not fit its schema', function()
    assert.equal('NOPE', a:fails(function() mesh.proxy 'calc'.fail() end).code)
    local err = a:fails(function() mesh.proxy 'calc'.add(1, 'x') end)
    assert.equal('args[2]: number expected, got string', err.message)
  end)

  it('has the options of mesh.with', function()
    assert.equal('TIMEOUT', a:fails(function() mesh.proxy('calc', { timeout = 0.05 }).slow() end).code)
    assert.equal('me', a:eval(function()
      local s <close> = mesh.proxy('calc', { meta = { who = 'me' } }).count:stream(1)
      return (select(3, s:next()))
    end))
    assert.equal('NO_ROUTE', a:fails(function() mesh.proxy('calc', { node = 'nobody' }).add(1, 2) end).code)
  end)

  it('tells what its members are', function()
    assert.same({ 'calc.add', 'number', b:id(), "action 'calc.add'", "proxy of 'calc'" }, { a:eval(function()
      local calc = mesh.proxy 'calc'
      local told = calc.add:describe()
      return told.action, told.params[1].type, calc.add:explain(1, 2).choice, tostring(calc.add), tostring(calc)
    end) })
  end)

  it('says at the line of the call that nobody provides a member, and what may have been meant', function()
    local err = a:fails(function()
      local calc = mesh.proxy 'calc'
      local _ = calc.ad(1, 2)
    end)
    assert.same({ 'NOT_FOUND', 'not_sent', 'calc.ad' }, { err.code, err.outcome, err.action })
    assert.matches("^[^\n]+:%d+: no node provides 'calc.ad'; did you mean 'calc.add'%?$", err.message)
    err = a:fails(function() local _ = mesh.proxy 'calc'.quite_another:stream() end)
    assert.matches("no node provides 'calc.quite_another'; there are 5 others in calc%.%*$", err.message)
    err = a:fails(function() local _ = mesh.proxy 'other'.add() end)
    assert.matches("nor anything else in other%.%*: mesh.wait 'other.add' waits for it$", err.message)
  end)

  it('finds a member that comes later, and says of one that went that it is not found', function()
    assert.equal('NOT_FOUND', a:fails(function()
      calc = mesh.proxy 'calc' -- luacheck: ignore 111
      local _ = calc.late() -- luacheck: ignore 113
    end).code)
    b:eval(function() mesh.action('calc.late', function() return 'here' end) end)
    assert.equal('here', a:eval(function()
      mesh.wait('calc.late', 5)
      return calc.late() -- luacheck: ignore 113
    end))
    b:eval(function() mesh.remove 'calc.late' end)
    assert.equal('NOT_FOUND', a:fails(function() calc.late() end).code) -- luacheck: ignore 113
  end)

  it('with wait waits for a provider', function()
    local waiting = a:start(function() return mesh.proxy('later', { wait = 5 }).add() end)
    over.net:settle()
    assert.is_false(waiting:ended())
    b:eval(function() mesh.action('later.add', function() return 'came' end) end)
    assert.equal('came', waiting:wait())
    assert.equal('TIMEOUT', a:fails(function() mesh.proxy('never', { wait = 0.05 }).add() end).code)
  end)
end)

cluster.describe('misuse of a proxy', { 'mem' }, function(over)
  it('is told at its line', function()
    local a = over.net:node('a')
    for code, message in pairs {
      ['mesh.proxy()'] = 'string expected',
      ["mesh.proxy ''"] = 'up to their last dot',
      ["mesh.proxy 'calc.'"] = 'up to their last dot',
      ["mesh.proxy 'calc@^1.0'"] = 'versions.*not available',
      ["mesh.proxy('calc', 5)"] = 'table expected',
      ["mesh.proxy('calc', { tiemout = 1 })"] = "unknown option 'tiemout' of mesh.proxy; did you mean 'timeout'",
      ["mesh.proxy('calc', { strategy = 'best' })"] = 'strategy',
      ["mesh.proxy('calc').add = print"] = "'calc.add' is an action of others",
      ["local x = mesh.proxy('calc')[5]"] = "'calc' has none for a number",
      ["local x = mesh.proxy('calc').add.stream(1) x()"] = 'called with a colon',
    } do
      local err = a:fails('local mesh = mesh\n' .. code .. '\nreturn 1')
      assert.matches(':2: ', err)
      assert.matches(message, err)
    end
  end)
end)
