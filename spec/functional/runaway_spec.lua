--- Scripts that do their worst: the other scripts of their node go on being served, and nobody takes it for dead.

local process = require 'spec.support.process'

-- Each in a handler with a CPU limit of 0.3 s.
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

local SERVER = [[
  local mesh = require 'perilune'
  mesh.action('echo', function(x) return x end)
]]

-- Calls `echo` while `bad` runs; prints how `bad` ended, how many calls were answered, how many not, and how long 99 %
-- of them took, in milliseconds.
local CLIENT = [[
  local mesh = require 'perilune'
  mesh.wait 'bad' mesh.wait 'echo'
  local answered, failed, over, times = 0, 0, false, {}
  local bad = mesh.spawn(function()
    local ok, err = pcall(mesh.with { timeout = 0 }.call, 'bad')
    over = true
    return ok or err.code .. ' ' .. err.outcome
  end)
  local function ask()
    while not over do
      local began = mesh.now()
      if pcall(mesh.with { retries = 0 }.call, 'echo', 1) then answered = answered + 1 else failed = failed + 1 end
      times[#times + 1] = mesh.now() - began
    end
  end
  mesh.spawn(function()
    mesh.all { mesh.spawn(ask), mesh.spawn(ask), mesh.spawn(ask) }
    table.sort(times)
    print(bad:await(), answered, failed, times[math.max(1, #times * 99 // 100)] * 1000 // 1)
    os.exit(0)
  end)
]]

describe('a script that runs away', function()
  for name, source in pairs(RUNAWAYS) do
    it('leaves the node to the others: ' .. name, function()
      local dir = process.temp_dir {
        ['bad.lua'] = ("require('perilune').action('bad', function() %s end, { cpu_limit = 0.3 })"):format(source),
        ['server.lua'] = SERVER, ['client.lua'] = CLIENT,
      }
      local node = process.start({ process.perilune, 'run', 'bad.lua', 'server.lua', '--memory-limit', '64MiB',
        '--heartbeat', '0.5' }, { cwd = dir })
      node:wait_line '^ready '
      local client = process.run({ process.perilune, 'run', 'client.lua' }, { cwd = dir, timeout = 60 })
      local ending, answered, failed, p99 = client.stdout:match '^(.-)\t(%d+)\t(%d+)\t(%d+)%.0\n$'
      assert.truthy(ending, client.stdout .. client.stderr)
      assert.matches('^%u+_LIMIT executed$', ending)
      assert.equal('0', failed)
      -- One slice of the other script, 10 ms, where it can give way; a pattern takes longer.
      assert.is_true(tonumber(p99) < 2000 * process.patience, p99 .. ' ms')
      -- It gives way thirty times in that CPU time, but after each pattern only.
      assert.is_true(tonumber(answered) >= 3, answered)
      local log = node:stderr()
      assert.is_nil(log:find('lost', 1, true), log)
      local told = log:match 'a task computes without a wait script=bad.lua action=bad.-cpu_ms=(%d+)'
      if told then assert.is_true(tonumber(told) < 100 or name:find 'patterns', log) end
      assert.truthy(told or log:find('held up the node script=bad.lua', 1, true) or ending:find '^MEMORY')
      node:kill 'TERM'
      assert.equal(0, node:wait())
    end)
  end
end)
