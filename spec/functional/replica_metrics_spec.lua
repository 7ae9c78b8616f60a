--- What the admin listener tells of the replicas on worker threads.

local exposition = require 'spec.support.exposition'
local process = require 'spec.support.process'
local socket = require 'spec.support.socket'

local HEAVY = [[
local mesh = require 'perilune'
mesh.action('work', function() return mesh.self().name end)
mesh.action('blocks', function() local f <close> = assert(io.open('fifo')) return f:read('l') end)
]]

describe('the metrics of a node with replicas', function()
  local dir, at

  before_each(function()
    dir = process.temp_dir {
      ['heavy.lua'] = HEAVY,
      ['light.lua'] = "local mesh = require 'perilune'\nmesh.action('light', function() return 1 end)",
    }
    assert(os.execute("mkfifo '" .. dir .. "/fifo'"))
    local p = process.start({ process.perilune, 'run', '--name=shop', '--workers=2', '--replicas=heavy.lua=2',
      '--heartbeat=10', '--admin=unix://' .. dir .. '/admin.sock', 'light.lua', 'heavy.lua' }, { cwd = dir })
    p:wait_line '^ready '
    at = 'unix://' .. dir .. '/admin.sock'
  end)

  local function call(...)
    local run = process.perilune_run('call', ...)
    assert.equal(0, run.code, run.stderr)
    return run.stdout
  end

  local function scrape(method)
    local s = socket.connect(at)
    s:send((method or 'GET') .. ' /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n')
    local answer = s:receive_all()
    s:close()
    local body = answer:match '^HTTP/1%.1 200 .-\r\n\r\n(.*)$'
    assert(body, answer)
    assert.equal(answer:match 'Content%-Length: (%d+)', tostring(method == 'HEAD' and answer:match 'h: (%d+)' or #body))
    return body
  end

  it('are those of its own, and of each replica with its name', function()
    local calls = { ['shop/heavy-1'] = 0, ['shop/heavy-2'] = 0 }
    for _ = 1, 6 do
      local name = call('work'):match '"(.*)"'
      calls[name] = calls[name] + 1
    end
    call 'light'
    local m = exposition.parse(scrape())
    local function served(name, action, node)
      return exposition.value(m, 'perilune_action_' .. name, { action = action, ['end'] = 'provider', node = node })
    end
    assert.equal(1, served('ok_total', 'light'))
    for node, count in pairs(calls) do
      assert.equal(count, count > 0 and served('ok_total', 'work', node) or 0)
      assert.equal(count, count > 0 and served('latency_seconds_count', 'work', node) or 0)
      assert.equal(1, exposition.value(m, 'perilune_ready', { node = node }))
      assert.is_true(exposition.value(m, 'perilune_uptime_seconds', { node = node }) > 0)
    end
    assert.equal(1, exposition.value(m, 'perilune_ready'))
    assert.equal(3, #m.perilune_node_info.samples)
    assert.equal('', scrape 'HEAD')
  end)

  it('leave out a replica that does not answer, and who leaves while it waits does no harm', function()
    local blocked = process.start { process.perilune, 'call', 'blocks', '--timeout', '60' }
    local impatient = socket.connect(at)
    local names
    repeat
      names = {}
      for _, sample in ipairs(exposition.parse(scrape()).perilune_node_info.samples) do
        names[#names + 1] = sample.labels.name
      end
      impatient:send 'GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n'
      impatient:close()
      impatient = socket.connect(at)
    until #names == 2
    assert.equal('shop', names[1])
    local fifo <close> = assert(io.open(dir .. '/fifo', 'w'))
    fifo:write 'go on\n'
    fifo:close()
    assert.equal(0, (blocked:wait()), blocked:stderr())
    assert.equal(3, #exposition.parse(scrape()).perilune_node_info.samples)
  end)
end)
