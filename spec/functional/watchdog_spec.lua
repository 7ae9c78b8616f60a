--- What holds up the node in a function of C is told while it does so.

local process = require 'spec.support.process'

local SCRIPT = [[
local mesh = require 'perilune'
mesh.action('blocks', function()
  local f <close> = io.open('fifo')
  return f:read('l')
end)
mesh.action('computes', function()
  local size, seconds = 1 << 16, 0
  while seconds < 0.3 do -- in one go: what a hook can see in between is short
    size = size * 2
    local text, start = ('\0'):rep(size), os.clock()
    string.format('%q', text)
    seconds = os.clock() - start
  end
end)
mesh.action('gives_way', function()
  local function busy() while true do pcall(function() while true do end end) end end
  coroutine.wrap(busy)()
end, { cpu_limit = 1 })
mesh.action('stalls', function() return mesh.metrics().stalls end)
]]

describe('the watchdog', function()
  local dir, worker

  before_each(function()
    dir = process.temp_dir { ['app.lua'] = SCRIPT }
    assert(os.execute(('mkfifo %s/fifo'):format(dir)))
    worker = process.start({ process.perilune, 'run', 'app.lua' }, { cwd = dir })
    worker:wait_line '^ready '
  end)

  local function call(...) return process.run({ process.perilune, 'call', ... }, { cwd = dir }) end

  local function stop()
    worker:kill 'TERM'
    assert.equal(0, worker:wait())
  end

  it('tells what blocks, with the line of the script, before it is over', function()
    local caller = process.start({ process.perilune, 'call', 'blocks', '--timeout', '0' }, { cwd = dir })
    local line = worker:wait_line '(.*holds up the node.*)'
    assert.matches('warn +a script holds up the node in a function of C script=app.lua task=blocks id=%d+ ', line)
    assert.matches('at=app.lua:3 wall_ms=%d+', line)
    local f = assert(io.open(dir .. '/fifo', 'w')) -- which lets it go on, whole
    f:write 'on\n'
    f:close()
    caller:wait_line '^"on"$'
    caller:wait()
    assert.equal('1\n', call('stalls').stdout)
    stop()
  end)

  it('tells what computes in C, with the line of the script', function()
    local caller = process.start({ process.perilune, 'call', 'computes', '--timeout', '0' }, { cwd = dir })
    worker:wait_line 'holds up the node in a function of C script=app.lua task=computes id=%d+ at=%S+ wall_ms='
    caller:wait()
    assert.is_true(tonumber(call('stalls').stdout) >= 1)
    stop()
  end)

  it('has nothing to say of what gives way', function()
    assert.matches('^CPU_LIMIT', call('gives_way').stderr)
    assert.is_nil(worker:stderr():find('holds up', 1, true))
    stop()
  end)

  it('does not take a process that was stopped for one that is held up', function()
    worker:kill 'STOP'
    local start = os.time()
    repeat call('stalls', '--timeout', '0.1') until os.time() - start >= 1
    worker:kill 'CONT'
    assert.equal('0\n', call('stalls').stdout)
    assert.is_nil(worker:stderr():find('holds up', 1, true))
    stop()
  end)
end)
