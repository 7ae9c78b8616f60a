local base = require('perilune.testing').base
local err, mem, metric = base.err, base.mem, base.metric

describe('an error', function()
  it('has a name and a text of its own, and is found by its name', function()
    local texts, numbers = {}, {}
    for name, number in pairs(err.list()) do
      assert.is_true(number < 0)
      assert.is_nil(numbers[number])
      numbers[number] = name
      assert.equal(name, err.name(number))
      assert.equal(number, err.find(name))
      assert.is_nil(texts[err.text(number)])
      texts[err.text(number)] = name
    end
  end)

  it('keeps its number, which is protocol', function()
    local list = err.list()
    assert.equal(-1, list.NOT_FOUND)
    assert.equal(-3, list.BUSY)
    assert.equal(-12, list.PROTOCOL)
    assert.equal(-23, list.UNSUPPORTED)
  end)

  it('of an unknown number has a name and a text all the same', function()
    assert.equal('UNKNOWN_ERROR', err.name(-9999))
    assert.equal('UNKNOWN_ERROR', err.name(1))
    assert.equal('string', type(err.text(-9999)))
    assert.equal('OK', err.name(0))
  end)

  it('that does not exist is not found', function()
    assert.equal(0, err.find 'NO_SUCH')
    assert.equal(0, err.find '')
    assert.equal(0, err.find 'busy')
  end)

  it('is the nearest to that of the system', function()
    for system, name in pairs {
      EADDRINUSE = 'ADDRESS_IN_USE',
      ENOMEM = 'NO_MEMORY',
      ECONNREFUSED = 'CONNECT_FAILED',
      EAI_NONAME = 'CONNECT_FAILED',
      ECONNRESET = 'PEER_LOST',
      EOF = 'PEER_LOST',
      ETIMEDOUT = 'TIMEOUT',
      ECANCELED = 'CANCELLED',
      EACCES = 'FORBIDDEN',
      EMFILE = 'BUSY',
      EINVAL = 'INVALID',
      EMSGSIZE = 'TOO_LARGE',
      ENOSYS = 'UNSUPPORTED',
      EIO = 'IO_ERROR',
      ENOSPC = 'IO_ERROR',
    } do
      assert.equal(name, err.from_uv(system))
    end
  end)
end)

describe('an outcome', function()
  it('has the name that Lua and the documentation use', function()
    local names = {}
    for i = 0, 3 do
      names[#names + 1] = err.outcome_name(i)
    end
    assert.same({ 'not_sent', 'not_executed', 'unknown', 'executed' }, names)
    assert.equal('unknown', err.outcome_name(99))
  end)
end)

describe('a failure', function()
  it('that was kept outlives the bytes it was made from', function()
    local live = mem.live()
    assert.same({ 'the message', 'the action' }, { err.keep_failure() })
    assert.equal(live, mem.live())
  end)

  it('is kept without what memory does not suffice for', function()
    mem.fail_at(1)
    assert.same({ '', 'the action' }, { err.keep_failure() })
  end)
end)

describe('the metrics', function()
  it('have distinct names, a help text and a place of their own', function()
    local seen = {}
    local list = metric.list()
    for i, m in ipairs(list) do
      assert.is_nil(seen[m.name])
      seen[m.name] = true
      assert.is_truthy(m.name:match '^[a-z_]+$')
      assert.is_true(#m.help > 0)
      assert.equal(i, m.value)
    end
    assert.is_true(#list > 30)
  end)
end)
