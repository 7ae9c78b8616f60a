--- Streams that change hands between nodes that are no neighbours, and with a leaf.

local cluster = require 'spec.support.cluster'
local passing = require 'spec.support.passing'

-- luacheck: globals mesh report, ignore 211/guard

local producer, consumer = passing.producer, passing.consumer

cluster.describe('a stream that is passed on over relays', { 'mem', 'tcp' }, function(over)
  local net

  before_each(function() net = over.net end)

  it('finds its way back', function()
    local c = net:node('c', {}, consumer)
    local r = net:node('r', { peers = { c } }, function() mesh.action('r', function() end) end)
    local q = net:node('q', { peers = { r } }, function() mesh.action('q', function() end) end)
    local p = net:node('p', { peers = { q } }, producer)
    p:eval(function() mesh.wait 'sum' end)
    c:eval(function() mesh.wait 'count' end)
    assert.equal(500500, p:eval(function() return (select(2, mesh.call('sum', 'x', (mesh.stream('count', 1000))))) end))
    assert.equal(500500, r:eval(function() return (select(2, mesh.call('sum', 'x', (mesh.stream('count', 1000))))) end))
  end)

  it('finds its way back to a leaf', function()
    local c = net:node('c', {}, consumer)
    local r = net:node('r', { peers = { c } }, function() mesh.action('r', function() end) end)
    local p = net:node('p', { peers = { r } }, producer)
    c:eval(function() mesh.wait 'count' end)
    r:eval(function() mesh.wait 'sum' end)
    local leaf = net:launch('leaf', { peers = { p }, listen = false }, function()
      mesh.wait 'sum'
      local _, total, said = mesh.call('sum', 'x', (mesh.stream('count', 1000)))
      report(total, said)
    end)
    leaf:wait_reports(1)
    assert.same({ 500500, 'done', n = 2 }, leaf:reports()[1])
  end)

  for what, code in pairs {
    ['a leaf'] = function()
      mesh.spawn(function()
        for total in mesh.stream('totals', (mesh.stream('count', 1000))) do report(total) end
      end)
    end,
    ['a node with actions'] = function()
      mesh.action('own', function() end)
      report((select(2, mesh.call('sum', 'x', (mesh.stream('count', 1000))))))
    end,
  } do
    it('finds its way back to ' .. what .. ' that has only just come', function()
      local c = net:node('c', {}, consumer)
      c:eval(function()
        mesh.action('totals', function(s)
          local total = 0
          for n in s do total = total + n end
          coroutine.yield(total)
        end)
      end)
      local r = net:node('r', { peers = { c } }, function() mesh.action('r', function() end) end)
      local q = net:node('q', { peers = { r } }, function() mesh.action('q', function() end) end)
      local p = net:node('p', { peers = { q } }, producer)
      p:eval(function() mesh.wait 'totals' end)
      c:eval(function() mesh.wait 'count' end)
      local fresh = net:launch('fresh', { peers = { p }, listen = false }, code)
      fresh:wait_reports(1)
      assert.same({ 500500 }, fresh:reported())
    end)
  end

  local function giver()
    mesh.action('open', function()
      mesh.wait 'silent after one'
      return (mesh.stream 'silent after one')
    end)
  end

  --- The first chunk, and how it ends when the link of the giver is cut for good.
  local function lose(taker, proxy)
    local taking = taker:start(function()
      mesh.wait 'open'
      local s = mesh.call 'open'
      report(select(2, s:next()))
      return s:result()
    end)
    net:wait(function() return #taker:reports() > 0 or taking:ended() end, 'the first chunk')
    if taking:ended() then taking:wait() end
    proxy:deafen(true)
    proxy:cut()
    local e = taking:failure()
    assert.same({ 'PEER_LOST', 'unknown' }, { e.code, e.outcome })
    assert.same({ 1 }, taker:reported())
  end

  local function silent()
    mesh.action('silent after one', function()
      local guard <close> = setmetatable({}, { __close = function(_, err) report(err and err.code or 'closed') end })
      coroutine.yield(1)
      mesh.sleep(1000)
    end)
  end

  it('is lost with the node that keeps it', function()
    local p = net:node('p', { resume_window = 0.1 }, silent)
    local g = net:node('g', { peers = { p }, resume_window = 0.1 }, giver)
    local proxy = net:proxy(g)
    lose(net:node('c', { peers = { proxy:url() }, resume_window = 0.1 }), proxy)
    p:wait_reports(1)
  end)

  it('is lost with the node that keeps it behind a relay', function()
    local p = net:node('p', { resume_window = 0.1 }, silent)
    local g = net:node('g', { peers = { p }, resume_window = 0.1 }, giver)
    local proxy = net:proxy(g)
    local r = net:node('r', { peers = { proxy:url() }, resume_window = 0.1 }, function()
      mesh.action('r', function() end)
    end)
    lose(net:node('c', { peers = { r } }), proxy)
    p:wait_reports(1)
  end)

  it('is lost with its producer', function()
    local p = net:node('p', { resume_window = 0.1 }, silent)
    local proxy = net:proxy(p)
    local g = net:node('g', { peers = { proxy:url() }, resume_window = 0.1 }, giver)
    lose(net:node('c', { peers = { g } }), proxy)
  end)

  it('is finished by a node that drains', function()
    local c = net:node('c', {}, consumer)
    local g = net:node('g', { peers = { c }, drain = 5 }, producer)
    c:eval(function()
      mesh.action('pause', function(s)
        local _, first = s:next()
        report(first)
        mesh.sleep(0.1)
        local total = first
        for i in s do total = total + i end
        report(total)
      end)
    end)
    g:start(function()
      mesh.wait 'pause'
      mesh.call('pause', (mesh.stream('count', 5000)))
    end)
    c:wait_reports(1)
    g:finish(5)
    assert.same({ 1, 5000 * 5001 // 2 }, c:reported())
  end)

  it('is asked for elsewhere after it was passed on, if its producer refuses', function()
    local function busy()
      mesh.action('slot', function(...)
        coroutine.yield(mesh.self().name, mesh.context().meta.user)
        mesh.sleep(1000)
      end, { concurrency = 1, queue = 0 })
    end
    local one = net:node('one', {}, busy)
    local two = net:node('two', {}, busy)
    local c = net:node('c', {}, consumer)
    local g = net:node('g', { peers = { one, two, c } })
    c:eval(function()
      mesh.action('who', function(s)
        local _, name, user = s:next()
        return name, user
      end)
    end)
    local first = one:start(function() return mesh.with { node = 'one' }.stream('slot'):next() and mesh.sleep(1000) end)
    net:wait(function() return net:metrics().requests_started >= 1 end, 'the slot to be taken')
    assert.same({ 'two', 'me' }, { g:eval(function()
      mesh.wait 'who'
      mesh.wait 'slot'
      local function ask()
        return mesh.with { providers = { 'o' .. 'ne', 't' .. 'wo' }, meta = { user = 'm' .. 'e' } }.stream 'slot'
      end
      local asking = mesh.spawn(mesh.call, 'who', (ask()))
      collectgarbage()
      collectgarbage()
      return asking:await()
    end) })
    first:cancel()
  end)

  it('is the business of the node, not of the script that gave it', function()
    local c = net:node('c', {}, consumer)
    local g = net:node('g', { peers = { c } }, producer)
    c:eval(function() mesh.wait 'count' end)
    assert.equal(500500, g:eval(function()
      mesh.wait 'sum'
      local asking = mesh.spawn(mesh.call, 'sum', 'x', (mesh.stream('count', 1000)))
      mesh.sleep(0)
      collectgarbage()
      collectgarbage()
      return (select(2, asking:await()))
    end))
  end)
end)
