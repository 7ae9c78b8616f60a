--- What is particular to single messages, and the lists in some of them.

local bodies = require 'spec.support.bodies'
local wire = require('perilune.testing').wire

local message, put = wire.message, wire.msgpack.put
local ID, NONCE, str, array, map = bodies.ID, bodies.NONCE, bodies.str, bodies.array, bodies.map

describe('a goodbye', function()
  it('allows to come again unless it says no', function()
    assert.is_true(message.decode('goodbye', map(1, put('int', 0))).allow_reconnect)
    local bytes = message.encode('goodbye', { code = 0, allow_reconnect = false })
    assert.equal(map(1, put('int', 0), 3, put('bool', false)), bytes)
    assert.is_nil(message.decode('goodbye', bytes).allow_reconnect)
  end)
end)

describe('a call', function()
  it('leaves its arguments', function()
    local head = message.encode('call', { call_id = 3, action = 'sum', timeout_ms = 10000 })
    local got, took = message.decode('call', head .. array(put('int', 1)))
    assert.equal(#head, took)
    assert.same({ call_id = 3, action = 'sum', timeout_ms = 10000 }, got)
  end)

  it('is small', function()
    local head = message.encode('call', {
      call_id = math.maxinteger, action = ('x'):rep(255), timeout_ms = math.maxinteger, window_items = math.maxinteger,
      window_bytes = math.maxinteger,
    })
    assert.is_true(#head <= 64 + 255)
    assert.equal(26, #message.encode('call', {
      call_id = 100000, action = 'sum', timeout_ms = 10000, window_items = 1024, window_bytes = 262144,
    }))
  end)
end)

describe('an error', function()
  it('of an outcome that this version does not know is of unknown outcome', function()
    assert.equal(2, message.decode('error', map(1, put('int', -1), 2, put('int', 9))).outcome)
  end)

  it('is cut between characters', function()
    local e = message.decode('error', message.encode('error', {
      code = -1, message = 'x' .. ('é'):rep(4096), name = ('n'):rep(300), traceback = ('😀'):rep(4096) .. 'x',
    }))
    assert.equal('x' .. ('é'):rep(2047), e.message)
    assert.equal(255, #e.name)
    assert.equal(('😀'):rep(2048), e.traceback)
  end)

  it('fits one frame, whatever it carries', function()
    local e = { code = -14, message = ('m'):rep(9999), name = ('n'):rep(999), action = ('a'):rep(999), node = ID }
    local function sent(with)
      local copy = {}
      for k, v in pairs(e) do copy[k] = v end
      for k, v in pairs(with) do copy[k] = v end
      local bytes = message.encode('error', copy)
      assert.is_true(#bytes <= 16384, #bytes)
      local got = message.decode('error', bytes)
      assert.equal(4096, #got.message)
      return { got.traceback ~= nil, got.details ~= nil, got.cause ~= nil }
    end
    local trace, small, big = ('t'):rep(9999), str(('d'):rep(1000)), put('bin', ('b'):rep(9000))
    assert.same({ true, true, true }, sent { traceback = trace, details = small, cause = small })
    assert.same({ false, true, true }, sent { traceback = trace, details = big, cause = small })
    assert.same({ false, true, true }, sent { traceback = trace, details = small, cause = big })
    assert.same({ false, false, true }, sent { traceback = trace, details = big, cause = big })
    assert.same({ false, false, false },
      sent { traceback = trace, details = big, cause = put('bin', ('c'):rep(20000)) })
  end)
end)

describe('a digest', function()
  it('is written and walked', function()
    local entries = { { id = ID, epoch = 1 << 50, version = 300 }, { id = NONCE, epoch = -1, version = 1 } }
    local digest = message.digest(entries)
    assert.equal(array(array(put('bin', ID), put('int', 1 << 50), put('int', 300)),
      array(put('bin', NONCE), put('uint', -1), put('int', 1))), digest)
    assert.same(entries, message.walk_digest(digest))
    assert.same({}, message.walk_digest(message.digest {}))
    assert.equal(array(put('bin', ID), put('bin', NONCE)), message.digest { ID, NONCE })
  end)

  it('may have entries with parts of a later version', function()
    local digest = array(array(put('bin', ID), put('int', 1), put('int', 2), str 'later', map()),
      array(put('bin', NONCE), put('int', 1), put('int', 2)))
    assert.equal(digest, message.decode('route', map(1, digest)).digest)
    assert.equal(2, #message.walk_digest(digest))
  end)
end)

describe('the items of an advert', function()
  local ITEMS = {
    { kind = 'action', name = 'sum', attributes = map(1, str 'x') },
    { kind = 'action', name = 'gone', withdrawn = true },
    { kind = 'node', name = '', attributes = map() },
  }

  it('are written and walked', function()
    local items = message.items(ITEMS)
    assert.equal(array(array(str 'action', str 'sum', map(1, str 'x')), array(str 'action', str 'gone', put 'nil'),
      array(str 'node', str '', map())), items)
    local got = message.walk(items)
    got[3].name = ''
    assert.same(ITEMS, got)
  end)

  it('have attributes even when none are given', function()
    assert.equal(array(array(str 'action', str 'a', map())), message.items { { kind = 'action', name = 'a' } })
  end)

  it('may be none', function()
    assert.same({}, message.walk(message.items {}))
    assert.same({}, message.walk '')
  end)

  it('may be many', function()
    local many = {}
    for i = 1, 1000 do many[i] = { kind = 'action', name = 'action' .. i, withdrawn = true } end
    local items = message.items(many)
    assert.same(many, message.walk(items))
    local bytes = message.encode('advert', { version = 1, items = items })
    assert.equal(items, message.decode('advert', bytes).items)
  end)

  it('may have parts of a later version', function()
    local items = array(array(str 'room', str 'lobby', map(), put('int', 3), array(put 'nil')),
      array(str 'action', str 'a', put 'nil'))
    local bytes = message.encode('advert', { version = 1, items = items })
    assert.equal(items, message.decode('advert', bytes).items)
    assert.same({
      { kind = 'room', name = 'lobby', attributes = map() },
      { kind = 'action', name = 'a', withdrawn = true },
    }, message.walk(items))
  end)

  it('are refused when walked unchecked and malformed', function()
    for _, bytes in ipairs { '\x91', map(), array(put('int', 1)), array(array(str 'a')) } do
      assert.same({ nil, 'PROTOCOL' }, { message.walk(bytes) })
    end
  end)
end)
