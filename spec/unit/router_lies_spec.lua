--- A router among leaves, liars and losses, in virtual time.

local testing = require 'perilune.testing'
local routes = require 'spec.support.routes'

local route, message = testing.route, testing.wire.message
local id, world, line, check_tables = routes.id, routes.world, routes.line, routes.check_tables

local ADVERT, ROUTE = 7, 10

routes.describe('a router', function(over)
  local w

  --- An advert of `origin` as `fields` say, from a to b.
  local function advert(a, b, fields)
    local m = { version = 1, epoch = 1, snapshot = true, complete = true, items = '\x90' }
    for k, v in pairs(fields) do m[k] = v end
    if type(m.items) == 'table' then m.items = message.items(m.items) end
    w:inject(a, b, ADVERT, message.encode('advert', m))
    w:advance(0.01)
  end

  local function link_to(n, cost)
    return { kind = 'link', name = id(n), attributes = '\x81\xa4cost' .. string.char(cost or 1) }
  end

  it('that is a leaf knows everything and tells nothing', function()
    w = over.keep(routes.partly(4, 3))
    w:link(1, 2)
    w:link(2, 3)
    w:link(4, 1, 100, true, false)
    w:link(4, 3, 100, true, false)
    w:advance(0.1)
    assert.equal(1, (w:route(4, 1)))
    assert.equal(2, (w:route(4, 2)))
    assert.same({ 1, 3 }, w:next(4, 2))
    assert.equal(1, (w:route(1, 4)))
    assert.is_nil(w:route(2, 4))
    assert.same({ 1, 3 }, w:nodes(2))
    w:unlink(1, 2) -- the leaf is no bridge
    w:advance(0.1)
    assert.is_nil(w:route(1, 2))
    assert.equal(2, (w:route(4, 2)))
  end)

  it('that was a leaf brings together what it knows', function()
    w = over.keep(routes.partly(5, 4))
    w:link(1, 2)
    w:link(3, 4)
    w:link(5, 2, 100, true, false)
    w:link(5, 3, 100, true, false)
    w:advance(0.1)
    assert.is_nil(w:route(1, 4))
    w:join(5)
    w:advance(0.1)
    assert.equal(4, (w:route(1, 4)))
    check_tables(w, 5, { { 1, 2 }, { 2, 5 }, { 5, 3 }, { 3, 4 } })
  end)

  it('that does not relay is reached, and no way leads through it', function()
    w = over.keep(route.world(3, {}))
    for i = 1, 3 do w:start(i) end
    w:join(1)
    w:set(2, 'node', '', '\x81\xa5relay\xc2')
    w:join(2, false)
    w:join(3)
    w:link(1, 2)
    w:link(2, 3)
    w:advance(0.1)
    assert.equal(1, (w:route(1, 2)))
    assert.is_nil(w:route(1, 3))
    assert.equal(1, (w:route(2, 1)))
    assert.equal(1, (w:route(2, 3)))
    w:link(1, 3)
    w:advance(0.1)
    assert.equal(1, (w:route(1, 3)))
    w:advance(100)
    assert.equal(0, w:metrics().databases_differed)
  end)

  it('that missed a change asks for the record', function()
    local known = {}
    w = over.keep(line(3, { known = known }))
    w:mute(2, 3, true)
    w:set(1, 'action', 'missed', '\x80')
    w:advance(0.1)
    w:mute(2, 3, false)
    assert.is_nil(known['3 1'] and known['3 1']['action missed'])
    w:set(1, 'action', 'next', '\x80')
    w:advance(0.1)
    assert.same({ ['action missed'] = '\x80', ['action next'] = '\x80' }, known['3 1'])
  end)

  it('that missed the last change learns of it when the databases are compared', function()
    local known = {}
    w = over.keep(line(3, { known = known }))
    w:mute(2, 3, true)
    w:set(1, 'action', 'missed', '\x80')
    w:advance(0.1)
    w:mute(2, 3, false)
    w:advance(40)
    assert.same({ ['action missed'] = '\x80' }, known['3 1'])
    assert.equal(1, w:metrics().databases_differed)
    w:advance(100)
    assert.equal(1, w:metrics().databases_differed)
  end)

  it('does not believe in a link that its other end denies', function()
    w = over.keep(line(3))
    advert(3, 2, { origin = id(3), version = 50, items = { link_to(2), link_to(1) } })
    w:advance(0.1)
    assert.equal(2, (w:route(1, 3)))
  end)

  it('takes nothing of others from a leaf', function()
    w = over.keep(route.world(3, {}))
    for i = 1, 3 do w:start(i) end
    w:join(1)
    w:join(2)
    w:link(1, 2)
    w:link(3, 1, 100, true, false)
    w:advance(0.1)
    advert(3, 1, { origin = id(2), version = 99 })
    advert(3, 1, { origin = id(77), version = 1 })
    assert.equal(2, w:metrics().adverts_refused)
    assert.same({ 2, 3 }, w:nodes(1))
    local _, count = w:log():gsub('a neighbour told what it cannot know', '')
    assert.equal(1, count)
  end)

  it('that passes nothing on asks again for what it has forgotten', function()
    w = over.keep(routes.partly(3, 2))
    w:link(1, 2)
    w:link(3, 2, 100, true, false)
    w:advance(0.1)
    assert.equal(2, (w:route(3, 1)))
    advert(2, 3, { origin = id(1), epoch = 5, version = 9 }) -- of another start, without a link
    assert.is_nil(w:route(3, 1))
    w:advance(31)
    assert.equal(2, (w:route(3, 1)))
  end)

  it('lets nobody else make a member of a leaf', function()
    w = over.keep(routes.partly(4, 3))
    w:link(1, 2)
    w:link(1, 3)
    w:link(4, 1, 100, true, false)
    w:advance(0.1)
    advert(2, 1, { origin = id(4), version = 99, items = { link_to(1) } })
    assert.same({ 1, 2 }, w:nodes(3))
    w:join(4) -- that it says itself
    w:advance(0.1)
    assert.same({ 1, 2, 4 }, w:nodes(3))
  end)

  it('shows a node what is told of it, also where nothing is passed on', function()
    local known = {}
    w = over.keep(route.world(3, { known = known }))
    for i = 1, 3 do w:start(i) end
    for i = 1, 2 do w:join(i) end
    w:set(1, 'action', 'true', '\x80')
    w:link(1, 2)
    w:link(3, 2, 100, true, false)
    w:advance(0.1)
    local false_one = { kind = 'action', name = 'false', attributes = '\x80' }
    local lie = { origin = id(1), version = 99, items = { false_one, link_to(2) } }
    advert(2, 3, lie)
    assert.same({ ['action false'] = '\x80' }, known['3 1']) -- nobody is there who could tell
    w:link(3, 1, 100, true, false)
    w:advance(0.3)
    assert.same({ ['action true'] = '\x80' }, known['3 1'])
    lie.version = 5000
    advert(2, 3, lie)
    w:advance(0.3)
    assert.same({ ['action true'] = '\x80' }, known['3 1'])
    lie.version, lie.gone, lie.items = 6000, true, nil
    advert(2, 3, lie)
    w:advance(0.3)
    assert.same({ ['action true'] = '\x80' }, known['3 1'])
  end)

  it('believes a leaf that it is one, whatever was told before', function()
    w = over.keep(routes.partly(4, 3))
    w:link(1, 2)
    w:link(1, 3)
    w:advance(0.1)
    advert(2, 1, { origin = id(4), version = 99, items = { link_to(1), link_to(3) } })
    w:link(4, 1, 100, true, false)
    w:advance(0.1)
    assert.equal(1, (w:route(1, 4)))
    assert.is_nil(w:route(3, 4))
    w:join(4)
    w:advance(0.1)
    assert.equal(2, (w:route(3, 4)))
  end)

  it('reasserts itself when another tells its record', function()
    local known = {}
    w = over.keep(line(3, { known = known }))
    w:set(1, 'action', 'true', '\x80')
    w:advance(0.1)
    advert(3, 2, { origin = id(1), version = 1000, items = { { kind = 'action', name = 'false' }, link_to(2) } })
    w:advance(0.1)
    assert.same({ ['action true'] = '\x80' }, known['2 1'])
    assert.same({ ['action true'] = '\x80' }, known['3 1'])
    advert(3, 2, { origin = id(1), version = 5000, gone = true })
    w:advance(0.1)
    assert.equal(2, (w:route(3, 1)))
    assert.same({ ['action true'] = '\x80' }, known['3 1'])
  end)

  it('surpasses who claims to be it, and says so once', function()
    local known = {}
    w = over.keep(line(3, { known = known }))
    w:set(1, 'action', 'true', '\x80')
    for epoch = 1000, 1003 do
      local epochs = epoch * 1000000
      advert(3, 2, { origin = id(1), epoch = epochs, version = 7, items = { { kind = 'action', name = 'false' } } })
      w:advance(0.3)
      assert.is_true(w:claims(1) > epochs)
    end
    assert.same({ ['action true'] = '\x80' }, known['2 1'])
    assert.same({ ['action true'] = '\x80' }, known['3 1'])
    local _, count = w:log():gsub('this id is known with a later start', '')
    assert.equal(1, count)
    assert.equal(1, (w:route(2, 1)))
    assert.equal(0, w:metrics().ids_claimed)
  end)

  it('is not driven to the end of all epochs', function()
    w = over.keep(line(3))
    for _, epoch in ipairs { -1, math.maxinteger, 1 << 62, (1 << 62) - 1 } do
      advert(3, 2, { origin = id(1), epoch = epoch, version = 7 })
      w:inject(3, 2, ROUTE, message.encode('route', { rival = id(1), epoch = epoch }))
      w:advance(0.3)
    end
    assert.equal(1, (w:claims(1)))
    assert.equal(2, (w:route(3, 1)))
  end)

  it('is not moved by old news, in any order', function()
    local known = {}
    w = over.keep(world(3, { known = known }))
    w:link(1, 2)
    w:link(2, 3)
    local tape = w:tape()
    for i = 1, 20 do
      w:set(1, 'action', 'number ' .. i % 5, ('\x81\xa1v%c'):format(i))
      if i % 3 == 0 then w:unset(1, 'action', 'number ' .. (i + 1) % 5) end
      w:advance(0.02)
    end
    w:tape(false)
    local before = known['3 1']
    local copy = {}
    for k, v in pairs(before) do copy[k] = v end
    math.randomseed(3)
    for _ = 1, 300 do
      local f = tape[math.random(#tape)]
      if f.to == 3 then w:inject(2, 3, f.type, f.body) end
    end
    w:advance(0.1)
    assert.same(copy, known['3 1'])
    check_tables(w, 3, { { 1, 2 }, { 2, 3 } })
  end)

  it('keeps no more nodes than its bound, and still those it has a link to', function()
    w = over.keep(line(3))
    for n = 1, 11000 do
      local name = ('x'):rep(8) .. ('%08d'):format(n)
      w:inject(3, 2, ADVERT, message.encode('advert', {
        version = 1, epoch = 1, snapshot = true, complete = true, items = '\x90', origin = name,
      }))
    end
    w:advance(0.1)
    assert.equal(9999, #w:nodes(2))
    assert.is_true(w:metrics().adverts_refused >= 1000)
    local _, count = w:log():gsub('the mesh has more nodes than this one keeps', '')
    assert.is_true(count <= 3) -- one each
    check_tables(w, 3, { { 1, 2 }, { 2, 3 } })
    w:advance(40)
    assert.same({ 1, 3 }, w:nodes(2))
  end)

  it('keeps no record that is larger than its bound', function()
    w = over.keep(line(2))
    local version, big = 100, ('x'):rep(15000)
    for part = 1, 400 do
      w:inject(1, 2, ADVERT, message.encode('advert', {
        version = version, epoch = 1, snapshot = part == 1, complete = part == 400, origin = id(1),
        items = message.items { { kind = 'big', name = tostring(part), attributes = '\x81\xa1x\xda\x3a\x98' .. big } },
      }))
    end
    w:advance(0.1)
    assert.equal(1, w:metrics().adverts_refused)
    assert.equal(1, (w:route(2, 1)))
  end)

  it('refuses an item that does not fit a frame, and more items than a record holds', function()
    w = over.keep(line(2))
    assert.equal('TOO_LARGE', w:set(1, 'action', 'huge', '\x81\xa1x\xda\x40\x00' .. ('x'):rep(0x4000)))
    local attributes = '\x81\xa1x\xda\x3a\x98' .. ('x'):rep(15000)
    local n = 0
    repeat n = n + 1 until w:set(1, 'big', tostring(n), attributes)
    assert.equal('BUSY', w:set(1, 'big', 'another', attributes))
    assert.is_true(n > 250 and n < 290, n)
    w:advance(1)
    assert.equal(0, w:metrics().adverts_refused)
  end)

  it('closes the link only for what is no message', function()
    w = over.keep(line(2))
    for _, type in ipairs { ADVERT, ROUTE } do
      w:inject(1, 2, type, '\xc1')
      w:inject(1, 2, type, '')
    end
    w:advance(0.01)
    assert.equal(4, (select(3, w:sent())))
  end)
end)
