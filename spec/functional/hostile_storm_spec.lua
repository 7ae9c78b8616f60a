--- Neighbours that send frames at random, most of them nearly right. The node must outlive them, and keep nothing.

local cluster = require 'spec.support.cluster'
local stranger = require 'spec.support.stranger'
local testing = require 'perilune.testing'
local message, put = testing.wire.message, testing.wire.msgpack.put

-- luacheck: globals mesh report

local S, CALLEE = stranger, stranger.CALLEE
local ROUNDS = 100

local function server()
  mesh.action('echo', function(...) return ... end)
  mesh.action('slow', function(...)
    mesh.sleep(0.01)
    return ...
  end, { concurrency = 1, queue = 3 })
  mesh.action('stream', function()
    for i = 1, 50 do coroutine.yield(('x'):rep(i * 300)) end
    return 'done'
  end)
  mesh.action('fail', function() error { code = 'X', details = { 1, 2 } } end)
  mesh.action('json', function(...) return ... end, { serializer = 'json' })
end

--- One call or stream of the server to the stranger.
local function call_back(stream)
  local with = mesh.with { timeout = 0.2, idle = 0.2, wait = 0.1 }
  if not stream then return with.call('evil', ('a'):rep(100000)) end
  for _ in with.stream('evil', ('a'):rep(30000)) do end
end

local ACTIONS = { 'echo', 'slow', 'stream', 'fail', 'json', 'nope', '' }
local ARGUMENTS = {
  '\x90', '\x91\x05', '\x92\xa1a\xc3', '[1]', ('\x91'):rep(10) .. '\x90', '\x91\xda\x01\xf0' .. ('s'):rep(100),
}

local function senders(s, r, pick)
  local mine = 1
  local function label() return r(3) == 0 and 1 + r(8) or mine end
  local function theirs() return 2 * (1 + r(4)) end
  local function more(n) return r(n) == 0 and S.MORE or 0 end
  local function call()
    mine = mine + 2
    s:call(mine, pick(ACTIONS), {
      stream = r(2) == 0, input = r(2) == 0,
      window_items = pick { 0, 1, 5, 1000 }, window_bytes = pick { 0, 1, 10, 5000, 1 << 20 },
      timeout_ms = pick { 0, 1, 50 }, codec = r(8) == 0 and 1 or 0, body_len = r(5) == 0 and 500 or nil,
    }, pick(ARGUMENTS), { flags = more(5) })
  end
  return {
    call, call, call,
    function()
      local body = message.encode('credit', { items = r(100), bytes = r(50000) })
      s:send(S.CREDIT, body, { label = label(), flags = r(2) * CALLEE })
    end,
    function()
      local at = label()
      s:send(S.CANCEL, message.encode('cancel', { call_id = at, code = pick { 0, -9, -8 } }), { label = at })
    end,
    function()
      local flags = r(2) + r(2) * CALLEE
      s:send(S.BODY, ('b'):rep(pick { 0, 1, 100, 500, 400 }), { label = label(), flags = flags, aux = r(2) })
    end,
    function()
      local body = pick { '\x01\x90', '\x01\x90\x01\x91', '\x02\x91\x01', '\xe4\x00xx' }
      s:send(S.DATA, body, { label = theirs(), flags = CALLEE | more(4), aux = pick { 0, 1, 1, 1, 2 } })
    end,
    function()
      local body = pick { '\x01\x90', '\x02\x91\x01\x02\x91\x02', '\xe4\x00xx', '\x7f' }
      s:send(S.DATA, body, { label = label(), flags = more(4), aux = pick { 0, 1, 1, 1, 2 } })
    end,
    function() s:send(S.END, r(8) == 0 and 'x' or '', { label = label() }) end,
    function()
      local callee = r(8) > 0
      s:send(S.STOP, '', { label = callee and theirs() or label(), flags = callee and CALLEE or 0 })
    end,
    function()
      local body = pick { '\x90', '\x91\x01', '\0\0\0\x10aa', '' }
      s:send(S.RESULT, body, { label = theirs(), flags = CALLEE | more(4) })
    end,
    function()
      local fields = { code = pick { -1, -8, -14 }, outcome = r(4), message = 'm', cause = put('int', 5) }
      s:send(S.ERROR, message.encode('error', fields), { label = theirs(), flags = CALLEE })
    end,
    function() s:send(S.INFO, pick { '\x91\x05', '', 'xx' }, { label = theirs(), flags = CALLEE | more(8) }) end,
    function() s:send(S.PATH_LOST, '\x80', { label = label(), flags = r(2) * CALLEE }) end,
    function()
      local items = message.items { { kind = 'action', name = pick { 'evil', 'x' }, withdrawn = r(2) == 0 } }
      s:send(S.ADVERT, message.encode('advert', {
        version = r(20), snapshot = r(2) == 0, complete = r(2) == 0, items = items,
      }))
    end,
    function() s.net:advance(0.001 * r(5)) end,
  }
end

describe('frames at random', function()
  for seed = 1, 5 do
    it('harm nobody and leave nothing, seed ' .. seed, function()
      local net = cluster.new 'mem'
      local b = net:node('b', {}, server)
      local random = testing.base.random.new(seed)
      local function r(n) return random:below(n) end
      local function pick(list) return list[1 + r(#list)] end
      for _ = 1, ROUNDS do
        local s = stranger.greet(net, b, {
          message_max = pick { 0, 100, 5000, 1 << 20 }, body_window = pick { 0, 1, 100, 65536 },
        })
        if r(2) == 0 then s:offer { 'evil' } end
        local calls = {}
        for i = 1, r(2) * 3 do calls[i] = b:start(call_back, r(2) == 0) end
        local acts = senders(s, r, pick)
        for _ = 1, 40 do
          pick(acts)()
          if r(6) == 0 then net:advance(0.0001) end
        end
        if r(3) == 0 then net:advance(0.3) end
        s:close()
        net:advance(0.02)
        for _, call in ipairs(calls) do net:wait(function() return call:ended() end, 'a call to end') end
        net:wait(function()
          local m = net:metrics()
          return m.calls_now == 0 and m.requests_now == 0
        end, 'everything to be gone')
      end
      assert.equal(1, b:eval(function() return mesh.call('echo', 1) end))
      net:finish()
    end)
  end
end)
