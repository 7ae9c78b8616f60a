--- How far tracebacks travel: over links within a machine and authenticated ones, and no further.

local keys = require 'spec.support.keys'
local process = require 'spec.support.process'

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
