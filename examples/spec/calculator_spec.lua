-- A calculator and who uses it, in virtual time.
local test = require 'perilune.test'

describe('calculator.lua', function()
  local net

  before_each(function()
    net = test.mesh { nodes = { calculator = test.script 'calculator.lua', client = true } }
  end)

  local function failure_of(...)
    local ok, err = pcall(net.client.call, net.client, ...)
    assert.is_false(ok)
    return err
  end

  it('adds, subtracts and multiplies as many numbers as it gets', function()
    assert.equal(15, net.client:call('add', 1, 2, 3, 4, 5))
    assert.equal(5, net.client:call('add', 5))
    assert.equal(-7, net.client:call('subtract', 1, 3, 5))
    assert.equal(24.0, net.client:call('multiply', 2, 3, 4.0))
  end)

  it('keeps integers and floats apart', function()
    assert.equal('integer', math.type(net.client:call('add', 1, 2)))
    assert.equal('float', math.type(net.client:call('add', 1, 2.0)))
    assert.equal(math.maxinteger, net.client:call('subtract', math.maxinteger, 0))
  end)

  it('divides, with two results', function()
    assert.same({ 3, 1 }, { net.client:call('divide', 7, 2) })
    assert.same({ -4, 1 }, { net.client:call('divide', -7, 2) })
  end)

  it('says with a code why it does not', function()
    local by_zero = failure_of('divide', 1, 0)
    assert.same({ 'DIVISION_BY_ZERO', 'executed' }, { by_zero.code, by_zero.outcome })
    local no_number = failure_of('add', 1, 'two')
    assert.same({ 'INVALID', 'not_executed', 'args[2]' },
      { no_number.code, no_number.outcome, no_number.details.path })
    assert.equal('INVALID', failure_of('add').code)
    assert.equal('args[2]', failure_of('divide', 1).details.path)
  end)

  it('tells each total while numbers go on coming', function()
    local totals, mean = net.client:eval(function()
      local stream <close>, totals = mesh.stream 'totals', {}
      for _, number in ipairs { 1, 2, 3, 6 } do
        stream:send(number)
        totals[#totals + 1] = select(2, stream:next())
      end
      stream:finish()
      return totals, stream:result()
    end)
    assert.same({ 1, 3, 6, 12 }, totals)
    assert.equal(3.0, mean)
  end)

  it('stops at the first that is no number', function()
    local err = net.client:eval(function()
      local stream <close> = mesh.stream 'totals'
      stream:send(1)
      stream:send {}
      stream:finish()
      local _, err = pcall(stream.result, stream)
      return { code = err.code }
    end)
    assert.equal('NOT_A_NUMBER', err.code)
  end)
end)
