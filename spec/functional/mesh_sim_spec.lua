--- `mesh.sim`: scripts in virtual time, as users' specs have them.

local process = require 'spec.support.process'

--- Runs a script in a process of its own; what it prints, line by line.
local function lines_of(script)
  local dir = process.temp_dir { ['app.lua'] = "local mesh = require 'perilune'\n" .. script }
  local run = process.perilune_run('run', 'app.lua', { cwd = dir })
  assert(run.code == 0, run.stdout .. run.stderr)
  local lines = {}
  for line in run.stdout:gmatch '[^\n]+' do lines[#lines + 1] = line end
  return lines
end

describe('mesh.sim', function()
  it('starts nodes that call each other', function()
    assert.same({ '3', 'n1 n2 n3' }, lines_of [[
      local net <close> = mesh.sim { nodes = 3, script = function()
        mesh.action('add', function(x, y) return x + y end)
        mesh.action('who', function() return mesh.self().name end)
      end }
      print(net.n1:call('add', 1, 2))
      local seen = {}
      for _ = 1, 3 do seen[#seen + 1] = net.n1:call 'who' end
      table.sort(seen)
      print(table.concat(seen, ' '))
    ]])
  end)

  it('takes a script for each node, as text or function, and streams between them', function()
    assert.same({ '1 2 3', 'done' }, lines_of [[
      local net <close> = mesh.sim { nodes = {
        worker = "mesh.action('count', function(n) for i = 1, n do coroutine.yield(i) end return 'done' end)",
        client = true,
      } }
      print(net.client:eval(function()
        local seen, stream = {}, mesh.stream('count', 3)
        for i in stream do seen[#seen + 1] = i end
        return table.concat(seen, ' ')
      end))
      print(net.client:eval(function()
        local stream = mesh.stream('count', 0)
        for _ in stream do end
        return stream:result()
      end))
    ]])
  end)

  it('lets time stand still until it is told, and jump', function()
    assert.same({ '0', '3600' }, lines_of [[
      local net <close> = mesh.sim { nodes = 1, script = function()
        mesh.every(1, function() report(mesh.now()) end)
      end }
      local before = #net.n1:reports()
      print(#net.n1:reports() - before)
      net:advance(3600)
      print(#net.n1:reports() - before)
    ]])
  end)

  it('gives the same run for the same seed, and another for another', function()
    local lines = lines_of [[
      local function trace(seed)
        local net <close> = mesh.sim { seed = seed, nodes = 4, topology = 'ring', options = { log_level = 'debug' },
          script = function()
            mesh.action('work', function()
              mesh.sleep(math.random() / 10)
              local order = {}
              for key in pairs { z = 1, y = 2, x = 3, [2] = 4, [1] = 5, [true] = 6 } do
                order[#order + 1] = tostring(key)
              end
              return mesh.self().id, math.random(1000000), table.concat(order), os.time(), os.clock()
            end)
          end }
        local seen = {}
        for i = 1, 20 do
          local task = net.n1:start "return require('perilune').call('work')"
          if i == 5 then net:cut('n1', 'n2') end
          if i == 7 then net.n2:crash() end
          if i == 12 then net.n2:restart() end
          local values = table.pack(pcall(task.wait, task))
          for k = 1, values.n do seen[#seen + 1] = tostring(values[k]) end
        end
        for _, node in ipairs(net.nodes) do seen[#seen + 1] = node:log() end
        return table.concat(seen, '\n')
      end
      local first = trace(3)
      print(#first > 1000, first == trace(3), first == trace(4))
      print(first:match '12[xyz]+true')
    ]]
    assert.same({ 'true\ttrue\tfalse', '12xyztrue' }, lines)
  end)

  it('partitions and heals', function()
    assert.same({ 'false\tNO_ROUTE', 'n2' }, lines_of [[
      local net <close> = mesh.sim { nodes = 2, script = function()
        mesh.action('who', function() return mesh.self().name end)
      end }
      local function ask() return mesh.with { node = 'n2' }.call('who') end
      net:partition('n1', 'n2')
      net:advance(60)
      local ok, err = pcall(net.n1.eval, net.n1, ask)
      print(ok, err.code)
      net:heal()
      net:advance(5)
      print(net.n1:eval(ask))
    ]])
  end)

  it('kills a node with all it was doing, and starts it again', function()
    assert.same({ 'false\tPEER_LOST\tunknown', 'off', '1', 'true' }, lines_of [[
      local net <close> = mesh.sim { nodes = { a = true, b = function()
        mesh.action('slow', function()
          report 'began'
          local guard <close> = setmetatable({}, { __close = function() report 'ended' end })
          mesh.sleep(5)
        end)
        mesh.action('quick', function() return true end)
      end } }
      local task = net.a:start(function() return mesh.with { node = 'b' }.call('slow') end)
      net:advance(0.1)
      net.b:crash()
      local ok, err = pcall(task.wait, task)
      print(ok, err.code, err.outcome)
      print((net.b:state()))
      print(#net.b:reports()) -- what runs while it is taken down was never seen
      net.b:restart()
      net:advance(5)
      print(net.a:call 'quick')
    ]])
  end)

  it('tells who started code in a node that died that it is lost', function()
    assert.same({ 'lost', 'PEER_LOST' }, lines_of [[
      local net <close> = mesh.sim { nodes = 1 }
      local task = net.n1:start(function() mesh.sleep(100) end)
      net.n1:crash()
      print((task:state()))
      print(select(2, pcall(task.wait, task)).code)
    ]])
  end)

  it('counts CPU time in instructions', function()
    assert.same({ 'CPU_LIMIT', 'CPU_LIMIT', 'true' }, lines_of [[
      local net <close> = mesh.sim { nodes = 1, options = { cpu_limit = 0.2 }, script = function()
        mesh.action('burn', function() while true do end end)
      end }
      local times = {}
      for i = 1, 2 do
        local before = net:now()
        print(select(2, pcall(net.n1.call, net.n1, 'burn')).code)
        times[i] = net:now() - before
      end
      print(times[1] > 0.1 and math.abs(times[1] - times[2]) < 0.0015)
    ]])
  end)

  it('stops a process for a while, also in its very first moments', function()
    assert.same({ 'ready', 'true' }, lines_of [[
      local net <close> = mesh.sim { nodes = 1, script = function()
        mesh.action('here', function() return true end)
      end }
      net.n1:crash()
      net.n1:launch()
      net.n1:pause()
      net:advance(60)
      net.n1:resume()
      net:advance(1)
      print((net.n1:state()))
      print(net.n1:call 'here')
    ]])
  end)

  it('holds up what a path that is down for a moment carries, and loses nothing', function()
    assert.same({ '20', 'true' }, lines_of [[
      local net <close> = mesh.sim { nodes = { a = true, b = function()
        mesh.action('count', function()
          for i = 1, 20 do coroutine.yield(i) mesh.sleep(0.1) end
        end)
      end } }
      local task = net.a:start(function()
        local n = 0
        for i in mesh.stream 'count' do n = n + 1 assert(i == n) end
        return n
      end)
      net:advance(0.5)
      net:block('b', 'a')
      net:advance(1)
      net:heal()
      local before = net:now()
      print(task:wait())
      print(net:now() - before < 2)
    ]])
  end)

  it('cuts links, which costs nothing when both ends notice', function()
    assert.same({ '1', 'fine' }, lines_of [[
      local net <close> = mesh.sim { nodes = { a = true, b = function()
        mesh.action('slow', function() mesh.sleep(1) return 'fine' end)
      end } }
      local task = net.a:start(function() return mesh.call 'slow' end)
      net:advance(0.5)
      print(net:cut('a', 'b'))
      print(task:wait())
    ]])
  end)

  it('can leave an end without a word, which then hears it from the heartbeat', function()
    assert.same({ 'false\tPEER_LOST\ttrue' }, lines_of [[
      local net <close> = mesh.sim {
        options = { heartbeat = 1, request_timeout = 60 },
        nodes = { a = true, b = "mesh.action('slow', function() mesh.sleep(50) end)" },
      }
      local task = net.a:start(function() return mesh.call 'slow' end)
      net:advance(0.5)
      local before = net:now()
      net.b:crash { power = true }
      local ok, err = pcall(task.wait, task)
      local took = net:now() - before
      print(ok, err.code, took > 2 and took < 10)
    ]])
  end)

  it('shows that what was pending at a node that starts again fails at once', function()
    assert.same({ '1\tPEER_LOST\tunknown\ttrue', '2\tPEER_LOST\tunknown\ttrue', '2' }, lines_of [[
      local net <close> = mesh.sim { nodes = 0, options = { resume_window = 10, heartbeat = 20 } }
      local a = net:node 'a'
      local b = net:node('b', { peers = { a }, options = { id = ('b'):rep(32) }, script = function()
        mesh.action('hold', function() mesh.sleep(60) end)
        mesh.action('flow', function() coroutine.yield(1) mesh.sleep(60) end)
        mesh.action('starts', function() return 2 end)
      end })
      local hold = a:start(function() mesh.with { timeout = 0 }.call 'hold' end)
      local flow = a:start(function() for _ in mesh.stream 'flow' do end end)
      net:advance(1)
      b:crash { power = true } -- so that nobody hears of it before it is back
      net:advance(0.5)
      local before = net:now()
      b:restart()
      for i, task in ipairs { hold, flow } do
        local _, err = pcall(task.wait, task)
        print(i, err.code, err.outcome, net:now() - before < 0.1)
      end
      print(a:call 'starts')
    ]])
  end)

  it('takes everything down when it is forgotten', function()
    assert.same({ 'over' }, lines_of [[
      mesh.sim { nodes = 3, script = function() mesh.every(1, function() end) end }
      collectgarbage()
      collectgarbage()
      print 'over'
    ]])
  end)

  it('stops nodes with a drain', function()
    assert.same({ '0', 'finished' }, lines_of [[
      local net <close> = mesh.sim { nodes = { a = true, b = function()
        mesh.action('slow', function() mesh.sleep(2) return 'finished' end)
      end } }
      local task = net.a:start(function() return mesh.call 'slow' end)
      net:advance(1)
      print(net.b:stop { drain = 5 })
      print(task:wait())
    ]])
  end)

  it('makes paths slow', function()
    assert.same({ 'true', 'true' }, lines_of [[
      local net <close> = mesh.sim { nodes = 2, script = function()
        mesh.action('echo', function(...) return ... end)
      end }
      net:path('n1', 'n2', { latency = 0.2 })
      local took = net.n1:eval(function()
        local before = mesh.now()
        mesh.with { node = 'n2' }.call('echo', 1)
        return mesh.now() - before
      end)
      print(took >= 0.2 and took < 0.21)
      net:path('n1', 'n2', { bandwidth = 10000 })
      took = net.n1:eval(function()
        local before = mesh.now()
        mesh.with { node = 'n2' }.call('echo', ('x'):rep(20000))
        return mesh.now() - before
      end)
      print(took >= 2 and took < 2.1)
    ]])
  end)

  it('sets clocks', function()
    assert.same({ '100\t3600' }, lines_of [[
      local net <close> = mesh.sim { nodes = 1 }
      local function times() return mesh.now(), os.time() end
      local now, wall = net.n1:eval(times)
      net.n1:clock { leap = 100, wall = 3600 }
      local now_after, wall_after = net.n1:eval(times)
      print(math.floor(now_after - now), wall_after - wall == 3600 and 3600)
    ]])
  end)

  it('has errors of scripts as they are', function()
    assert.same({ 'OUT_OF_STOCK', 'HANDLER_ERROR', 'plain' }, lines_of [[
      local net <close> = mesh.sim { nodes = 1, script = function()
        mesh.action('fails', function() error { code = 'OUT_OF_STOCK' } end)
        mesh.action('breaks', function() error 'oops' end)
      end }
      print(select(2, pcall(net.n1.call, net.n1, 'fails')).code)
      print(select(2, pcall(net.n1.call, net.n1, 'breaks')).code)
      print(select(2, pcall(net.n1.eval, net.n1, function() error('plain', 0) end)))
    ]])
  end)

  it('says what is wrong with what it is given', function()
    local lines = lines_of [[
      local net <close> = mesh.sim { nodes = 1 }
      local outer = 1
      print(select(2, pcall(net.n1.eval, net.n1, function() return outer end)))
      print(select(2, pcall(mesh.sim, { topology = 'cube' })))
      print(select(2, pcall(mesh.sim, { nodes = 'three' })))
      print(select(2, pcall(net.cut, net, 'n1', 'n9')))
      print(select(2, pcall(net.node, net, 'n1')))
    ]]
    assert.matches("cannot use the local 'outer' around it", lines[1])
    assert.matches("no topology 'cube'", lines[2])
    assert.matches('nodes is a number, a list of names', lines[3])
    assert.matches("bad argument #2 to 'net:cut' %(a node of this net expected%)", lines[4])
    assert.matches("a node 'n1' is there already", lines[5])
  end)

  it('works in a spec of busted that perilune runs', function()
    local dir = process.temp_dir { ['app_spec.lua'] = [[
      require 'busted.runner' ()
      local mesh = require 'perilune'
      describe('a service', function()
        it('answers', function()
          local net <close> = mesh.sim { nodes = 2, script = "mesh.action('one', function() return 1 end)" }
          assert.equal(1, net.n2:call 'one')
        end)
        it('fails', function() assert.equal(1, 2) end)
      end)
    ]] }
    local run = process.perilune_run('run', 'app_spec.lua', { cwd = dir })
    assert.matches('1 success / 1 failure', run.stdout)
    assert.equal(1, run.code)
  end)
end)
