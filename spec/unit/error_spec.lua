local script = require 'spec.support.script'
local eval = script.eval

describe('an error object', function()
  after_each(script.close_all)

  it('reads well', function()
    assert.equal('CANCELLED: enough', eval [[
      local t = mesh.spawn(mesh.sleep, 9)
      t:cancel 'enough'
      return select(2, pcall(t.await, t))]])
  end)

  it('of a file operation names the file and the reason', function()
    assert.equal('IO_ERROR open /x: no such file or directory ENOENT', eval [[
      local _, e = pcall(spec.raise_io, -2)
      return e.code, e.message, e.details.errno]])
  end)

  it('is told from other tables', function()
    assert.equal('true false false', eval [[
      local core = require 'perilune.core.error'
      return core.is(core.new { code = 'X' }), core.is {}, core.is 'X']])
  end)
end)

describe('what a handler raises', function()
  after_each(script.close_all)

  local function failure(value, fields)
    return eval(("local e = spec.failure(%s, 'sum', 'trace') return %s"):format(value, fields))
  end

  it('reaches the caller as HANDLER_ERROR when it is a string', function()
    assert.equal('HANDLER_ERROR boom executed sum trace', failure("'boom'",
      'e.code, e.message, e.outcome, e.action, e.traceback'))
  end)

  it('reaches the caller with its own code and details', function()
    assert.equal('OUT_OF_STOCK none left 7 executed nil', failure(
      "{ code = 'OUT_OF_STOCK', message = 'none left', details = { item = 7 } }",
      'e.code, e.message, e.details.item, e.outcome, e.cause'))
  end)

  it('keeps the code of an inner error, which becomes the cause', function()
    assert.equal('TIMEOUT executed TIMEOUT late not_executed TIMEOUT: late', failure(
      "require 'perilune.core.error'.new { code = 'TIMEOUT', message = 'late', outcome = 'not_executed' }",
      'e.code, e.outcome, e.cause.code, e.cause.message, e.cause.outcome, tostring(e.cause)'))
  end)

  it('may be anything', function()
    assert.equal('HANDLER_ERROR error object is nil', failure('nil', 'e.code, e.message'))
    assert.equal('HANDLER_ERROR true', failure('true', 'e.code, e.message'))
    assert.equal('HANDLER_ERROR text', failure(
      "setmetatable({}, { __tostring = function() return 'text' end })", 'e.code, e.message'))
    assert.equal('HANDLER_ERROR (an error value that has no text)', failure(
      "setmetatable({}, { __tostring = function() error 'x' end })", 'e.code, e.message'))
    assert.equal('X X', failure("{ code = 'X' }", 'e.code, e.message'))
    assert.equal('HANDLER_ERROR 7', failure('{ code = {}, message = 7 }', 'e.code, e.message'))
  end)

  it('is MEMORY_LIMIT when memory was lacking', function()
    assert.equal('MEMORY_LIMIT', failure("'not enough memory'", 'e.code'))
  end)

  it('says when to try again', function()
    assert.equal('BUSY 1.5', failure("{ code = 'BUSY', retry_after = 1.5 }", 'e.code, e.retry_after'))
  end)

  it('leaves out details and causes that cannot travel', function()
    assert.equal('X nil nil', failure("{ code = 'X', details = { print }, cause = print }",
      'e.code, e.details, e.cause'))
  end)
end)
