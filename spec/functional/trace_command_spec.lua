--- `perilune call --trace` and `perilune trace`: what each node of a call took.

local json = require 'dkjson'
local process = require 'spec.support.process'

describe('the times of a call', function()
  local dir

  local WORKER = [[
    local mesh = require 'perilune'
    mesh.action('deep', function(n)
      local sum = 0
      for i = 1, 2e6 do sum = sum + i end
      mesh.sleep(0.05)
      return n, sum > 0 and mesh.context().call
    end)
  ]]

  local GATE = [[
    local mesh = require 'perilune'
    mesh.action('outer', function(n) return n + (mesh.call('deep', n)) + (mesh.call('deep', 1)) end)
    mesh.action('bad', function() error { code = 'NO_PAPER' } end)
    mesh.wait 'deep'
  ]]

  local function start(file, name, peer)
    local argv = { process.perilune, 'run', file, '--name', name, '--listen', ('unix://%s/%s.sock'):format(dir, name) }
    if peer then table.move({ '--peer', ('unix://%s/%s.sock'):format(dir, peer) }, 1, 2, #argv + 1, argv) end
    local p = process.start(argv, { cwd = dir })
    p:wait_line '^ready '
    return p
  end

  local function perilune(...)
    local peer = ('unix://%s/gate.sock'):format(dir)
    return process.run({ process.perilune, ... }, { cwd = dir, env = { PERILUNE_PEER = peer } })
  end

  --- The lines of a table: their first columns, and the columns behind the node.
  local function rows(text)
    local list = {}
    for line in text:gmatch '[^\n]+' do
      local indent, role, action, node, rest = line:match '^( *)(%l+) (%l+) +(%S+) +(.*)$'
      if role then
        list[#list + 1] = { depth = #indent // 2, what = role .. ' ' .. action, node = node, rest = rest }
      end
    end
    return list
  end

  local function shape(text)
    local list = {}
    for i, row in ipairs(rows(text)) do list[i] = row.depth .. ' ' .. row.what end
    return list
  end

  before_each(function()
    dir = process.temp_dir { ['worker.lua'] = WORKER, ['gate.lua'] = GATE }
    start('worker.lua', 'worker')
    start('gate.lua', 'gate', 'worker')
  end)

  it('are shown behind its results, of every hop and of the calls within it', function()
    local result = perilune('call', 'deep', '5', '--trace')
    assert.equal(0, result.code, result.stderr)
    assert.matches('^5\n"%x+"\n$', result.stdout)
    local id = result.stderr:match '^trace (%x+)\nCALL +NODE +QUEUE +CPU +RUN +WIRE *\n'
    assert.equal(32, #id)
    assert.same({ '0 caller deep', '1 relay deep', '2 callee deep' }, shape(result.stderr))
    local caller, relay, callee = table.unpack(rows(result.stderr))
    assert.same({ 'gate', 'worker' }, { relay.node, callee.node })
    assert.matches('^%- +%- +[%d.]+ m?s +%-$', caller.rest)
    assert.matches('^[%d.]+ [um]?s +%- +[%d.]+ m?s +[%d.]+ [um]?s$', relay.rest)
    assert.matches('^[%d.]+ [um]?s +[%d.]+ [um]?s +[%d.]+ m?s +[%d.]+ [um]?s$', callee.rest)

    local later = perilune('trace', id)
    assert.equal(0, later.code, later.stderr)
    assert.same({ '0 relay deep', '1 callee deep' }, shape(later.stdout)) -- the caller has left
    local by_call = perilune('trace', result.stdout:match '"(%x+)"')
    assert.same(shape(later.stdout), shape(by_call.stdout))
    local all = json.decode(perilune('trace', id, '--json').stdout)
    assert.same({ id, 2 }, { all.trace_id, #all.calls })
    for _, one in ipairs(all.calls) do
      if one.side == 'incoming' then
        assert.equal('worker', one.name)
        assert.is_true(one.duration >= 0.05 and one.cpu > 0 and one.cpu < one.duration, json.encode(one))
      end
    end

    result = perilune('call', 'outer', '5', '--trace')
    assert.equal('11\n', result.stdout)
    local inner = { '2 caller deep', '3 callee deep' }
    assert.same({ '0 caller outer', '1 callee outer', inner[1], inner[2], inner[1], inner[2] }, shape(result.stderr))
  end)

  it('are shown before its error, and which node it is of', function()
    local result = perilune('call', 'bad', '--trace')
    assert.same({ 1, '' }, { result.code, result.stdout })
    assert.matches('^trace %x+\n.*\n +callee bad +gate .* NO_PAPER\nNO_PAPER: ', result.stderr)
    result = perilune('call', 'nowhere', '--trace')
    assert.matches('caller nowhere .* NOT_FOUND\nNOT_FOUND: ', result.stderr)
  end)

  it('are found by ids only', function()
    local function fails(code, pattern, ...)
      local result = perilune('trace', ...)
      assert.equal(code, result.code, result.stderr)
      assert.matches(pattern, result.stderr)
      assert.equal('', result.stdout)
    end
    fails(2, '^INVALID: ID is missing')
    fails(2, "^INVALID: unexpected argument 'b'", 'a', 'b')
    fails(2, "^INVALID: 'xyz' is no id of a trace", 'xyz')
    fails(2, "^INVALID: '%x+' is no id of a trace", ('0'):rep(33))
    fails(2, "^INVALID: 'x+%.%.%.' is no id of a trace", ('x'):rep(10000))
    fails(1, '^NOT_FOUND: no node remembers 0+\n', ('0'):rep(32))
    fails(1, '^NOT_FOUND: no node remembers 0+\n', ('0'):rep(16))
  end)
end)
