--- Scripts that do their worst: the other scripts of their node go on being served, and nobody takes it for dead.

local latency = require 'spec.support.latency'
local process = require 'spec.support.process'

-- Each in a handler with a CPU limit of half a second.
local RUNAWAYS = {
  ['a loop'] = 'while true do end',
  ['a loop of pcalls'] = 'while true do pcall(function() while true do end end) end',
  ['nested coroutines'] = [[
    local function nest(n)
      if n > 0 then return coroutine.wrap(nest)(n - 1) end
      while true do pcall(error) end
    end
    nest(50)]],
  ['a message handler'] = 'local function f() return xpcall(error, f) end while true do f() end',
  ['a <close> variable'] = [[
    local _ <close> = setmetatable({}, { __close = function() while true do end end })
    error 'x']],
  ['patterns that go back for ever'] =
    "while true do pcall(string.find, ('a'):rep(30), ('a?'):rep(30) .. ('a'):rep(30)) end",
  ['a table of any length'] = [[
    local t = setmetatable({}, { __len = function() return 1 << 50 end })
    while true do pcall(table.insert, t, 1, 0) end]],
  ['memory'] = [[
    local kept = {}
    while true do pcall(function() while true do kept[#kept + 1] = ('x'):rep(1000) .. #kept end end) end]],
}

local ECHO = "require('perilune').action('echo', function(x) return x end)"

-- Calls `echo`, of a VM of its own, while `bad` runs. What counts is what the loop's thread computes, and how often it
-- turns, before such a call is answered: the machine may do other things meanwhile. Returns how `bad` ended, the turns
-- and seconds of CPU time that 99 % of the calls took at most, and how long the thread waited for a processor, as a
-- part of what it computed.
local WATCH = latency.CLOCK .. [[
  local mesh = require 'perilune'
  local function at_99(list)
    table.sort(list)
    return list[math.max(1, #list * 99 // 100)]
  end

  mesh.action('watch', function()
    local over, turns = false, 0
    local bad = mesh.spawn(function()
      local ok, err = pcall(mesh.with { timeout = 0 }.call, 'bad')
      over = true
      return ok or err.code .. ' ' .. err.outcome
    end)
    local turning = mesh.every(0.001, function() turns = turns + 1 end)
    local began, waited = used()
    local times, taken = {}, {}
    while not over do
      local at, turn = used(), turns
      mesh.call('echo', 1)
      times[#times + 1] = used() - at
      taken[#taken + 1] = turns - turn
      mesh.sleep(0)
    end
    turning:cancel()
    local ended, waited_then = used()
    return bad:await(), at_99(taken), at_99(times), (waited_then - waited) / (ended - began)
  end)
]]

-- Calls `echo` from another node meanwhile; prints how many calls were answered, how many not, and what `watch`
-- returned.
local CLIENT = [[
  local mesh = require 'perilune'
  mesh.wait 'watch' mesh.wait 'echo'
  local answered, failed, seen = 0, 0, nil
  mesh.spawn(function() seen = table.pack(pcall(mesh.with { timeout = 0 }.call, 'watch')) end)
  local function ask()
    while not seen do
      if pcall(mesh.with { retries = 0 }.call, 'echo', 1) then answered = answered + 1 else failed = failed + 1 end
    end
  end
  mesh.spawn(function()
    mesh.all { mesh.spawn(ask), mesh.spawn(ask), mesh.spawn(ask) }
    print(answered, failed, table.unpack(seen, 2, seen.n))
    os.exit(0)
  end)
]]

-- Of CPU time, in seconds: of two turns, each a slice of 10 ms and the rest. The clock of a slice ticks with the
-- system's, every 4 ms, and a thread that others push from the processor now and then escapes it.
local AT_MOST, AT_MOST_BUSY = 0.040, 0.060
local BUSY = 0.25
-- Patterns give way between one and the next: some 80 ms, and more without optimization.
local AT_MOST_PATTERN = 2

describe('a script that runs away', function()
  for name, source in pairs(RUNAWAYS) do
    it('leaves the node to the others: ' .. name, function()
      local dir = process.temp_dir {
        ['bad.lua'] = ("require('perilune').action('bad', function() %s end, { cpu_limit = 0.5 })"):format(source),
        ['echo.lua'] = ECHO, ['watch.lua'] = WATCH, ['client.lua'] = CLIENT,
      }
      local node = process.start({ process.perilune, 'run', 'bad.lua', 'echo.lua', 'watch.lua', '--memory-limit',
        '64MiB', '--heartbeat', '0.5' }, { cwd = dir })
      node:wait_line '^ready '
      local client = process.run({ process.perilune, 'run', 'client.lua' }, { cwd = dir, timeout = 60 })
      local answered, failed, ending, turns, seconds, waited =
        client.stdout:match '^(%d+)\t(%d+)\t(%u+_LIMIT executed)\t(%d+)\t(%S+)\t(%S+)\n$'
      assert.truthy(ending, client.stdout .. client.stderr)
      assert.equal('0', failed)
      local is_pattern = name:find 'patterns'
      local most = is_pattern and AT_MOST_PATTERN or tonumber(waited) < BUSY and AT_MOST or AT_MOST_BUSY
      assert.is_true(tonumber(seconds) < most * process.patience, ('%s s, waited %s'):format(seconds, waited))
      assert.is_true(tonumber(turns) <= 2, turns .. ' turns')
      assert.is_true(tonumber(answered) >= (is_pattern and 1 or 10), answered)
      local log = node:stderr()
      assert.is_nil(log:find('lost', 1, true), log)
      local told = log:match('a task computes without a wait script=bad.lua action=bad caller=%x+ id=%d+ call=%x+ '
        .. 'trace_id=%x+ cpu_ms=(%d+)')
      if told then assert.is_true(tonumber(told) < 100 or is_pattern, log) end
      assert.truthy(told or log:find('held up the node script=bad.lua', 1, true) or ending:find '^MEMORY')
      node:kill 'TERM'
      assert.equal(0, node:wait())
    end)
  end
end)
