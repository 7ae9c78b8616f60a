--- `perilune top`: at a terminal, and without one.

local json = require 'dkjson'
local process = require 'spec.support.process'
local terminal = require 'spec.support.terminal'

describe('perilune top', function()
  local dir

  before_each(function()
    dir = process.temp_dir { ['worker.lua'] = [[
      local mesh = require 'perilune'
      mesh.action('greet', function(name) return 'hello ' .. name end)
      mesh.action('boom', function() error 'boom' end)
      mesh.action('often', function() return 1 end)
      mesh.every(0.02, function() mesh.call 'often' end)
    ]] }
  end)

  local function worker(name)
    local p = process.start({ process.perilune, 'run', 'worker.lua', '--name', name }, { cwd = dir })
    p:wait_line '^ready '
    return p
  end

  local function top(options, ...)
    return terminal.start({ process.perilune, 'top', '--interval', '0.2', ... }, options)
  end

  it('shows nodes and actions with their rates, which go on', function()
    worker 'one'
    local t = top()
    t:wait_for '^1 node  .*calls/s'
    t:wait_for '^one +up '
    t:wait_for '^greet +one +0 +%- '
    local rate = t:wait_for '^often +one +([1-9][%d.]*) +%d'
    assert.is_true(tonumber(rate) <= 60, rate)
    worker 'two'
    t:wait_for '^2 nodes'
    t:wait_for '^often +two +[1-9]'
    t:press 'q'
    assert.equal(0, t:wait())
    t:assert_restored()
  end)

  it('is sorted, filtered and turned round by keys', function()
    worker 'one'
    local t = top()
    t:wait_for 'CALLS/Sv'
    t:press '<'
    t:wait_for 'NODEv'
    t:press 'r'
    t:wait_for 'NODE%^'
    t:type '/ree'
    t:wait_for 'filter: ree_$'
    t:wait_until(function(screen) return not screen:text():find '\noften' end)
    t:press('enter', 'c')
    t:wait_for '^CALLED'
    t:wait_until(function(screen) return not screen:text():find '\ngreet' end)
    t:press('escape', 'n')
    t:wait_for '^often'
    t:wait_until(function(screen) return not screen:text():find 'STATE' end)
    t:press 'ctrl-d'
    assert.equal(0, t:wait())
    t:assert_restored()
  end)

  it('fits a terminal that changes its size, and says when that is too small', function()
    worker 'one'
    local t = top { columns = 100, rows = 30 }
    t:wait_for '^often'
    t:resize(60, 10)
    t:wait_for '^s S sort.*$'
    t:resize(30, 5)
    t:wait_for '^the terminal is too small: 30'
    t:resize(3, 1)
    t:wait_for '^the$'
    t:resize(120, 20)
    t:wait_for '^often'
    t:wait_for 'q quit$'
    t:press 'q'
    assert.equal(0, t:wait())
    t:assert_restored()
  end)

  it('puts the terminal back when a signal ends it', function()
    worker 'one'
    for signal, code in pairs { TERM = 143, INT = 130 } do
      local t = top()
      t:wait_for '^often'
      t.process:kill(signal)
      assert.equal(code, t:wait())
      t:assert_restored()
    end
    local t = top()
    t:wait_for '^often'
    t:press 'ctrl-c'
    assert.equal(130, t:wait())
    t:assert_restored()
  end)

  it('ends when the terminal goes away', function()
    worker 'one'
    local t = top()
    t:wait_for '^often'
    t:hang_up()
    t:wait()
  end)

  it('goes on without the node that it asks, until that is back', function()
    local p = worker 'one'
    local t = top()
    t:wait_for '^often +one +[1-9]'
    p:kill 'KILL'
    p:wait()
    t:wait_until(function(screen)
      local text = screen:text()
      return text:find '^0 nodes' or text:find '\none +no answer'
    end)
    worker 'one'
    t:wait_for '^often +one +[1-9]'
    t:press 'q'
    assert.equal(0, t:wait())
    t:assert_restored()
  end)

  it('tells that a node does not answer, and shows the others', function()
    local p = worker 'one'
    worker 'two'
    local t = top()
    t:wait_for '^often +one'
    p:kill 'STOP'
    t:wait_for '^one +no answer'
    t:wait_for '^often +two'
    p:kill 'CONT'
    t:wait_for '^one +up'
    t:press 'q'
    assert.equal(0, t:wait())
  end)

  local function run(...)
    local p = process.start { process.perilune, 'top', ... }
    return p:wait(), p:stdout(), p:stderr()
  end

  it('prints one look without a terminal, and with --once', function()
    worker 'one'
    local code, out = run('--interval', '0.2')
    assert.equal(0, code)
    assert.matches('^NODE +STATE .*\none +up .*\n\nACTION +NODE +CALLS/Sv ', out)
    assert.matches('\noften +one +[1-9]', out)
    assert.is_nil(out:find '\27')
    local t = top(nil, '--once')
    t:wait_for '^often +one +[1-9]'
    assert.equal(0, t:wait())
    t:assert_restored()
  end)

  it('prints it as JSON', function()
    worker 'one'
    worker 'two'
    local code, out = run('one', '--json', '--interval', '0.2')
    assert.equal(0, code)
    local list = json.decode(out)
    assert.same({ 1, 'one', 'up' }, { #list, list[1].name, list[1].state })
    local by = {}
    for _, a in ipairs(list[1].actions) do by[a.action .. (a.served and '' or ' called')] = a end
    assert.is_true(by.often.calls > 0 and by.often.rate > 0 and by.often.p99 >= by.often.p50)
    assert.is_true(by['often called'].rate > 0)
    assert.same({ 0, 0 }, { by.greet.calls, by.greet.failed })
    assert.equal(2, #json.decode((select(2, run('--json', '--interval', '0.1')))))
  end)

  it('refuses what makes no sense', function()
    worker 'one'
    for _, interval in ipairs { '0', '-1', 'x', '0.01', '1e9', 'nan', '' } do
      local code, _, err = run('--interval', interval)
      assert.equal(2, code, interval)
      assert.matches('INVALID', err)
    end
    assert.equal(2, (run('one', 'two')))
    local code, _, err = run('nobody', '--once')
    assert.equal(1, code)
    assert.matches('NO_ROUTE', err)
    local t = top(nil, 'nobody')
    assert.equal(1, t:wait())
    t:assert_restored()
    local alone, _, why = run('--mesh', 'empty')
    assert.equal(3, alone)
    assert.matches('CONNECT_FAILED', why)
  end)
end)
