--- What becomes of replicas that die, and of threads that do not answer.

local json = require 'dkjson'
local nodes = require 'spec.support.nodes'
local process = require 'spec.support.process'

local WORKER = [[
local mesh = require 'perilune'
mesh.action('who', function() return mesh.self().name end)
mesh.action('hits', function() return mesh.state:incr 'hits' end)
mesh.action('naps', function() mesh.sleep(60) end)
mesh.action('blocks', function() local f <close> = assert(io.open('fifo')) return f:read('l') end)
local kept = {}
mesh.action('hoards', function(n)
  while true do for i = 1, 100 do kept[#kept + 1] = { i } end mesh.sleep(0) end
end)
mesh.action('forgets', function()
  while collectgarbage 'count' < 14 * 1024 do kept[#kept + 1] = { #kept } mesh.sleep(0) end
  kept = {}
end)
]]

local PLAIN = [[
local mesh = require 'perilune'
mesh.action('beat', function() return true end)
mesh.action('metrics', function() return mesh.metrics() end)
]]

local dir, url, p, c

local function write(name, text)
  local file <close> = assert(io.open(dir .. '/' .. name, 'wb'))
  file:write(text)
end

local function start(...)
  dir = process.temp_dir { ['plain.lua'] = PLAIN, ['w.lua'] = WORKER }
  assert(os.execute(('mkfifo %s/fifo'):format(dir)))
  url = 'unix://' .. dir .. '/n.sock'
  p = process.start({ process.perilune, 'run', 'plain.lua', 'w.lua', '--name=n', '--listen=' .. url,
    '--memory-limit=16MiB', ... }, { cwd = dir })
  p:wait_line '^ready '
  c = nodes.start('client', { peers = { url } })
end

local function stop()
  p:kill 'TERM'
  assert.equal(0, p:wait())
end

local function calls(action)
  return ("local ok, r = pcall(mesh.with { timeout = 1 }.call, '%s') return ok and r"):format(action)
end

--- What ps says of the replicas.
local function replicas()
  for _, node in ipairs(json.decode(process.perilune_run('ps', '--peer=' .. url, '--json').stdout)) do
    if node.name == 'n' then return node.workers end
  end
end

--- Fills the memory of a replica until nothing more fits.
local function hoard()
  local err = c:fails "mesh.with { timeout = 60 }.call 'hoards'"
  assert.equal('MEMORY_LIMIT', err.code)
end

--- Lets a thread that blocks on the pipe go on.
local function release()
  local f <close> = assert(io.open(dir .. '/fifo', 'w'))
  f:write 'on\n'
end

describe('a replica whose memory is full', function()
  it('is started again, and keeps what is in mesh.state', function()
    start('--workers=1', '--isolate=w.lua')
    assert.equal(1, c:eval "return mesh.call 'hits'")
    local napping = c:begin "return mesh.with { timeout = 0 }.call 'naps'"
    hoard()
    p:wait_line 'error a replica died, it will be started again .* why="its memory is full" in_ms=%d+'
    local err = napping:failure() -- where no memory is left to say so, it is for want of memory
    assert.is_true(err.code == 'CANCELLED' or err.code == 'MEMORY_LIMIT', err.text)
    assert.equal('executed', err.outcome)
    p:wait_line 'a replica serves again script=w.lua node=n/w%-1 restarts=1'
    c:wait_for(calls 'who')
    assert.equal(2, c:eval "return mesh.call 'hits'")
    assert.equal(1, c:eval "return mesh.call 'metrics'.worker_restarts")
    local shown = process.perilune_run('ps', '--peer=' .. url).stdout
    assert.matches('n/w%-1: serving, 1 restarts, died of: its memory is full\n', shown)
    stop()
  end)

  it('does not die of what the collector can have', function()
    start('--workers=1', '--isolate=w.lua')
    c:eval "mesh.with { timeout = 60 }.call 'forgets'"
    c:eval "mesh.sleep(2.5)"
    assert.same({ 0, 'serving' }, { replicas()[1].restarts, replicas()[1].state })
    stop()
  end)

  it('is given up when it dies too often, and the others go on', function()
    start('--workers=1', '--isolate=w.lua', '--max-restarts=0')
    hoard()
    p:wait_line 'error a replica died too often, it is given up .* why="its memory is full" restarts=0'
    assert.same({ 'NOT_FOUND', 'not_sent' }, (function()
      local err = c:fails "mesh.sleep(0.2) return mesh.call 'who'"
      return { err.code, err.outcome }
    end)())
    assert.is_true(c:eval "return mesh.call 'beat'")
    assert.equal('given up', replicas()[1].state)
    stop()
  end)

  it('ends the process when it was all there was', function()
    local only = process.temp_dir { ['w.lua'] = WORKER }
    local q = process.start({ process.perilune, 'run', 'w.lua', '--name=q', '--memory-limit=16MiB', '--workers=1',
      '--isolate=all', '--max-restarts=0', '--mesh=supervised' }, { cwd = only })
    q:wait_line '^ready '
    process.perilune_run('call', '--mesh=supervised', 'hoards', '--timeout=60')
    assert.equal(1, q:wait())
  end)
end)

describe('a replica that cannot be loaded again', function()
  it('is tried after longer and longer pauses, until it can', function()
    start('--workers=1', '--isolate=w.lua', '--max-restarts=50')
    write('w.lua', 'error "not now"')
    hoard()
    p:wait_line 'it will be started again .*why="its memory is full"'
    local first = tonumber(p:wait_line 'it will be started again .*why="it could not be loaded" in_ms=(%d+)')
    local second = tonumber(p:wait_line 'it will be started again .*why="it could not be loaded" in_ms=(%d+)')
    assert.is_true(first >= 200 and second >= 400, first .. ' and ' .. second)
    write('w.lua', WORKER)
    p:wait_line 'a replica serves again'
    c:wait_for(calls 'who')
    stop()
  end)
end)

describe('a worker thread that does not answer', function()
  local function block()
    local call = c:begin "return mesh.with { timeout = 0 }.call 'blocks'"
    return call
  end

  it('is given up with its replicas, which live again on another', function()
    start('--workers=1', '--isolate=w.lua', '--heartbeat=0.3')
    local call = block()
    p:wait_line 'error a worker thread does not answer, it is given up thread=worker%-1 given_up=1'
    local err = call:failure()
    assert.same({ 'PEER_LOST', 'unknown' }, { err.code, err.outcome })
    p:wait_line 'a replica serves again script=w.lua node=n/w%-1 restarts=1'
    c:wait_for(calls 'who')
    assert.is_true(c:eval "return mesh.call 'beat'")
    assert.equal(1, c:eval "return mesh.call 'metrics'.workers_lost")
    stop() -- while it still blocks
  end)

  it('ends by itself when it comes back', function()
    start('--workers=1', '--isolate=w.lua', '--heartbeat=0.3')
    block()
    p:wait_line 'a worker thread does not answer'
    c:wait_for(calls 'who')
    release()
    -- The main thread, the watching one, and one worker; file work may have others.
    local function threads()
      local status <close> = assert(io.open(('/proc/%d/status'):format(p.pid)))
      return tonumber(status:read('a'):match 'Threads:%s+(%d+)')
    end
    local deadline = process.now() + 20 * process.patience
    local most = c:is_sanitized() and 4 or 3 -- a sanitizer may have one of its own
    while threads() > most do
      if process.now() > deadline then p:fail 'it did not end' end
      process.sleep(0.05)
    end
    assert.equal('n/w-1', c:eval "return mesh.call 'who'")
    stop()
  end)

  it('does not keep the node from stopping', function()
    start('--workers=2', '--replicas=w.lua=2', '--heartbeat=30', '--drain=0.5', '--cleanup-grace=0.2')
    local call = block()
    p:wait_line 'a script holds up a worker'
    local start_at = process.now()
    stop()
    assert.is_true(process.now() - start_at < 10 * process.patience)
    assert.equal('PEER_LOST', call:failure().code)
  end)

  it('is not mistaken for one when the process was stopped', function()
    start('--workers=1', '--isolate=w.lua', '--heartbeat=0.3')
    p:kill 'STOP'
    process.sleep(3)
    p:kill 'CONT'
    c:wait_for(calls 'who')
    assert.equal(0, replicas()[1].restarts)
    stop()
  end)
end)
