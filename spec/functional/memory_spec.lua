local cluster = require 'spec.support.cluster'
local stranger = require 'spec.support.stranger'

-- luacheck: globals mesh report streams, ignore 211/guard 431

local S = stranger
local message = require 'perilune.testing'.wire.message
local MIB = 1024 * 1024

local function server()
  mesh.action('echo', function(...) return ... end)
  mesh.action('blob', function(size) return ('x'):rep(size) end)
  mesh.action('flood', function(size)
    local guard <close> = setmetatable({}, { __close = function() report 'closed' end })
    local block = ('x'):rep(size or 1000)
    while true do coroutine.yield(block) end
  end)
end

cluster.describe('a node that is short of memory', { 'mem', 'tcp' }, function(over)
  local net
  before_each(function() net = over.net end)

  local function lines(text)
    local _, n = net:log():gsub(text, '')
    return n
  end

  --- Opens streams and reads one chunk of each, until one is refused: how many there were, and the error.
  local function open_many(node)
    return node:eval(function()
      streams = {}
      for n = 1, 1000 do
        local s = mesh.stream 'flood'
        local ok, err = pcall(s.next, s)
        if not ok then return n - 1, err end
        streams[n] = s
        mesh.sleep(0.001)
      end
    end)
  end

  it('makes windows small, then refuses streams, and takes them again when there is room', function()
    local b = net:node('b', {}, server)
    local a = net:node('a', { peers = { b }, buffer_limit = 4 * MIB })
    local n, err = open_many(a)
    assert.same({ 'BUSY', 'not_executed' }, { err.code, err.outcome })
    assert.is_true(err.retry_after > 0)
    assert.matches('short of memory', err.text)
    assert.is_true(n > 50, n)
    assert.is_true(net:metrics().memory_refused > 0)
    assert.is_true(net:metrics().held_bytes_now >= 2 * MIB)
    assert.is_true(net:metrics().held_bytes_now < 4 * MIB)
    assert.equal(1, a:eval(function() return mesh.call('echo', 1) end), 'small calls go on')
    assert.equal(1, lines 'short of memory: new work is refused')
    a:eval(function()
      for _, s in ipairs(streams) do s:close() end
    end)
    net:advance(0.3)
    assert.is_true(a:eval(function()
      local s <close> = mesh.stream 'flood'
      return (s:next())
    end))
    assert.equal(0, net:metrics().memory_ended)
  end)

  it('ends what holds the most when that is not enough, and nothing else', function()
    local b = net:node('b', {}, server)
    local a = net:node('a', { peers = { b }, buffer_limit = 4 * MIB })
    open_many(a)
    local err = a:fails(function() return #mesh.call('blob', 3000000) end)
    assert.equal('MEMORY_LIMIT', err.code)
    assert.matches('held the most', err.text)
    assert.equal(1, net:metrics().memory_ended)
    assert.equal(1, lines 'what holds the most is ended')
    assert.equal(1, a:eval(function() return mesh.call('echo', 1) end))
    assert.is_true(a:eval(function()
      for _, s in ipairs(streams) do
        if not s:next() then return false end
      end
      return true
    end), 'the streams go on')
  end)

  it('ends streams whose chunks nobody reads with an error, in the middle', function()
    local b = net:node('b', {}, server)
    local a = net:node('a', { peers = { b }, buffer_limit = 2 * MIB })
    local errors, chunks = a:eval(function()
      local list, errors = {}, {}
      for n = 1, 40 do
        list[n] = mesh.stream('flood', 200000) -- far more than a window each
        local ok, err = pcall(list[n].next, list[n])
        if not ok then errors[err.code] = (errors[err.code] or 0) + 1 end
        mesh.sleep(0.01)
      end
      mesh.sleep(0.2)
      local chunks = 0
      for _, s in ipairs(list) do
        local ok, err = pcall(s.next, s)
        if ok then
          chunks = chunks + 1
        elseif err.code ~= 'BUSY' then
          errors[err.code] = (errors[err.code] or 0) + 1
        end
        s:close()
      end
      return errors, chunks
    end)
    assert.is_true((errors.BUSY or 0) > 0)
    assert.is_true(chunks > 0)
    for code in pairs(errors) do assert.is_true(code == 'BUSY' or code == 'MEMORY_LIMIT', code) end
    net:wait(function() return net:metrics().requests_now == 0 end, 'the end of the producers')
    net:advance(0.3)
    assert.equal(0, net:metrics().held_bytes_now)
  end)

  it('refuses calls, and ends answers that nobody takes', function()
    local b = net:node('b', { buffer_limit = 4 * MIB }, server)
    local a = net:node('a', { peers = { b } })
    local s = stranger.greet(net, b)
    local calls = {}
    for i = 1, 6 do -- a megabyte each, without credit
      local head = message.encode('call', { call_id = i, action = 'blob' })
      calls[i] = S.frame(S.CALL, head .. '\x91\xce\x00\x0f\x42\x40', { label = 2 * i - 1, flags = S.NORMAL })
    end
    s:write(table.concat(calls))
    net:wait(function() return net:metrics().memory_ended > 0 end, 'an end of one')
    net:settle()
    local err = a:fails(function() mesh.with { retries = 0 }.call('echo', 1) end)
    assert.same({ 'BUSY', 'not_executed' }, { err.code, err.outcome })
    assert.is_true(err.retry_after > 0)
    local ended
    for _ = 1, 10 do
      local f = s:receive(S.ERROR)
      ended = f and f.label
      if ended then break end
    end
    assert.is_truthy(ended)
    s:close()
    net:wait(function() return net:metrics().requests_now == 0 end, 'the end of the rest')
    net:advance(0.3)
    assert.equal(1, a:eval(function() return mesh.call('echo', 1) end))
  end)

  it('without a limit counts and does no more', function()
    local b = net:node('b', {}, server)
    local a = net:node('a', { peers = { b }, buffer_limit = 0 })
    assert.equal(200, a:eval(function()
      local list = {}
      for n = 1, 200 do
        list[n] = mesh.stream('flood', 100000)
        assert(list[n]:next())
      end
      for _, s in ipairs(list) do s:close() end
      return #list
    end))
    assert.equal(0, net:metrics().memory_refused + net:metrics().memory_ended)
  end)
end)

describe('a node that is short of memory', function()
  it('ends the largest of many answers, and not the link that is busy with all of them', function()
    local net = cluster.new 'unix'
    local b = net:node('b', { buffer_limit = 4 * MIB }, server)
    local s = stranger.greet_reader(net, b)
    s.raw.paused = true
    s:call(1, 'flood', { stream = true, window_items = 1 << 20, window_bytes = 1 << 24 })
    net:wait(function() return net:metrics().held_bytes_now > 256 * 1024 end, 'a link that is full')
    local calls = {}
    for i = 1, 100 do -- 60 kB each, for which there is credit
      local head = message.encode('call', { call_id = i, action = 'blob' })
      calls[i] = S.frame(S.CALL, head .. '\x91\xcd\xea\x60', { label = 2 * i + 1, flags = S.NORMAL })
    end
    s:write(table.concat(calls))
    net:wait(function() return net:metrics().memory_ended > 0 end, 'an end of one')
    net:settle()
    assert.equal(0, net:metrics().links_cut)
    assert.is_true(net:metrics().memory_ended < 100)
    s.raw.paused = false
    assert.is_truthy(s:receive(S.RESULT))
    assert.is_truthy(s:receive(S.ERROR))
    s:close()
    net:finish()
  end)
end)
