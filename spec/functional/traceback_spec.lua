--- How far tracebacks travel: over links within a machine and authenticated ones, and no further.

local cluster = require 'spec.support.cluster'
local keys = require 'spec.support.keys'
local process = require 'spec.support.process'

-- luacheck: globals mesh

--- Three nodes in a row, c - r - b, at addresses; what `b` and `r` are told of failures at `c`, one line each.
local function told(addresses, psk)
  local dir = process.temp_dir { ['app.lua'] = ([[
    local mesh = require 'perilune'
    local urls = { %s }
    local function script()
      mesh.action('fail at ' .. mesh.self().name, function()
        error { code = 'MINE', message = 'boom', details = { left = 1 } }
      end)
      mesh.action('outer at ' .. mesh.self().name, function() mesh.call 'fail at c' end)
    end
    local net <close> = mesh.sim { nodes = 0 }
    for i, name in ipairs { 'c', 'r', 'b' } do
      net:node(name, { script = script, peers = { urls[i - 1] }, options = { listen = { urls[i] }, %s } })
    end
    net:advance(1)
    local function ask(action)
      local ok, err = pcall(mesh.call, action)
      local function has(e) return e and e.traceback and 'traceback' or 'no' end
      local cause = err.cause and 'cause ' .. err.cause.code .. ' ' .. has(err.cause) or '-'
      return ('%%s %%s %%s: %%s, %%s'):format(err.code, err.message, err.outcome, has(err), cause)
    end
    print('r', net.r:eval(ask, 'fail at c'))
    print('b', net.b:eval(ask, 'fail at c'))
    print('b', net.b:eval(ask, 'fail at r'))
    print('b', net.b:eval(ask, 'outer at r'))
  ]]):format("'" .. table.concat(addresses, "', '") .. "'", psk and ('psk = %q'):format(psk) or 'insecure = true') }
  local run = process.perilune_run('run', 'app.lua', { cwd = dir })
  assert(run.code == 0, run.stdout .. run.stderr)
  local lines = {}
  for line in run.stdout:gmatch '[^\n]+' do lines[#lines + 1] = line end
  return lines
end

local function near(i) return 'tcp://127.0.0.1:' .. 4000 + i end

local function far(i) return 'tcp://10.0.0.' .. i .. ':4000' end

local function expected(r, b, b_of_r, b_outer, cause)
  local function line(who, has) return ('%s\tMINE boom executed: %s, -'):format(who, has) end
  return { line('r', r), line('b', b), line('b', b_of_r),
    ('b\tMINE boom executed: %s, cause MINE %s'):format(b_outer, cause) }
end

describe('tracebacks', function()
  it('travel over any number of links within a machine', function()
    assert.same(expected('traceback', 'traceback', 'traceback', 'traceback', 'traceback'),
      told { near(1), near(2), near(3) })
  end)

  it('do not leave a machine, and nor do those of what caused an error', function()
    assert.same(expected('traceback', 'no', 'no', 'no', 'no'), told { near(1), far(2), far(3) })
  end)

  it('do not leave the first machine of several', function()
    assert.same(expected('no', 'no', 'no', 'no', 'no'), told { far(1), far(2), far(3) })
  end)

  it('are not passed on to another machine by a relay, nor let in', function()
    assert.same(expected('no', 'no', 'traceback', 'traceback', 'no'), told { far(1), near(2), near(3) })
  end)

  it('travel over authenticated links', function()
    assert.same(expected('traceback', 'traceback', 'traceback', 'traceback', 'traceback'),
      told({ far(1), far(2), far(3) }, keys.file(keys.ONE)))
  end)
end)

describe('the traceback of a call within calls', function()
  cluster.describe('of three nodes', { 'mem', 'unix' }, function(over)
    it('shows the lines of each, over all coroutines, the innermost first', function()
      local net = over.net
      local c = net:node('c', {}, function()
        mesh.action('inner', function()
          local function deepest() error 'boom' end
          coroutine.wrap(function() coroutine.wrap(function() deepest() end)() end)()
        end)
      end)
      local b = net:node('b', { peers = { c } }, function()
        mesh.action('middle', function()
          local function asks() mesh.call 'inner' end
          coroutine.wrap(function() asks() end)()
        end)
      end)
      local a = net:node('a', { peers = { b } }, function()
        mesh.action('outer', function()
          local function begins() mesh.call 'middle' end
          begins()
        end)
      end)
      local err = a:fails(function() mesh.call 'outer' end)
      assert.matches('boom', err.message)
      local at = 0
      for _, part in ipairs { "'deepest'", "'inner' at " .. c:id() .. ' was called here:', "'asks'",
        "'middle' at " .. b:id() .. ' was called here:', "'begins'" } do
        local found = err.traceback:find(part, at + 1, true)
        assert(found, part .. ' does not follow in\n' .. err.traceback)
        at = found
      end
      local inner = err.traceback:match "^(.-)\n'inner'"
      assert.equal(3, select(2, inner:gsub('stack traceback:', '')))
      assert.matches("'asks'", err.cause.traceback)
      assert.is_nil(err.cause.traceback:find("'begins'", 1, true))
    end)

    it('is cut, and keeps what is innermost', function()
      local net = over.net
      local c = net:node('c', {}, function()
        mesh.action('deep', function()
          local function down(n) if n == 0 then error 'boom' end return 1 + down(n - 1) end
          for i = 1, 15 do
            local inner = down
            down = load('local f = ... return function(n) return 1 + f(n) end', '@' .. ('x'):rep(50) .. i)(inner)
          end
          down(3)
        end)
        mesh.action('down', function(n)
          if n == 0 then mesh.call 'deep' else mesh.call('down', n - 1) end
        end)
      end)
      local a = net:node('a', { peers = { c } })
      local err = a:fails(function() mesh.call('down', 20) end)
      assert.is_true(#err.traceback <= 8192)
      assert.matches("^stack traceback:\n\t%[C%]: in function 'error'", err.traceback)
      assert.matches("'deep' at %x+ was called here:", err.traceback)
    end)
  end)
end)
