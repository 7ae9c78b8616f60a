--- The wall clock leaps: by hours either way, and beyond 2038. Nothing that is timed may notice.

local nodes = require 'spec.support.nodes'
local process = require 'spec.support.process'

local FAST = { '--heartbeat=0.1', '--heartbeat-misses=5' }
local HOUR = 3600

describe('a wall clock that leaps', function()
  local offset_file

  local function leap(seconds)
    local file <close> = assert(io.open(offset_file, 'r+b'))
    file:write(string.pack('i8', seconds))
  end

  local function start(name, options, script)
    options.env = {
      LD_PRELOAD = process.perilune:match '^(.*)/' .. '/perilune_wall.so', PERILUNE_SPEC_WALL = offset_file,
    }
    options.flags = FAST
    return nodes.start(name, options, script)
  end

  it('moves no timer, heartbeat or deadline', function()
    if nodes.start('x'):is_sanitized() then return pending 'a sanitizer has to be loaded first' end
    offset_file = process.temp_dir { offset = string.pack('i8', 0) } .. '/offset'
    local b = start('b', { listen = 'tcp' }, [[
      mesh.action('slow', function(s) mesh.sleep(s) return os.time() end)
      mesh.action('ticks', function() while true do coroutine.yield(1) mesh.sleep(0.05) end end)
    ]])
    local a = start('a', { peers = { b } }, [[
      early, beats, chunks = false, 0, 0
      mesh.after(1000, function() early = true end)
      mesh.every(0.1, function() beats = beats + 1 end)
      mesh.spawn(function() for _ in mesh.stream 'ticks' do chunks = chunks + 1 end end)
    ]])
    local now = os.time()
    local began = process.now()
    for _, seconds in ipairs { 10 * HOUR, -10 * HOUR, 2147483647 + HOUR - now, -20 * 365 * 24 * HOUR, 0 } do
      leap(seconds)
      local before = a:eval 'return mesh.now()'
      local time = a:eval "return mesh.with { timeout = 2 }.call('slow', 0.3)"
      assert.is_true(math.abs(time - (os.time() + seconds)) <= 2, time)
      local took = a:eval 'return mesh.now()' - before
      assert.is_true(took >= 0.3 and took < 0.3 + process.patience, took)
      local err = a:fails "mesh.with { timeout = 0.2 }.call('slow', 100)"
      assert.equal('TIMEOUT', err.code)
      assert.is_nil(a:eval 'return early or nil')
    end
    local span = process.now() - began
    local beats, chunks = a:eval 'return beats, chunks'
    assert.is_true(beats > 10 and beats <= span / 0.1 + 2, beats)
    assert.is_true(chunks > 20, chunks)
    for _, node in ipairs { a, b } do
      local metrics = node:metrics()
      assert.equal(1, metrics.links_opened)
      assert.equal(0, metrics.peers_lost)
    end
  end)

  it('is what the log tells', function()
    if nodes.start('x'):is_sanitized() then return pending 'a sanitizer has to be loaded first' end
    offset_file = process.temp_dir { offset = string.pack('i8', 2147483647 + 24 * HOUR - os.time()) } .. '/offset'
    local a = start('a', { listen = 'tcp' })
    assert.matches('2038%-01%-%d%dT%d%d:%d%d:%d%d%.%d%d%dZ info  listening', a.process:stderr())
    assert.is_true(a:eval 'return mesh.self().started' > 2147483647)
  end)
end)
