--- Nodes that share an id: one that was started again, and copies of one that lives.

local cluster = require 'spec.support.cluster'
local process = require 'spec.support.process'

-- luacheck: globals mesh

local ID = ('0a'):rep(16)

local function worker()
  mesh.action('who', function() return mesh.self().name end)
end

--- Who answers for the id, as seen from a node.
local function who(node)
  return (node:eval(function(id) return mesh.with { node = id, wait = 5, timeout = 5 }.call 'who' end, ID))
end

local function state_of(node)
  return node:eval(function(id)
    for _, n in ipairs(mesh.nodes()) do
      if n.id == id then return n.name end
    end
  end, ID)
end

cluster.describe('a node with the id of another', { 'mem', 'tcp' }, function(over)
  local first, hubs

  --- first - hub 1 - hub 2 - hub 3
  before_each(function()
    first = over.net:node('first', { id = ID }, worker)
    hubs = { over.net:node('hub 1', { peers = { first } }) }
    for i = 2, 3 do hubs[i] = over.net:node('hub ' .. i, { peers = { hubs[i - 1] } }) end
    over.net:wait(function() return state_of(hubs[3]) == 'first' end, 'the first')
  end)

  local function alone(node)
    return node:eval(function()
      local n = 0
      for _, known in ipairs(mesh.nodes()) do if known.state == 'up' then n = n + 1 end end
      return n <= 1
    end)
  end

  it('finds no place in the mesh while that lives, however far away, and gets one when it does not', function()
    local copy = over.net:node('copy', { id = ID, peers = { hubs[3] } }, worker)
    over.net:wait(function()
      return alone(copy) and over.net:log():find('this one has to leave', 1, true)
    end, 'the end of it')
    for _ = 1, 10 do
      over.net:advance(0.3)
      assert.equal('first', who(hubs[3]))
      assert.equal('first', who(hubs[1]))
    end
    assert.equal(1, (select(2, over.net:log():gsub('this one has to leave', ''))))
    assert.equal('first', state_of(hubs[3]))
    first:stop()
    over.net:wait(function() return state_of(hubs[1]) == 'copy' end, 'the copy')
    assert.equal('copy', who(hubs[1]))
  end)

  it('leaves when their meshes come together', function()
    local copy = over.net:node('copy', { id = ID }, worker)
    local island = over.net:node('island', { peers = { copy } })
    assert.equal('copy', who(island))
    island:eval(function(url) mesh.connect(url) end, hubs[3]:url())
    over.net:wait(function() return alone(copy) end, 'the end of it')
    over.net:wait(function() return state_of(island) == 'first' end, 'the first')
    assert.equal('first', who(island))
    assert.equal('first', who(hubs[3]))
  end)
end)

describe('a node that starts again with its clock set back', function()
  local function lines_of(script)
    local dir = process.temp_dir { ['app.lua'] = "local mesh = require 'perilune'\n" .. script }
    local run = process.perilune_run('run', 'app.lua', { cwd = dir })
    assert(run.code == 0, run.stdout .. run.stderr)
    return run.stdout
  end

  it('is known again within a second, at any distance and whatever end it had', function()
    assert.equal('ok\n', lines_of [[
      for _, how in ipairs { 'crash', 'power', 'stop' } do
        local net <close> = mesh.sim { nodes = { 'a', 'b', 'c', 'd' }, topology = 'line', script = function()
          mesh.action('who', function() return mesh.self().started end)
        end }
        local id = ('0b'):rep(16)
        local x = net:node('x', { peers = { net.a }, options = { id = id, reconnect_max = 0.2 }, script = function()
          mesh.action('who', function() return 'x ' .. os.time() end)
          mesh.action('only', function() return 'x ' .. os.time() end)
        end })
        local function ask(node)
          return node:eval(function() return mesh.with { wait = 20, timeout = 20 }.call 'only' end)
        end
        local before = ask(net.d)
        x:clock { wall = -3600 }
        if how == 'stop' then x:stop() else x:crash { power = how == 'power' } end
        net:advance(how == 'power' and 0.1 or 1)
        x:restart()
        net:advance(how == 'power' and 4 or 1)
        local after = ask(net.d)
        assert(after < before, how .. ': ' .. before .. ', then ' .. after)
        for _, n in ipairs(net.nodes) do assert(n:call 'only' == after) end
      end
      print 'ok'
    ]])
  end)

  it('is asked for in the mesh before another takes its place, and whoever asks may stop meanwhile', function()
    assert.equal('first\tlater\nfirst\tstopped\n', lines_of [[
      for _, stops in ipairs { false, true } do
        local net <close> = mesh.sim { nodes = { 'a', 'b', 'c' }, topology = 'line' }
        local options = { id = ('0c'):rep(16), reconnect_max = 0.2 }
        local function script() mesh.action('who', function() return mesh.self().name end) end
        local later = net:node('later', { peers = { net.a }, options = options, script = script })
        later:crash()
        net:advance(40)
        local first = net:node('first', { peers = { net.c }, options = options, script = script })
        first:clock { wall = 3600 }
        first:crash()
        first:restart() -- with the later epoch
        net:advance(1)

        later:launch()
        net:advance(1)
        local function who() return mesh.with { wait = 1, timeout = 1 }.call 'who' end
        local before = net.a:eval(who) -- which has answered
        first:crash { power = true }
        net:advance(0.5) -- nobody has noticed, and it is asked
        if stops then net.a:stop { drain = 0 } end
        net:advance(10)
        print(before, stops and 'stopped' or net.b:eval(who))
      end
    ]])
  end)
end)
