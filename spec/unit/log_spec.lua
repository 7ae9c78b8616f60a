local on_loop = require 'spec.support.on_loop'

describe('perilune.log', function()
  it('writes lines with sorted fields to the log of the node', function()
    local log = on_loop.log [[
      local log = require 'perilune.log'
      log.info('an order', { n = 3, price = 2.5, paid = true, by = 'a b', list = setmetatable({}, { __tostring =
        function() return 'x,y' end }) })
      log.debug 'not shown'
      log.warn 'careful'
      log.error('no', { text = 'line\nbreak' })
    ]]
    local lines = {}
    for line in log:gmatch '[^\n]+' do lines[#lines + 1] = line:match '^%S+ +(.*)$' end
    assert.equal(3, #lines)
    assert.truthy(lines[1]:find 'info +an order by="a b" list=x,y n=3 paid=true price=2.5', lines[1])
    assert.truthy(lines[2]:find 'warn +careful')
    assert.truthy(lines[3]:find 'error +no text=' and not lines[3]:find 'line\nbreak')
  end)

  it('gives children the fields of their parents', function()
    local log = on_loop.log [[
      local log = require 'perilune.log'
      local child = log.with { request = 7, user = 'x' }
      child.with({ user = 'y' }).info('done', { ms = 1 })
      child.info 'again'
      log.info 'plain'
    ]]
    assert.truthy(log:find 'done ms=1 request=7 user=y\n')
    assert.truthy(log:find 'again request=7 user=x\n')
    assert.truthy(log:find 'plain\n')
  end)

  it('sends lines of every level to a sink, and survives one that raises', function()
    local log, results = on_loop.log [[
      local log = require 'perilune.log'
      local seen = {}
      log.set_sink(function(level, text, fields) seen[#seen + 1] = { level, text, fields.a } end)
      log.debug('one', { a = 1 })
      log.with({ a = 2 }).error 'two'
      log.set_sink(function() error 'boom' end)
      log.info 'three'
      log.set_sink(nil)
      log.info 'four'
      return seen
    ]]
    assert.same({ { 'debug', 'one', 1 }, { 'error', 'two', 2 } }, results[1])
    assert.falsy(log:find 'one' or log:find 'two')
    assert.truthy(log:find 'log sink error=.*boom')
    assert.truthy(log:find 'three' and log:find 'four')
  end)

  it('reports misuse at the line of the caller', function()
    assert.truthy(on_loop.fails("require('perilune.log').info()"):find "^script:1: bad argument #1 to 'log.info'")
    assert.truthy(on_loop.fails("require('perilune.log').info('a', 'b')"):find '^script:1: bad argument #2')
  end)

  it('leaves out what is more than a line may hold', function()
    local log = on_loop.log [[
      local fields = { [1] = 'no name' }
      for i = 1, 100 do fields['f' .. i] = i end
      require('perilune.log').info('many', fields)
    ]]
    assert.equal(32, select(2, log:gsub('f%d+=', '')))
  end)
end)
