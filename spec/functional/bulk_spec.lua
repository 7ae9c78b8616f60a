-- Big streams over several nodes: what they cost those between, and those beside them.

local cluster = require 'spec.support.cluster'
local latency = require 'spec.support.latency'
local nodes = require 'spec.support.nodes'
local process = require 'spec.support.process'

-- luacheck: globals mesh report, ignore 211/guard 211/stream 431

local MIB = 1024 * 1024
local WINDOW = 256 * 1024

local function server()
  local crypto = require 'perilune.crypto'
  mesh.action('echo', function(...) return ... end)
  mesh.action('file', function(bytes)
    local random, left, i = crypto.random(65536), bytes, 0
    local sum = crypto.sha256 and '' or nil
    while left > 0 do
      i = i + 1
      local block = (('%08d'):format(i) .. random):sub(1, math.min(left, 65536))
      left = left - #block
      sum = crypto.sha256(sum .. block)
      coroutine.yield(block)
    end
    return sum
  end)
  mesh.action('flood', function(size)
    local guard <close> = setmetatable({}, { __close = function() report 'closed' end })
    local block = ('x'):rep(size or 65536)
    while true do coroutine.yield(block) end
  end)
  mesh.action('many', function(count, size)
    local block = ('x'):rep(size)
    for _ = 1, count do coroutine.yield(block) end
    return count
  end)
end

local function relay() mesh.action('at ' .. mesh.self().name, function() return mesh.self().name end) end

--- The server, `between` relays and a caller, in a line.
local function chain(net, between, options)
  local all = { net:node('s', options and options() or {}, server) }
  for i = 1, between + 1 do
    local given = options and options() or {}
    given.peers = { all[i] }
    all[i + 1] = net:node(i == between + 1 and 'c' or 'r' .. i, given, relay)
  end
  all[#all]:eval(function() mesh.wait 'file' end)
  return all[1], all[#all], all
end

cluster.describe('a big stream', { 'mem', 'tcp' }, function(over)
  local net
  before_each(function() net = over.net end)

  for _, megabytes in ipairs(over.kind == 'mem' and { 1, 5, 10 } or { 10, cluster.factor == 1 and 100 or nil }) do
    it(('comes byte for byte over three links: %d MB'):format(megabytes), function()
      local _, c = chain(net, 2)
      local size = megabytes * 1000000
      local read, ours, theirs = c:eval(function(bytes)
        local crypto = require 'perilune.crypto'
        local stream <close> = mesh.stream('file', bytes)
        local n, sum = 0, ''
        for block in stream do
          n, sum = n + #block, crypto.sha256(sum .. block)
        end
        return n, sum, (stream:result())
      end, size)
      assert.equal(size, read)
      assert.equal(theirs, ours)
      assert.equal(0, net:metrics().relays_now)
      assert.equal(0, net:metrics().relay_bytes_now)
    end)
  end

  it('whose consumer sleeps is held by nobody, and small calls beside it go on', function()
    local s, c = chain(net, 2)
    local reader = c:start(function(seconds)
      local stream <close> = mesh.stream 'flood'
      stream:next()
      mesh.sleep(seconds)
      local n = 0
      for _ = 1, 100 do n = n + #select(2, stream:next()) end
      return n
    end, net.virtual and 5 or 1)
    net:advance(0.2)
    local sent, most, worst = net:metrics().chunks_sent, 0, 0
    for _ = 1, over.kind == 'mem' and 100 or 10 do
      worst = math.max(worst, c:eval(function()
        local before = mesh.now()
        mesh.call('echo', 1)
        return mesh.now() - before
      end))
      most = math.max(most, net:metrics().held_bytes_now)
      net:advance(0.02)
    end
    assert.equal(sent, net:metrics().chunks_sent)
    assert.is_true(sent <= 2 * WINDOW // 65536 + 1, sent)
    assert.is_true(most < 4 * MIB, most)
    assert.is_true(worst < over.net:within(0.005), worst)
    assert.equal(100 * 65536, reader:wait())
    net:wait(function() return #s:reported() == 1 end, 'the end of the producer')
  end)
end)

cluster.describe('streams that are left by break', { 'mem' }, function(over)
  it('are gone everywhere, ten thousand of them over three links', function()
    local net = over.net
    local s, c = chain(net, 2)
    c:eval(function() mesh.call('echo', 1) end)
    net:advance(1)
    local idle = net:metrics().held_bytes_now
    for _ = 1, 20 do
      c:eval(function()
        local tasks = {}
        for t = 1, 50 do
          tasks[t] = mesh.spawn(function()
            for _ = 1, 10 do
              for block in mesh.stream('flood', 1000) do
                if #block == 1000 then break end
              end
            end
          end)
        end
        mesh.all(tasks)
      end)
    end
    net:advance(1)
    assert.equal(10000, #s:reported())
    local m = net:metrics()
    assert.same({ 0, 0, 0, 0 }, { m.calls_now, m.requests_now, m.relays_now, m.relay_bytes_now })
    assert.equal(idle, m.held_bytes_now)
    assert.equal(0, m.protocol_errors + m.relays_broken)
    assert.same({}, s:eval(function() return mesh.streams() end))
  end)
end)

-- Processes, because memory and time are those of the system.

local ACTIONS = [[
mesh.action('add', function(a, b) return a + b end)
mesh.action('flood', function()
  local block = ('x'):rep(65536)
  for _ = 1, 16384 do coroutine.yield(block) end -- a gigabyte
end)
]]

local function p99(times) return latency.at_percentile(times, 99) end

describe('a gigabyte for a consumer that sleeps', function()
  it('makes no node grow, nor small calls on its links slow', function()
    local server_node = nodes.start('server', { listen = 'tcp' }, ACTIONS)
    local between = nodes.start('relay', { listen = 'tcp', peers = { server_node } }, "mesh.action('at relay', print)")
    local client = nodes.start('client', { peers = { between } })
    client:eval "mesh.wait 'flood'"
    local all = { server_node, between, client }
    client:eval "for _ = 1, 3 do local s = mesh.stream 'flood'; for _ = 1, 50 do s:next() end; s:close() end"
    local calm = p99(latency.call_times(client, 500))
    local before = {}
    for i, node in ipairs(all) do before[i] = node:rss() end
    local reader = client:begin [[
      local s <close> = mesh.stream 'flood'
      s:next()
      mesh.sleep(5)
      return (s:next())
    ]]
    process.sleep(0.3)
    local slow = p99(latency.call_times(client, 1000))
    process.sleep(1)
    for i, node in ipairs(all) do
      local growth = node:rss() - before[i]
      assert.is_true(growth < 4 * MIB or node:is_sanitized(), node.name .. ' ' .. growth)
    end
    assert.is_true(slow < 0.005 + 2 * calm, ('p99 %.2f ms, before %.2f ms'):format(slow * 1e3, calm * 1e3))
    assert.is_true(reader:wait())
  end)
end)

describe('a hundred megabytes over two relays', function()
  it('let no node on the way grow by what the path has no room for', function()
    local taker = ACTIONS .. [[
      mesh.action('take', function()
        local n = 0
        for block in mesh.input() do n = n + #block end
        return n
      end)
    ]]
    local server_node = nodes.start('server', { listen = 'tcp' }, taker)
    local far = nodes.start('far', { listen = 'tcp', peers = { server_node } }, "mesh.action('at far', print)")
    local near = nodes.start('near', { listen = 'tcp', peers = { far } }, "mesh.action('at near', print)")
    local client = nodes.start('client', { peers = { near } })
    client:eval "mesh.wait 'take'"
    local all, before = { server_node, far, near, client }, {}
    for i, node in ipairs(all) do
      node:forget_peak()
      before[i] = node:rss()
    end
    assert.equal(1600 * 65536, client:eval [[
      local n = 0
      for block in mesh.stream 'flood' do
        n = n + #block
        if n == 1600 * 65536 then break end
      end
      return n
    ]])
    assert.equal(1600 * 65536, client:eval [[
      local block, left = ('x'):rep(65536), 1600
      return mesh.with { input = function()
        left = left - 1
        return left >= 0 and block or nil
      end }.call 'take'
    ]])
    for i, node in ipairs(all) do
      local growth = node:peak_rss() - before[i]
      assert.is_true(growth < 6 * MIB or node:is_sanitized(), node.name .. ' ' .. growth)
    end
  end)
end)

describe('a bulk stream', function()
  it('lets small calls pass on its link', function()
    local server_node = nodes.start('server', { listen = 'tcp' }, ACTIONS)
    local client = nodes.start('client', { peers = { server_node } })
    client:eval "mesh.wait 'flood'"
    local sanitized = client:is_sanitized() -- the stream takes the processor from the calls
    local count = sanitized and 100 or 1000
    local calm = p99(latency.call_times(client, count))
    client:begin "while true do for _ in mesh.stream 'flood' do end end"
    process.sleep(0.2)
    local function cpu() return client:cpu() + server_node:cpu() end
    local before, tries, busy = cpu(), 0
    local bound = 2 * calm + 0.001 + 0.02 * process.patience
    repeat -- a machine that has other work holds up calls now and then
      busy, tries = p99(latency.call_times(client, count)), tries + 1
    until busy < bound or sanitized or tries == 3
    local each = (cpu() - before) / (tries * count)
    assert.is_true(busy < bound or sanitized, ('p99 %.2f ms, idle %.2f ms'):format(busy * 1e3, calm * 1e3))
    assert.is_true(each < 0.02 * process.patience, ('%.2f ms of CPU time a call'):format(each * 1e3))
  end)
end)
