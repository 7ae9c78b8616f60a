local testing = require 'perilune.testing'
local flow, wire, mem = testing.flow, testing.wire, testing.base.mem

local CALL, BODY, DATA, RESULT, MORE = 32, 33, 34, 36, 1

local function item(text) return wire.item.put_len(#text) .. text end

local function data(...)
  local parts = {}
  for i, text in ipairs { ... } do parts[i] = item(text) end
  return { type = DATA, aux = #parts, body = table.concat(parts) }
end

local function be32(n) return string.pack('>I4', n) end

describe('an intake', function()
  local live, in_

  local function open(items, bytes, max)
    if in_ then in_:close() end
    in_ = flow.intake(items or 1024, bytes or 262144, max or 1 << 20)
    return in_
  end

  before_each(function() live = mem.live() end)
  after_each(function()
    if in_ then in_:close() end
    in_ = nil
    assert.equal(live, mem.live())
  end)

  it('gives the items of a frame one by one', function()
    open()
    assert.equal('items', (in_:frame(data('one', '', 'three'))))
    assert.equal('items', (in_:frame(data 'four')))
    assert.same({ 4, 1020, 262144 - 11 - 5, 16, false }, { in_:info() })
    assert.equal('one', in_:next())
    assert.equal('', in_:next())
    assert.equal('three', in_:next())
    assert.equal('four', in_:next())
    assert.is_nil(in_:next())
    assert.same({ 0, 1020, 262144 - 16, 0, false }, { in_:info() })
  end)

  it('gives a body that came whole', function()
    open()
    assert.same({ 'body', RESULT, 'xyz' }, { in_:frame { type = RESULT, body = 'xyz' } })
    assert.same({ 'body', CALL, '' }, { in_:frame { type = CALL, body = '' } })
  end)

  it('puts fragments together, however they are cut', function()
    local whole = {}
    for i = 1, 500 do whole[i] = string.char(i % 256) end
    local text = table.concat(whole)
    for cut = 1, 499, 7 do
      open()
      assert.equal('nothing', (in_:frame { type = CALL, flags = MORE, total = 500, body = text:sub(1, cut) }))
      local middle = cut + (500 - cut) // 2
      if middle > cut then
        assert.equal('nothing', (in_:frame { type = BODY, flags = MORE, body = text:sub(cut + 1, middle) }))
      end
      assert.same({ 'body', CALL, text }, { in_:frame { type = BODY, body = text:sub(middle + 1) } })

      assert.equal('nothing', (in_:frame { type = RESULT, flags = MORE, body = be32(500) .. text:sub(1, cut) }))
      assert.same({ 'body', RESULT, text }, { in_:frame { type = BODY, body = text:sub(cut + 1) } })

      local long = item(text)
      assert.equal('nothing', (in_:frame { type = DATA, flags = MORE, body = long:sub(1, cut + 2) }))
      if cut < 498 then
        assert.equal('items', (in_:frame { type = BODY, aux = 1, body = long:sub(cut + 3) }))
      else
        in_:frame { type = BODY, aux = 1, body = long:sub(cut + 3) }
      end
      assert.equal(text, in_:next())
    end
  end)

  for what, frames in pairs {
    ['a continuation of nothing'] = { { type = BODY, body = 'x' } },
    ['a body that is longer than announced'] = {
      { type = CALL, flags = MORE, total = 5, body = 'abc' }, { type = BODY, body = 'def' } },
    ['a body that ends before its length'] = {
      { type = CALL, flags = MORE, total = 9, body = 'abc' }, { type = BODY, body = 'def' } },
    ['a body that goes on after its length'] = {
      { type = CALL, flags = MORE, total = 6, body = 'abc' }, { type = BODY, flags = MORE, body = 'def' } },
    ['a body that is whole but says more'] = { { type = CALL, flags = MORE, total = 3, body = 'abc' } },
    ['a result without its length'] = { { type = RESULT, flags = MORE, body = 'abc' } },
    ['another body in the middle of one'] = {
      { type = CALL, flags = MORE, total = 5, body = 'abc' }, { type = RESULT, body = 'x' } },
    ['items in the middle of one'] = {
      { type = DATA, flags = MORE, body = '\5ab' }, { type = DATA, aux = 1, body = '\1x' } },
    ['items that are cut off'] = { { type = DATA, aux = 1, body = '\5abc' } },
    ['fewer items than told'] = { { type = DATA, aux = 2, body = '\1a' } },
    ['more items than told'] = { { type = DATA, aux = 1, body = '\1a\1b' } },
    ['no items'] = { { type = DATA, aux = 0, body = '' } },
    ['a length that is not shortest'] = { { type = DATA, aux = 1, body = '\129\0a' } },
    ['a length without end'] = { { type = DATA, aux = 1, body = '\255\255\255\255\255\1' } },
    ['items that a frame of a fragment claims'] = { { type = DATA, flags = MORE, aux = 1, body = '\5ab' } },
    ['an end of an item that claims none'] = {
      { type = DATA, flags = MORE, body = '\5ab' }, { type = BODY, aux = 0, body = 'cde' } },
    ['items in the middle of a call'] = {
      { type = CALL, flags = MORE, total = 5, body = 'abc' }, { type = BODY, aux = 1, body = 'de' } },
  } do
    it('refuses ' .. what, function()
      open()
      for i, f in ipairs(frames) do
        local event, err = in_:frame(f)
        if i < #frames then
          assert.is_truthy(event)
        else
          assert.same({ n = 2, nil, 'PROTOCOL' }, { n = 2, event, err })
        end
      end
    end)
  end

  it('refuses what was not granted: items, bytes, and bytes of fragments', function()
    open(2, 100)
    assert.equal('items', (in_:frame(data('a', 'b'))))
    assert.same({ nil, 'PROTOCOL' }, { in_:frame(data 'c') })
    open(10, 10)
    assert.same({ nil, 'PROTOCOL' }, { in_:frame(data(('x'):rep(10))) })
    open(10, 10)
    assert.equal('items', (in_:frame(data(('x'):rep(9)))))
    assert.same({ nil, 'PROTOCOL' }, { in_:frame(data '') })
    open(0, 5)
    assert.equal('nothing', (in_:frame { type = CALL, flags = MORE, total = 100, body = ('x'):rep(50) }))
    assert.equal('nothing', (in_:frame { type = BODY, flags = MORE, body = ('x'):rep(5) }))
    assert.same({ nil, 'PROTOCOL' }, { in_:frame { type = BODY, flags = MORE, body = 'x' } })
    open(0, 1000)
    assert.same({ nil, 'PROTOCOL' }, { in_:frame(data 'x') })
  end)

  it('refuses what is too large on its announcement, and allocates nothing for that', function()
    open(10, 1000, 1000)
    assert.same({ nil, 'TOO_LARGE' }, { in_:frame { type = CALL, flags = MORE, total = 1001, body = 'x' } })
    assert.same({ nil, 'TOO_LARGE' }, { in_:frame { type = RESULT, flags = MORE, body = be32(1001) .. 'x' } })
    assert.same({ nil, 'TOO_LARGE' }, { in_:frame { type = RESULT, body = ('x'):rep(1001) } })
    assert.same({ nil, 'TOO_LARGE' }, { in_:frame { type = DATA, flags = MORE, body = '\255\255\255\255\15x' } })
    open(10, 1000, 1 << 40)
    assert.equal('nothing', (in_:frame { type = CALL, flags = MORE, total = 1 << 31, body = 'x' }))
    assert.is_true(mem.live() - live <= 2)
  end)

  it('grants again what the consumer has taken, in halves of the window', function()
    open(10, 1000)
    assert.is_nil(in_:grant())
    for _ = 1, 6 do in_:frame(data 'x') end
    assert.is_nil(in_:grant()) -- nothing is consumed yet
    for _ = 1, 4 do in_:next() end
    assert.is_nil(in_:grant())
    in_:next()
    assert.same({ 5, 10 }, { in_:grant() })
    assert.is_nil(in_:grant())
    assert.same({ 1, 9, 998, 2, false }, { in_:info() })
  end)

  it('grants the bytes of a body as they come, so that any length gets through', function()
    open(0, 100)
    assert.equal('nothing', (in_:frame { type = CALL, flags = MORE, total = 1000, body = ('x'):rep(10) }))
    local sent = 10
    while sent < 900 do
      assert.equal('nothing', (in_:frame { type = BODY, flags = MORE, body = ('x'):rep(50) }))
      sent = sent + 50
      local _, bytes = in_:grant()
      assert.equal(50, bytes)
    end
    assert.equal('body', (in_:frame { type = BODY, body = ('x'):rep(1000 - sent) }))
  end)

  it('grants nothing for the rest of a body that may be sent already', function()
    open(10, 100)
    local function part(n)
      assert.equal('nothing', (in_:frame { type = BODY, flags = MORE, body = ('x'):rep(n) }))
    end
    in_:frame { type = RESULT, flags = MORE, body = be32(91) .. 'x' }
    part(60)
    assert.is_nil(in_:grant()) -- 30 are left, and 40 may come
    assert.equal('body', (in_:frame { type = BODY, body = ('x'):rep(30) }))

    open(10, 100)
    in_:frame { type = CALL, flags = MORE, total = 102, body = 'x' }
    part(60)
    assert.same({ 0, 60 }, { in_:grant() })
    part(40)
    assert.is_nil(in_:grant())
    assert.equal('body', (in_:frame { type = BODY, body = 'x' }))
  end)

  it('counts a long item behind others, until it is next', function()
    open(10, 100)
    in_:frame(data(('a'):rep(29))) -- 30
    in_:frame { type = DATA, flags = MORE, body = '\200\1' .. ('b'):rep(48) } -- 50
    assert.is_nil(in_:grant())
    in_:next()
    local _, bytes = in_:grant()
    assert.equal(80, bytes)
  end)

  it('keeps items of a slab only as long as it must', function()
    open()
    local f = data('one', 'two')
    f.expected = true
    in_:frame(f)
    assert.is_true((select(5, in_:info())))
    assert.equal('one', in_:next())
    assert.is_true(in_:settle())
    assert.is_false((select(5, in_:info())))
    assert.equal('two', in_:next())
  end)

  it('fails without harm when memory is out', function()
    for n = 2, 4 do -- the first one is the harness's
      open()
      mem.fail_at(n)
      local event, err = in_:frame(data('one', 'two'))
      mem.fail_at(0)
      assert.is_true(event == 'items' or err == 'NO_MEMORY', err)
    end
    open()
    mem.fail_at(2)
    local event, err = in_:frame { type = CALL, flags = MORE, total = 100, body = 'x' }
    mem.fail_at(0)
    assert.is_true(event == 'nothing' or err == 'NO_MEMORY')
  end)
end)
