local bodies = require 'spec.support.bodies'
local testing = require 'perilune.testing'

local wire, mem = testing.wire, testing.base.mem
local message, put = wire.message, wire.msgpack.put
local ID, NONCE, str, array, map = bodies.ID, bodies.NONCE, bodies.str, bodies.array, bodies.map

local DIGEST = array(array(put('bin', ID), put('int', 1 << 50), put('int', 7)),
  array(put('bin', NONCE), put('int', 5), put('int', 0)))
local TOLD = array(array(str 'action', str 'sum', map()), array(str 'action', str 'gone', put 'nil'))
local PULL = array(put('bin', ID), put('bin', NONCE))

--- Every message with every field, and its bytes.
local FULL = {
  hello = {
    {
      id = ID, epoch = 1700000000000000, name = 'worker-1', role = 1, nonce = NONCE,
      methods = array(str 'psk'), addresses = array(str 'tcp://127.0.0.1:4100', str 'unix:///run/a'),
      features = 5, body_window = 65536, message_max = 1 << 26, heartbeat_ms = 2000,
      payload = map(1, str 'x'), resume = ('r'):rep(16), version = '0.1.0',
      compressions = array(put('int', 1)), mesh = 'default', draining = true,
    },
    map(1, put('bin', ID), 2, put('int', 1700000000000000), 3, str 'worker-1', 4, put('int', 1),
      5, put('bin', NONCE), 6, array(str 'psk'), 7, array(str 'tcp://127.0.0.1:4100', str 'unix:///run/a'),
      8, put('int', 5), 9, put('int', 65536), 10, put('int', 1 << 26), 11, put('int', 2000),
      12, map(1, str 'x'), 13, put('bin', ('r'):rep(16)), 14, str '0.1.0', 15, array(put('int', 1)),
      16, str 'default', 17, put('bool', true)),
  },
  ready = {
    { secret = ('s'):rep(16), seal = ('p'):rep(32) },
    map(1, put('bin', ('s'):rep(16)), 2, put('bin', ('p'):rep(32))),
  },
  resume = {
    { session = ID, position = 1 << 33, proof = ('p'):rep(32) },
    map(1, put('bin', ID), 2, put('int', 1 << 33), 3, put('bin', ('p'):rep(32))),
  },
  goodbye = {
    { code = -12, reason = 'too odd', allow_reconnect = true, retry_after_ms = 500, epoch = 1 << 50 },
    map(1, put('int', -12), 2, str 'too odd', 4, put('int', 500), 5, put('int', 1 << 50)),
  },
  retire = { { unkept = true }, map(1, put('bool', true)) },
  advert = {
    {
      version = 7, snapshot = true, complete = true, items = TOLD, origin = ID, epoch = 1 << 50, base = 6, gone = true,
      boot = 1 << 49, over = 1 << 48,
    },
    map(1, put('int', 7), 2, put('bool', true), 3, put('bool', true), 4, TOLD, 5, put('bin', ID),
      6, put('int', 1 << 50), 7, put('int', 6), 8, put('bool', true), 9, put('int', 1 << 49), 10, put('int', 1 << 48)),
  },
  route = {
    {
      digest = DIGEST, last = true, answer = true, pull = PULL, hash = 77, synced = true, after = ('a'):rep(16),
      rival = ID, epoch = 1 << 50, boot = 1 << 49, over = 1 << 48,
    },
    map(1, DIGEST, 2, put('bool', true), 3, put('bool', true), 4, PULL, 5, put('int', 77), 6, put('bool', true),
      7, put('bin', ('a'):rep(16)), 8, put('bin', ID), 9, put('int', 1 << 50), 10, put('int', 1 << 49),
      11, put('int', 1 << 48)),
  },
  call = {
    {
      call_id = 1 << 40, action = 'math.sum', timeout_ms = 10000, stream = true, window_items = 1024,
      window_bytes = 262144, source = ID, destination = put('bin', NONCE), hops_left = 8, priority = 1,
      attempt = 2, first_call_id = 99, trace = ('t'):rep(25), meta = map(1, str 'm'),
      identity = str 'alice', ancestors = array(put('int', 5)), codec = 1, compression = 3,
      body_len = 100000, idle_ms = 60000, input = true, exclude = array(put('bin', ID)), via = NONCE,
    },
    map(1, put('int', 1 << 40), 2, str 'math.sum', 3, put('int', 10000), 4, put('bool', true),
      5, put('int', 1024), 6, put('int', 262144), 7, put('bin', ID), 8, put('bin', NONCE), 9, put('int', 8),
      10, put('int', 1), 11, put('int', 2), 12, put('int', 99), 13, put('bin', ('t'):rep(25)),
      14, map(1, str 'm'), 15, str 'alice', 16, array(put('int', 5)), 17, put('int', 1),
      18, put('int', 3), 19, put('int', 100000), 20, put('int', 60000), 21, put('bool', true),
      22, array(put('bin', ID)), 23, put('bin', NONCE)) },
  reference = { { node = ID, token = NONCE, codec = 1, idle_ms = 60000, via = ID },
    map(1, put('bin', ID), 2, put('bin', NONCE), 3, put('int', 1), 4, put('int', 60000), 5, put('bin', ID)) },
  credit = { { items = 512, bytes = 65536 }, map(1, put('int', 512), 2, put('int', 65536)) },
  cancel = { { call_id = 7, code = -8, reason = 'too late' },
    map(1, put('int', 7), 2, put('int', -8), 3, str 'too late') },
  path_lost = { { node = ID }, map(1, put('bin', ID)) },
  error = {
    {
      code = -14, outcome = 3, message = 'boom', name = 'OUT_OF_STOCK', action = 'sum', node = ID,
      traceback = 'a:1\nb:2', cause = map(1, str 'c'), details = put('int', 1), retry_after_ms = 4294967295,
    },
    map(1, put('int', -14), 2, put('int', 3), 3, str 'boom', 4, str 'OUT_OF_STOCK', 5, str 'sum',
      6, put('bin', ID), 7, str 'a:1\nb:2', 8, map(1, str 'c'), 9, put('int', 1), 10, put('int', 4294967295)),
  },
}

--- The least that each message may be.
local LEAST = {
  hello = { { id = ID, epoch = 0, nonce = NONCE }, map(1, put('bin', ID), 2, put('int', 0), 5, put('bin', NONCE)) },
  ready = { {}, map() },
  resume = { { session = ID, proof = ('p'):rep(32) }, map(1, put('bin', ID), 3, put('bin', ('p'):rep(32))) },
  goodbye = { { code = 0, allow_reconnect = true }, map(1, put('int', 0)) },
  advert = { { version = 0 }, map(1, put('int', 0)) },
  call = { { call_id = 0, action = 'a' }, map(1, put('int', 0), 2, str 'a') },
  route = { {}, map() }, credit = { {}, map() }, retire = { {}, map() },
  reference = { { node = ID, token = ID }, map(1, put('bin', ID), 2, put('bin', ID)) },
  cancel = { { call_id = 0 }, map(1, put('int', 0)) },
  path_lost = { {}, map() },
  error = { { code = -1 }, map(1, put('int', -1)) },
}

--- Zero, false and empty are not told apart from absent.
local function without_zeros(t)
  local copy = {}
  for k, v in pairs(t) do
    if v ~= 0 and v ~= false and v ~= '' then copy[k] = v end
  end
  return copy
end

--- Fields that are any value.
local ANY_VALUE = { hello = { [12] = true }, call = { [8] = true, [15] = true },
  error = { [8] = true, [9] = true } }
setmetatable(ANY_VALUE, { __index = function() return {} end })

--- The encoded values of a map by key.
local function values_of(bytes)
  local values = {}
  local at, _, count = wire.msgpack.read(bytes)
  for _ = 1, count do
    local took, _, key = wire.msgpack.read(bytes:sub(at + 1))
    local len = wire.msgpack.skip(bytes:sub(at + took + 1))
    values[key] = bytes:sub(at + took + 1, at + took + len)
    at = at + took + len
  end
  return values
end

local function map_of(values)
  local flat = {}
  for key, value in pairs(values) do
    flat[#flat + 1] = key
    flat[#flat + 1] = value
  end
  return map(table.unpack(flat))
end

-- Calls of these keys are most of all there are, and have a way of their own through the decoder.
describe('a call of the usual keys', function()
  local MARKS = array(put('uint', -1), put('uint', 1 << 63), put('uint', 1 << 32))
  local JOURNEYS = {
    {}, { 8, 9 }, { 7, 8, 9 }, { 13 }, { 8, 9, 13 }, { 7, 8, 9, 13 },
    { 7 }, { 8 }, { 9 }, { 7, 8 }, { 7, 9 }, { 7, 13 }, { 8, 13 }, { 9, 13 }, { 7, 8, 13 },
    { 13, 16 }, { 8, 9, 13, 16 }, { 7, 8, 9, 13, 16 }, { 16 }, { 8, 9, 16 },
  }
  local fields = {
    [7] = { 'source', ID, put('bin', ID) }, [8] = { 'destination', put('bin', NONCE), put('bin', NONCE) },
    [9] = { 'hops_left', 16, put('int', 16) }, [13] = { 'trace', ('t'):rep(25), put('bin', ('t'):rep(25)) },
    [16] = { 'ancestors', MARKS, MARKS },
  }

  local function sample(keys)
    local m = { call_id = 1 << 40, action = 'sum', timeout_ms = 10000 }
    local flat = { 1, put('int', 1 << 40), 2, str 'sum', 3, put('int', 10000) }
    for _, key in ipairs(keys) do
      m[fields[key][1]] = fields[key][2]
      table.insert(flat, key)
      table.insert(flat, fields[key][3])
    end
    return m, map(table.unpack(flat))
  end

  for _, keys in ipairs(JOURNEYS) do
    it('and ' .. (#keys > 0 and table.concat(keys, ', ') or 'no other') .. ' reads back, and in no prefix', function()
      local m, bytes = sample(keys)
      assert.equal(bytes, message.encode('call', m))
      local got, took = message.decode('call', bytes .. 'arguments')
      assert.same(without_zeros(m), got)
      assert.equal(#bytes, took)
      for n = 0, #bytes - 1 do
        assert.same({ nil, 'PROTOCOL' }, { message.decode('call', bytes:sub(1, n)) })
      end
    end)
  end

  it('is written as any other', function()
    local actions = { '', 'a', 'sum', 'four', 'exactly8', ('n'):rep(255), 'n\xffo', 'gr\u{fc}n' }
    for _, action in ipairs(actions) do
      for _, number in ipairs { 1, 127, 128, 1 << 16, 1 << 40, -1 } do
        local m = { call_id = number, action = action, timeout_ms = number }
        assert.equal(message.encode('call', m), message.usual_call(number, action, number))
        m.timeout_ms = 0
        assert.equal(message.encode('call', m), message.usual_call(number, action, 0))
        m.destination, m.hops_left = put('bin', ID), 16
        assert.equal(message.encode('call', m), message.usual_call(number, action, 0, ID))
      end
    end
  end)

  it('may have a destination that is no id, but no such source', function()
    local _, bytes = sample { 7, 8, 9 }
    local other = bytes:gsub('\8\xc4\x10' .. NONCE, '\8\xc4\3abc')
    assert.equal('\xc4\3abc', (message.decode('call', other)).destination)
    other = bytes:gsub('\7\xc4\x10' .. ID, '\7\xc4\3abc')
    assert.same({ nil, 'PROTOCOL' }, { message.decode('call', other) })
  end)
end)

for name, full in pairs(FULL) do
  describe('the message ' .. name, function()
    it('is written key by key', function()
      assert.equal(full[2], message.encode(name, full[1]))
      assert.equal(LEAST[name][2], message.encode(name, LEAST[name][1]))
    end)

    it('reads back as it was', function()
      for _, case in ipairs { full, LEAST[name] } do
        local got, took = message.decode(name, case[2])
        assert.same(without_zeros(case[1]), got)
        if name == 'call' then assert.equal(#case[2], took) end
      end
    end)

    it('says so when there is no memory to write it', function()
      mem.fail_at(1)
      assert.same({ nil, 'NO_MEMORY' }, { message.encode(name, full[1]) })
    end)

    it('is refused in every proper prefix', function()
      for n = 0, #full[2] - 1 do
        assert.same({ nil, 'PROTOCOL' }, { message.decode(name, full[2]:sub(1, n)) })
      end
    end)

    it('may have keys of a later version, with any value', function()
      local later = map(1, map(2, array(put 'nil', put('float', 1.5)))):sub(2)
      local pairs_of = LEAST[name][2]:byte() & 15
      local bytes = put('map', pairs_of + 2) .. LEAST[name][2]:sub(2) .. put('int', 63) .. later:sub(2)
        .. put('int', 1 << 40) .. str 'later'
      assert.same(without_zeros(LEAST[name][1]), (message.decode(name, bytes)))
      local negative = put('map', pairs_of + 1) .. put('int', -5) .. put('bool', true) .. LEAST[name][2]:sub(2)
      assert.same(without_zeros(LEAST[name][1]), (message.decode(name, negative)))
    end)

    it('has each key once', function()
      local head, _, count = wire.msgpack.read(full[2])
      local first = full[2]:sub(head + 1)
      local _, _, key = wire.msgpack.read(first)
      local value_len = wire.msgpack.skip(first:sub(2))
      local twice = put('map', count + 1) .. put('int', key) .. first:sub(2, 1 + value_len) .. first
      assert.same({ nil, 'PROTOCOL' }, { message.decode(name, twice) })
    end)

    it('is a map with integer keys', function()
      for _, bytes in ipairs {
        '', put 'nil', array(), put('int', 1), '\x81' .. str 'a' .. put('int', 1), '\x81\xc0\xc0',
        '\x81\xcb' .. ('\0'):rep(9),
      } do
        assert.same({ nil, 'PROTOCOL' }, { message.decode(name, bytes) })
      end
    end)

    it('refuses a forged count at once', function()
      assert.same({ nil, 'PROTOCOL' }, { message.decode(name, '\xdf\xff\xff\xff\xff\1') })
      assert.same({ nil, 'PROTOCOL' }, { message.decode(name, map(62, '\xdd\x0f\xff\xff\xff')) })
    end)

    it('is refused with a value nested too deep, also under a key it skips', function()
      assert.same({ nil, 'PROTOCOL' }, { message.decode(name, map(62, ('\x91'):rep(65) .. '\xc0')) })
    end)

    if name ~= 'call' then
      it('is all of the body', function()
        assert.same({ nil, 'PROTOCOL' }, { message.decode(name, full[2] .. '\xc0') })
      end)
    end

    it('is refused when one value is of a wrong type', function()
      for key in pairs(values_of(full[2])) do
        if not ANY_VALUE[name][key] then
          for _, wrong in ipairs { put('float', 1.0), put('ext', 'abcd', 9), put 'nil' } do
            local values = values_of(full[2])
            values[key] = wrong
            assert.same({ nil, 'PROTOCOL' }, { message.decode(name, map_of(values)) })
          end
        end
      end
    end)
  end)
end

describe('a field', function()
  local function hello(...) return map(1, put('bin', ID), 2, put('int', 0), 5, put('bin', NONCE), ...) end
  local function call(...) return map(1, put('int', 1), 2, str 'a', ...) end

  for what, case in pairs {
    ['an id of 15 bytes'] = { 'path_lost', map(1, put('bin', ('x'):rep(15))) },
    ['an id of 17 bytes'] = { 'path_lost', map(1, put('bin', ('x'):rep(17))) },
    ['an id as text'] = { 'path_lost', map(1, str(ID)) },
    ['a proof of 31 bytes'] = { 'resume', map(1, put('bin', ID), 3, put('bin', ('p'):rep(31))) },
    ['an id of zeros'] = { 'path_lost', map(1, put('bin', ('\0'):rep(16))) },
    ['no id'] = { 'hello', map(2, put('int', 0), 5, put('bin', NONCE)) },
    ['no nonce'] = { 'hello', map(1, put('bin', ID), 2, put('int', 0)) },
    ['no epoch'] = { 'hello', map(1, put('bin', ID), 5, put('bin', NONCE)) },
    ['a name of 256 bytes'] = { 'hello', hello(3, str(('x'):rep(256))) },
    ['a name that is not UTF-8'] = { 'hello', hello(3, put('str', 'a\xff')) },
    ['a number as a name'] = { 'hello', hello(3, put('int', 1)) },
    ['a negative role'] = { 'hello', hello(4, put('int', -1)) },
    ['addresses that are no array'] = { 'hello', hello(7, str 'tcp://a:1') },
    ['an address that is a number'] = { 'hello', hello(7, array(put('int', 1))) },
    ['an address that is not UTF-8'] = { 'hello', hello(7, array('\xa1\xff')) },
    ['compressions in a map'] = { 'hello', hello(15, map()) },
    ['draining as a number'] = { 'hello', hello(17, put('int', 1)) },
    ['no action'] = { 'call', map(1, put('int', 1)) },
    ['no call id'] = { 'call', map(2, str 'a') },
    ['an action of 256 bytes'] = { 'call', map(1, put('int', 1), 2, str(('x'):rep(256))) },
    ['a negative timeout'] = { 'call', call(3, put('int', -1)) },
    ['a source of 15 bytes'] = { 'call', call(7, put('bin', ('x'):rep(15))) },
    ['a trace of 24 bytes'] = { 'call', call(13, put('bin', ('x'):rep(24))) },
    ['meta that is no map'] = { 'call', call(14, array()) },
    ['ancestors that are no array'] = { 'call', call(16, map()) },
    ['an ancestor that is a text'] = { 'call', call(16, array(put('int', 1), str 'a')) },
    ['an ancestor that is negative'] = { 'call', call(16, array(put('int', -1))) },
    ['an ancestor that is an array'] = { 'call', call(16, array(array())) },
    ['a malformed raw value'] = { 'call', call(8, '\xc1') },
    ['a call id over 64 bits'] = { 'cancel', map(1, put('float', 2.0 ^ 70)) },
    ['a code over 63 bits'] = { 'cancel', map(1, put('int', 1), 2, put('uint', -1)) },
    ['an error without a code'] = { 'error', map(2, put('int', 1)) },
    ['an error of code 0'] = { 'error', map(1, put('int', 0)) },
    ['an error of a positive code'] = { 'error', map(1, put('int', 1)) },
    ['an error of a code under 32 bits'] = { 'error', map(1, put('int', -2147483649)) },
    ['a retry of more than 32 bits'] = { 'error', map(1, put('int', -3), 10, put('int', 1 << 32)) },
    ['an item of two parts'] = { 'advert', map(1, put('int', 1), 4, array(array(str 'action', str 'a'))) },
    ['an item that is a map'] = { 'advert', map(1, put('int', 1), 4, array(map())) },
    ['attributes in an array'] = { 'advert', map(1, put('int', 1), 4, array(array(str 'action', str 'a', array()))) },
    ['a kind that is a number'] = { 'advert', map(1, put('int', 1), 4, array(array(put('int', 1), str 'a', map()))) },
    ['items in a map'] = { 'advert', map(1, put('int', 1), 4, map()) },
    ['an origin of 15 bytes'] = { 'advert', map(1, put('int', 1), 5, put('bin', ('x'):rep(15))) },
    ['a digest of ids'] = { 'route', map(1, array(put('bin', ID))) },
    ['a digest entry of two parts'] = { 'route', map(1, array(array(put('bin', ID), put('int', 1)))) },
    ['a digest with a short id'] =
      { 'route', map(1, array(array(put('bin', 'x'), put('int', 1), put('int', 1)))) },
    ['a digest with an id of zeros'] =
      { 'route', map(1, array(array(put('bin', ('\0'):rep(16)), put('int', 1), put('int', 1)))) },
    ['a digest with a negative version'] =
      { 'route', map(1, array(array(put('bin', ID), put('int', 1), put('int', -1)))) },
    ['a digest with an epoch that is text'] =
      { 'route', map(1, array(array(put('bin', ID), str '1', put('int', 1)))) },
    ['a digest that names a node twice'] = { 'route', map(1, array(
      array(put('bin', ID), put('int', 1), put('int', 1)), array(put('bin', ID), put('int', 1), put('int', 2)))) },
    ['a digest in another order'] = { 'route', map(1, array(
      array(put('bin', NONCE), put('int', 1), put('int', 1)), array(put('bin', ID), put('int', 1), put('int', 1)))) },
    ['a digest that begins before its beginning'] = { 'route', map(1, array(
      array(put('bin', ID), put('int', 1), put('int', 1))), 7, put('bin', ID)) },
    ['a pull of text'] = { 'route', map(4, array(str(ID))) },
    ['a pull of 17 bytes'] = { 'route', map(4, array(put('bin', ID .. 'x'))) },
  } do
    it('is refused when it is ' .. what, function()
      assert.same({ nil, 'PROTOCOL' }, { message.decode(table.unpack(case)) })
    end)
  end

  it('of 64 bits is kept whole', function()
    assert.equal(-1, message.decode('call', map(1, put('uint', -1), 2, str 'a')).call_id)
    assert.equal(map(1, put('uint', -1), 2, str 'a'), message.encode('call', { call_id = -1, action = 'a' }))
  end)

  it('that is text of any length is looked at to its last byte', function()
    for len = 0, 40 do
      local text = ('n'):rep(len)
      assert.equal(map(1, put('int', 1), 2, str(text)), message.encode('call', { call_id = 1, action = text }))
      for at = 1, len do
        local odd = text:sub(1, at - 1) .. '\xff' .. text:sub(at + 1)
        assert.equal(map(1, put('int', 1), 2, put('bin', odd)), message.encode('call', { call_id = 1, action = odd }))
      end
    end
  end)

  it('that is text but not UTF-8 travels as binary', function()
    local bytes = message.encode('call', { call_id = 1, action = 'a\xff' })
    assert.equal(map(1, put('int', 1), 2, put('bin', 'a\xff')), bytes)
    assert.equal('a\xff', message.decode('call', bytes).action)
  end)
end)
