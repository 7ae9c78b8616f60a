--- perilune bench: what it measures, and how it ends.

local json = require 'dkjson'
local process = require 'spec.support.process'
local terminal = require 'spec.support.terminal'

local WORKER = [[
  local mesh = require 'perilune'
  mesh.action('sum', function(numbers) return numbers[1] + numbers[2] end)
  mesh.action('slow', function() mesh.sleep(0.02) end)
  mesh.action('serial', function() mesh.sleep(0.05) end, { concurrency = 1, queue = 10000 })
  mesh.action('count', function(max)
    for i = 1, max do coroutine.yield(i) end
  end)
  mesh.action('endless', function()
    while true do coroutine.yield(1) end
  end)
  local counts = {}
  mesh.action('sometimes', function()
    local caller = mesh.context().caller.id
    counts[caller] = (counts[caller] or 0) + 1
    if counts[caller] % 2 == 0 then error { code = 'ODD', message = 'even' } end
  end)
  mesh.action('boom', function() error 'boom' end)
  mesh.action('hangs', function() mesh.sleep(60) end)
]]

describe('perilune bench', function()
  local dir, worker

  before_each(function()
    dir = process.temp_dir { ['worker.lua'] = WORKER }
    worker = process.start({ process.perilune, 'run', 'worker.lua' }, { cwd = dir })
    worker:wait_line '^ready '
  end)

  local function run(...)
    return process.run({ process.perilune, 'bench', ... }, { cwd = dir })
  end

  --- The figures of a run that succeeds.
  local function figures(...)
    local p = run('--json', '--warmup', '0.05', ...)
    assert.equal('', p.stderr)
    assert.equal(0, p.code)
    assert.matches('^[^\n]+\n$', p.stdout)
    return json.decode(p.stdout)
  end

  it('keeps so many calls in flight', function()
    local f = figures('slow', '-c', '4', '-d', '0.5')
    assert.equal('closed', f.mode)
    assert.equal(4, f.concurrency)
    assert.is_true(f.calls > 0 and f.calls <= 4 * (f.seconds / 0.02 + 1))
    assert.is_true(math.abs(f.rate - f.calls / f.seconds) < 1e-3)
    local l = f.latency
    assert.is_true(l.p50 >= 0.019 and l.p50 <= l.p90 and l.p90 <= l.p99 and l.p99 <= l.p999 and l.p999 <= l.max)
    assert.is_true(l.mean >= 0.019 and l.mean <= l.max)
    assert.equal(0, f.failed)
    assert.is_true(f.bytes_sent > 0 and f.bytes_received > 0)
  end)

  it('begins calls by the clock', function()
    local f = figures('sum', '[1,2]', '--rate', '200', '-d', '0.5')
    assert.equal('open', f.mode)
    assert.equal(200, f.target_rate)
    assert.is_true(f.calls > 0 and f.calls <= 200 * f.seconds + 10)
  end)

  it('does not spare a provider the calls that it holds up', function()
    -- Twenty a second can be served. In a closed loop each would take 50 ms.
    local f = figures('serial', '--rate', '100', '-d', '1.2')
    assert.is_true(f.latency.max > 0.2)
    f = figures('serial', '-c', '1', '-d', '0.3')
    assert.is_true(f.latency.p50 < 0.2 * process.patience)
  end)

  it('takes streams', function()
    local f = figures('count', '10', '--stream', '-c', '2', '-d', '0.3')
    assert.is_true(f.calls > 0 and f.items >= 10 * f.calls - 40 and f.item_rate > f.rate)
    f = figures('endless', '--stream', '-c', '2', '-d', '0.2')
    assert.is_true(f.items > 0)
    assert.equal(0, f.calls)
  end)

  it('counts failures by their code', function()
    local f = figures('sometimes', '-c', '2', '-d', '0.2')
    assert.equal('ODD', (next(f.errors)))
    assert.equal(f.failed, f.errors.ODD)
    assert.is_true(f.calls > 0 and f.failed > 0)
    local p = run('sometimes', '-c', '2', '-d', '0.2', '--warmup', '0')
    assert.matches('^calls     %d+, %d+/s\nlatency   p50 .* p99%.9 .* max .*\nfailed    %d+: ODD %d+\nbytes ', p.stdout)
  end)

  it('tells what cannot work before it begins', function()
    local p = run 'nothing'
    assert.equal(1, p.code)
    assert.matches("^NOT_FOUND: no reachable node provides the action 'nothing'", p.stderr)
    p = run 'boom'
    assert.equal(1, p.code)
    assert.matches('^HANDLER_ERROR: .*boom', p.stderr)
    p = run('count', '3')
    assert.equal(1, p.code)
    assert.equal("STREAM_EXPECTED: 'count' streams: use --stream\n", p.stderr)
    p = run('hangs', '--timeout', '0.1')
    assert.equal(1, p.code)
    assert.matches('^TIMEOUT: ', p.stderr)
  end)

  it('refuses what makes no sense', function()
    for _, words in ipairs { {}, { 'sum', '-c' }, { 'sum', '-c', '0' }, { 'sum', '-c', '1e9' }, { 'sum', '-d', '0' },
      { 'sum', '-d', 'x' }, { 'sum', '-d', '-1' }, { 'sum', '--rate', '0' }, { 'sum', '--rate', '1e12' },
      { 'sum', '--warmup', '1e9' }, { 'sum', 'x' }, { 'sum', '--what' }, { 'sum', '-x' }, { 'sum', '--json=1' } } do
      local p = run(table.unpack(words))
      assert.equal(2, p.code, table.concat(words, ' '))
      assert.matches('^INVALID: ', p.stderr)
    end
    local p = run('sum', '--peer', 'unix://' .. dir .. '/none.sock')
    assert.equal(3, p.code)
  end)

  it('shows at a terminal how it stands, and ends with Ctrl-C', function()
    local t = terminal.start({ process.perilune, 'bench', 'slow', '-d', '60', '--warmup', '0.1' }, { cwd = dir })
    t:wait_for '^0:%d%d  %d+/s  p50 .* p99 '
    t:press 'ctrl-c'
    t:wait_for '^calls     %d+, %d+/s$'
    t:wait_for '^latency   p50 '
    assert.equal(0, t:wait())
    t:assert_restored()
    assert.is_nil(t:text():find '0:%d%d ')

    t = terminal.start({ process.perilune, 'bench', 'slow', '--warmup', '60' }, { cwd = dir })
    t:wait_for '^warming up'
    t:press 'ctrl-c'
    assert.equal(1, t:wait())
    t:wait_for 'CANCELLED: interrupted before the warm%-up was over'
  end)

  it('goes on when its provider goes away', function()
    local p = process.start({ process.perilune, 'bench', 'slow', '-d', '1', '--warmup', '0.1', '-c', '2', '--json' },
      { cwd = dir })
    process.sleep(0.5)
    worker:kill 'KILL'
    worker:wait()
    assert.is_number(p:wait())
    local f = json.decode(p:stdout())
    assert.is_true(f.failed > 0)
  end)
end)
