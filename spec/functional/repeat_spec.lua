local cluster = require 'spec.support.cluster'
local stranger = require 'spec.support.stranger'
local testing = require 'perilune.testing'

-- luacheck: globals mesh report, ignore 211/guard

local S = stranger
local ME = ('m'):rep(16)

local function server()
  local runs = 0
  local function run(seconds, fail)
    runs = runs + 1
    local mine = runs
    report(mine)
    local guard <close> = setmetatable({}, { __close = function(_, err) report(err and err.code or 'closed') end })
    mesh.sleep(seconds)
    if fail then error { code = 'NO_LUCK' } end
    return mine
  end
  mesh.action('safe', run, { idempotent = true })
  mesh.action('narrow', run, { idempotent = true, concurrency = 1, queue = 1 })
  mesh.action('once', run)
  mesh.action('chunks', function()
    runs = runs + 1
    coroutine.yield(runs)
  end, { idempotent = true })
end

--- Arguments: seconds, whether to fail.
local function args(seconds, fail)
  local put = testing.wire.msgpack.put
  return put('array', 2) .. put('float', seconds) .. put('bool', fail or false)
end

local function result(s, label)
  local f = assert(s:receive(S.RESULT, label), 'closed without a result')
  return f.body:byte(2) -- the one number in it
end

cluster.describe('a repeated call of an idempotent action', { 'mem' }, function(over)
  local b, s

  before_each(function()
    b = over.net:node('b', {}, server)
    s = stranger.greet(over.net, b, { id = ME })
  end)

  --- The same caller on another link.
  local function again()
    s:close()
    over.net:settle()
    s = stranger.greet(over.net, b, { id = ME })
    return s
  end

  local function repeats(label, name, seconds, fail)
    s:call(label, name, { first_call_id = 1, attempt = 1 }, args(seconds, fail))
  end

  it('gets the answer of the first, which is still running', function()
    s:call(1, 'safe', { call_id = 1 }, args(0.1))
    b:wait_reports(1)
    repeats(3, 'safe', 0.1)
    repeats(5, 'safe', 0.1)
    for _, label in ipairs { 1, 3, 5 } do assert.equal(1, result(s, label)) end
    assert.same({ 1, 'closed' }, b:reported())
    assert.equal(2, over.net:metrics().requests_repeated)
  end)

  it('gets the answer of the first, which has ended', function()
    s:call(1, 'safe', { call_id = 1 }, args(0))
    assert.equal(1, result(s, 1))
    again()
    repeats(1, 'safe', 0)
    assert.equal(1, result(s, 1))
    s:call(3, 'safe', { call_id = 2 }, args(0))
    assert.equal(2, result(s, 3))
  end)

  it('gets the error of the first', function()
    s:call(1, 'safe', { call_id = 1 }, args(0, true))
    assert.equal('NO_LUCK', s:error(1).name)
    again()
    repeats(1, 'safe', 0)
    local err = s:error(1)
    assert.same({ 'NO_LUCK', 3 }, { err.name, err.outcome })
    assert.same({ 1, 'NO_LUCK' }, b:reported())
  end)

  it('adopts one whose path was lost', function()
    s:call(1, 'safe', { call_id = 1, timeout_ms = 100 }, args(0.3))
    b:wait_reports(1)
    again()
    repeats(1, 'safe', 0.3)
    assert.equal(1, result(s, 1))
    assert.same({ 1, 'closed' }, b:reported())
  end)

  it('ends with the deadline of the latest caller', function()
    s:call(1, 'safe', { call_id = 1 }, args(100))
    b:wait_reports(1)
    again()
    s:call(1, 'safe', { first_call_id = 1, attempt = 1, timeout_ms = 50 }, args(100))
    assert.equal('TIMEOUT', s:error(1).code)
    b:wait_reports(2)
    assert.equal(1, b:reported()[1])
  end)

  it('waits in the place of the first', function()
    s:call(1, 'narrow', { call_id = 7 }, args(0.05))
    s:call(3, 'narrow', { call_id = 1 }, args(0))
    b:wait_reports(1)
    repeats(5, 'narrow', 0)
    repeats(7, 'narrow', 0)
    assert.equal(1, result(s, 1))
    for _, label in ipairs { 3, 5, 7 } do assert.equal(2, result(s, label)) end
  end)

  it('may be cancelled by itself', function()
    s:call(1, 'safe', { call_id = 1 }, args(0.1))
    b:wait_reports(1)
    repeats(3, 'safe', 0.1)
    s:send(S.CANCEL, testing.wire.message.encode('cancel', { call_id = 3 }), { label = 3 })
    local err = s:error(3)
    assert.same({ 'CANCELLED', 2 }, { err.code, err.outcome })
    assert.equal(1, result(s, 1))
  end)

  it('runs if the first was refused, or is of another action or of another caller', function()
    s:call(1, 'narrow', { call_id = 5 }, args(0.05))
    s:call(3, 'narrow', { call_id = 6 }, args(0))
    s:call(5, 'narrow', { call_id = 1 }, args(0))
    assert.equal('BUSY', s:error(5).code)
    assert.equal(2, result(s, 3))
    repeats(7, 'narrow', 0)
    assert.equal(3, result(s, 7))
    repeats(9, 'safe', 0)
    assert.equal(4, result(s, 9))
    local other = stranger.greet(over.net, b)
    other:call(1, 'narrow', { first_call_id = 1 }, args(0))
    assert.equal(5, result(other, 1))
  end)

  it('runs another time when the action is not idempotent', function()
    s:call(1, 'once', { call_id = 1 }, args(0))
    assert.equal(1, result(s, 1))
    repeats(3, 'once', 0)
    assert.equal(2, result(s, 3))
  end)

  it('runs another time as a stream', function()
    for label = 1, 3, 2 do
      s:call(label, 'chunks', { call_id = 1, first_call_id = label == 3 and 1 or nil, stream = true,
        window_items = 10, window_bytes = 1000 })
      assert(s:receive(S.RESULT, label))
    end
    assert.equal(0, over.net:metrics().requests_repeated)
  end)
end)

describe('a call of an idempotent action', function()
  local net

  before_each(function() net = cluster.new 'mem' end)
  after_each(function() net:finish() end)

  it('is cancelled a second after its path was lost, when no repeat comes', function()
    local b = net:node('b', {}, server)
    local s = stranger.greet(net, b, { id = ME })
    s:call(1, 'safe', { call_id = 1 }, args(100))
    s:call(3, 'once', { call_id = 2 }, args(100))
    b:wait_reports(2)
    s:close()
    net:advance(0.1)
    assert.same({ 1, 2, 'PEER_LOST' }, b:reported())
    net:advance(0.85)
    assert.equal(3, #b:reports())
    net:advance(0.1)
    assert.same({ 1, 2, 'PEER_LOST', 'PEER_LOST' }, b:reported())
  end)

  it('is remembered for half a minute', function()
    local b = net:node('b', { heartbeat = 1000 }, server)
    local s = stranger.greet(net, b, { id = ME })
    s:call(1, 'safe', { call_id = 1 }, args(0))
    assert.equal(1, result(s, 1))
    net:advance(29)
    s:call(3, 'safe', { first_call_id = 1 }, args(0))
    assert.equal(1, result(s, 3))
    net:advance(2)
    s:call(5, 'safe', { first_call_id = 1 }, args(0))
    assert.equal(2, result(s, 5))
  end)

  it('does not hold up a stop', function()
    local b = net:node('b', {}, server)
    local s = stranger.greet(net, b, { id = ME })
    s:call(1, 'safe', { call_id = 1 }, args(100))
    b:wait_reports(1)
    s:close()
    net:advance(0.01)
    assert.equal(0, b:finish(0.05))
    assert.same({ 1, 'CANCELLED' }, b:reported())
  end)
end)
