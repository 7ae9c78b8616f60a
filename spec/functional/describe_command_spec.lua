--- perilune describe: what an action is, at the command line.

local json = require 'dkjson'
local process = require 'spec.support.process'

describe('perilune describe', function()
  local dir

  local SHOP = [[
    local mesh = require 'perilune'
    mesh.action('order', function(item, note) return item.count, note end, {
      description = 'takes an order\27[2J', timeout = 2, idempotent = true, tags = { 'shop', 'demo' },
      params = { { id = { type = 'string', max = 8 }, count = { type = 'int', min = 3 },
        lines = { list = { sku = 'string' } }, kind = { enum = { 'fast', 'slow' } }, memo = '?bytes' }, '?string' },
      returns = { 'int', '?string' },
    })
    mesh.action('count to', function(n)
      for i = 1, n do coroutine.yield(i) end
    end, { chunks = { 'int' }, params = { 'int' } })
    mesh.action('plain', function(first) return first end)
    mesh.action('nothing', function() end, { params = {}, returns = {} })
  ]]

  local function perilune(...) return process.run({ process.perilune, ... }, { cwd = dir }) end

  before_each(function()
    dir = process.temp_dir { ['shop.lua'] = SHOP }
    process.start({ process.perilune, 'run', 'shop.lua', '--name', 'shop' }, { cwd = dir }):wait_line '^ready '
  end)

  it('prints what an action takes and returns, and a call that fits', function()
    local r = perilune('describe', 'order')
    assert.equal(0, r.code, r.stderr)
    assert.equal([=[
order: takes an order\x1b[2J
provided by    shop
described by   shop
registered at  shop.lua:2
tags           demo, shop
options        timeout 2, idempotent

arguments
  1 item     table
    count    int of at least 3
    id       string of at most 8 bytes
    kind     one of "fast", "slow"
    lines    list
      each   table
        sku  string
    memo     bytes, optional
  2 note     string, optional

results
  1  int
  2  string, optional

to call it
  perilune call order '{"count":3,"id":"text","kind":"fast","lines":[{"sku":"text"},{"sku":"text"}]}'
]=], r.stdout)
  end)

  it('prints a call that works', function()
    for name, expected in pairs { order = '3\nnull\n', ['count to'] = '1\n', nothing = '' } do
      local command = perilune('describe', name).stdout:match 'to call it\n  perilune ([^\n]+)\n'
      local r = process.run({ 'sh', '-c', process.perilune .. ' ' .. command }, { cwd = dir })
      assert.same({ 0, expected }, { r.code, r.stdout }, r.stderr)
    end
    assert.matches('it does not say which arguments it takes\n\nto call it\n  perilune call plain JSON…\n$',
      perilune('describe', 'plain').stdout)
    assert.matches('\narguments\n  none\n', perilune('describe', 'nothing').stdout)
  end)

  it('prints all of it as JSON', function()
    local told = json.decode(perilune('describe', 'order', '--json', '--node', 'shop').stdout)
    assert.same({ 'order', 'shop', 'shop.lua:2', 3, 2 },
      { told.action, told.node_name, told.where, told.params[1].fields.count.min, told.options.timeout })
  end)

  it('of an action that nobody provides fails with a guess', function()
    local r = perilune('describe', 'oder')
    assert.same({ 1, '' }, { r.code, r.stdout })
    assert.matches("^NOT_FOUND: no node provides 'oder'; did you mean 'order'%?\n", r.stderr)
    r = perilune('describe', 'order', '--node', 'other')
    assert.equal(1, r.code)
    assert.matches("^NOT_FOUND: ", r.stderr)
  end)

  it('refuses wrong arguments, and says that nobody is there', function()
    for _, case in ipairs {
      { 2, 'ACTION is missing', 'describe' },
      { 2, "unexpected argument 'two'", 'describe', 'one', 'two' },
      { 2, "no option '%-%-jsno'; did you mean '%-%-json'", 'describe', 'one', '--jsno' },
      { 2, '%-%-node needs a value', 'describe', 'one', '--node' },
      { 3, '^CONNECT_FAILED', 'describe', 'one', '--peer', 'tcp://127.0.0.1:1' },
      { 1, '^NOT_FOUND', 'describe', '' },
      { 1, '^NOT_FOUND', 'describe', ('x'):rep(5000) },
      { 1, '^NOT_FOUND', 'describe', '\27[2J\255' },
    } do
      local r = perilune(table.unpack(case, 3))
      assert.equal(case[1], r.code, r.stderr)
      assert.matches(case[2], r.stderr)
      assert.is_nil(r.stderr:find '\27')
    end
  end)

  it('has help with an example, and ends quietly when nobody reads', function()
    assert.matches('perilune describe sum\n', perilune('help', 'describe').stdout)
    local r = process.run({ 'sh', '-c', process.perilune .. ' describe order | true' }, { cwd = dir })
    assert.same({ 0, '' }, { r.code, r.stderr })
  end)

  it('finds actions by their tags', function()
    local list = json.decode(perilune('actions', '--tag', 'demo', '--json').stdout)
    assert.same({ 'order', { 'demo', 'shop' } }, { list[1].name, list[1].tags })
    assert.equal(1, #list)
    assert.equal('[]\n', perilune('actions', '--tag', 'other', '--json').stdout)
  end)

  it('is not needed to see which argument is wrong', function()
    local r = perilune('call', 'order', '{"id":"long enough to fail","count":5,"lines":[],"kind":"fast"}')
    assert.equal(1, r.code)
    assert.matches('^INVALID: args%[1%]%.id: string of at most 8 bytes expected, got 19 bytes\n', r.stderr)
  end)
end)

describe('a schema on worker threads', function()
  it('holds, and is described by the worker', function()
    local dir = process.temp_dir { ['app.lua'] = [[
      require 'perilune'.action('half', function(n) return n / 2 end, { params = { 'int' }, returns = { 'number' } })
    ]] }
    process.start({ process.perilune, 'run', 'app.lua', '--name', 'node', '--workers=1', '--replicas=2' },
      { cwd = dir }):wait_line '^ready '
    local function perilune(...) return process.run({ process.perilune, ... }, { cwd = dir }) end
    assert.equal('2.0\n', perilune('call', 'half', '4').stdout)
    local r = perilune('call', 'half', '"x"')
    assert.equal(1, r.code)
    assert.matches('^INVALID: args%[1%]: int expected, got string\n.*outcome: not_executed\n', r.stderr)
    r = perilune('describe', 'half')
    assert.matches('described by   node/app%-%d\n', r.stdout)
    assert.matches('arguments\n  1 n  int\n', r.stdout)
  end)
end)
