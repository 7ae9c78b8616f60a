--- runtime/base/store.h and what of runtime/wire/ belongs to it: values under keys that outlive scripts.

local testing = require 'perilune.testing'
local store, mem = testing.store, testing.base.mem

local ANY, ABSENT, KEEP, NEVER = 0, 1, 0, -1
local ENTRY = 128 -- PL_STATE_ENTRY

describe('a store', function()
  local s, live

  before_each(function()
    live = mem.live()
    s = store.new(0)
  end)

  after_each(function()
    s:free()
    assert.equal(0, mem.live() - live)
  end)

  it('keeps what was put in, under keys of any bytes', function()
    for _, key in ipairs { '', 'a', '\0', 'a\0b', ('k'):rep(1024) } do
      assert.is_true(s:change(1, key, 'value of ' .. key))
      assert.equal('value of ' .. key, (s:get(1, key)))
    end
    assert.is_nil(s:get(1, 'b'))
    assert.equal(5, (s:usage()))
  end)

  it('gives each change a version greater than all before', function()
    local seen = 1
    for _, key in ipairs { 'a', 'b', 'a', 'a', 'b' } do
      s:change(1, key, 'x')
      local _, version = s:get(1, key)
      assert.is_true(version > seen)
      seen = version
    end
  end)

  it('changes a key only if it is as expected', function()
    assert.is_true(s:change(1, 'a', '1', ABSENT))
    assert.same({ nil, 'CANCELLED' }, { s:change(1, 'a', '2', ABSENT) })
    local _, version = s:get(1, 'a')
    assert.is_true(s:change(1, 'a', '2', version))
    assert.same({ nil, 'CANCELLED' }, { s:change(1, 'a', '3', version) })
    assert.same({ nil, 'CANCELLED' }, { s:change(1, 'a', nil, version) })
    assert.equal('2', (s:get(1, 'a')))
    assert.same({ nil, 'CANCELLED' }, { s:change(1, 'b', '3', version) })
  end)

  it('takes a key that went and came back for another', function()
    s:change(1, 'a', '1')
    local _, version = s:get(1, 'a')
    s:change(1, 'a', nil)
    s:change(1, 'a', '1')
    assert.same({ nil, 'CANCELLED' }, { s:change(1, 'a', '2', version) })
  end)

  it('removes keys', function()
    s:change(1, 'a', '1')
    s:change(1, 'a', nil)
    assert.is_true(s:change(1, 'never', nil))
    assert.is_nil(s:get(1, 'a'))
    local keys, bytes = s:usage()
    assert.same({ 0, 0 }, { keys, bytes })
  end)

  it('lists its keys in the order in which they came', function()
    for _, key in ipairs { 'c', 'a', 'b', 'a' } do s:change(1, key, 'x') end
    assert.same({ 'c', 'a', 'b' }, s:keys(1))
    s:change(1, 'c', nil)
    s:change(1, 'c', 'x')
    assert.same({ 'a', 'b', 'c' }, s:keys(1))
    s:clear()
    assert.same({}, s:keys(1))
  end)

  it('goes from key to key', function()
    assert.same({ true }, { s:next(1) })
    for _, key in ipairs { 'c', 'a', 'b' } do s:change(1, key, 'x') end
    s:change(1, 'a', 'x', ANY, 5)
    assert.same({ true, 'c' }, { s:next(1) })
    assert.same({ true, 'a' }, { s:next(1, 'c') })
    assert.same({ true }, { s:next(1, 'b') })
    assert.same({ false }, { s:next(1, 'd') })
    assert.same({ true, 'b' }, { s:next(5, 'c') })
  end)

  describe('with a limit', function()
    before_each(function()
      s:free()
      s = store.new(3 * ENTRY)
    end)

    it('counts keys, values and a fixed part for each', function()
      s:change(1, 'key', 'value')
      s:change(1, 'k', 'v')
      assert.equal(2 * ENTRY + 8 + 2, (select(2, s:usage())))
      s:change(1, 'key', '')
      s:change(1, 'k', nil)
      assert.equal(ENTRY + 3, (select(2, s:usage())))
      s:clear()
      assert.equal(0, (select(2, s:usage())))
    end)

    it('refuses what does not fit, and changes nothing then', function()
      s:change(1, 'a', ('x'):rep(ENTRY))
      assert.same({ nil, 'TOO_LARGE' }, { s:change(1, 'b', ('x'):rep(ENTRY)) })
      assert.same({ nil, 'TOO_LARGE' }, { s:change(1, 'a', ('x'):rep(2 * ENTRY)) })
      assert.equal(('x'):rep(ENTRY), (s:get(1, 'a')))
      assert.is_true(s:change(1, 'a', ('x'):rep(2 * ENTRY - 1)))
      local keys, bytes, _, refused = s:usage()
      assert.same({ 1, 3 * ENTRY, 2 }, { keys, bytes, refused })
    end)

    it('takes the room of what has expired', function()
      s:change(1, 'old', ('x'):rep(ENTRY), ANY, 10)
      assert.same({ nil, 'TOO_LARGE' }, { s:change(9, 'new', ('x'):rep(ENTRY)) })
      assert.is_true(s:change(10, 'new', ('x'):rep(ENTRY)))
      assert.same({ 'new' }, s:keys(10))
    end)
  end)

  describe('with keys that expire', function()
    it('has them until their time', function()
      s:change(1, 'a', 'x', ANY, 10)
      assert.same({ 'x', 2, 10 }, { s:get(9, 'a') })
      assert.is_nil(s:get(10, 'a'))
      assert.same({}, s:keys(10))
      assert.equal(0, (s:usage()))
    end)

    it('keeps the time over a change that does not say another', function()
      s:change(1, 'a', 'x', ANY, 10)
      s:change(2, 'a', 'y', ANY, KEEP)
      assert.equal(10, (select(3, s:get(9, 'a'))))
      s:change(2, 'a', 'y', ANY, NEVER)
      assert.equal(-1, (select(3, s:get(99, 'a'))))
      s:change(3, 'b', 'y', ANY, KEEP)
      assert.equal(-1, (select(3, s:get(99, 'b'))))
    end)

    it('treats one whose time has come as absent, before it has left', function()
      for i = 1, 100 do s:change(1, 'k' .. i, 'x', ANY, 10) end
      assert.is_nil(s:get(10, 'k100'))
      assert.is_true((s:usage()) > 0)
      assert.is_true(s:change(10, 'k100', 'new', ABSENT, KEEP))
      assert.same({ 'new', -1 }, { (s:get(10, 'k100')), (select(3, s:get(10, 'k100'))) })
      for _ = 1, 10 do s:get(10, 'x') end
      assert.equal(1, (s:usage()))
    end)

    it('lets them go in the order of their times, whatever happens in between', function()
      math.randomseed(7)
      local model = {}
      for now = 1, 3000 do
        local key = 'k' .. math.random(200)
        local expires = math.random(5) == 1 and NEVER or now + math.random(300)
        local value = math.random(4) > 1 and tostring(now) or nil
        s:change(now, key, value, ANY, expires)
        model[key] = value and { value, expires == NEVER and math.huge or expires } or nil
        local probe = 'k' .. math.random(200)
        local known = model[probe]
        assert.equal(known and known[2] > now and known[1] or nil, (s:get(now, probe)))
      end
      local count = 0
      for key, known in pairs(model) do
        if known[2] > 3000 then count = count + 1 end
        assert.equal(known[2] > 3000, s:get(3000, key) ~= nil)
      end
      assert.equal(count, #s:keys(3000))
      s:change(1e9 // 1, 'last', 'x')
      for _ = 1, 100 do s:get(1e9 // 1, 'x') end
      assert.equal(#s:keys(1e9 // 1), (s:usage()))
    end)
  end)

  it('does without memory what can be done without', function()
    s:change(1, 'a', 'x')
    for n = 1, 2 do
      mem.fail_at(n)
      local ok, code = s:change(1, 'b' .. n, 'y', ANY, 5)
      mem.fail_at(0)
      assert.is_true(ok == true or code == 'NO_MEMORY')
    end
    mem.fail_at(1)
    assert.same({ nil, 'NO_MEMORY' }, { s:keys(1) })
    mem.fail_at(0)
    assert.equal('x', (s:get(1, 'a')))
  end)

  it('is used by many threads at once, and loses no change', function()
    assert.equal(4 * 500, s:count(500))
  end)
end)

describe('the file of a store', function()
  local stores = {}

  local function new(limit)
    stores[#stores + 1] = store.new(limit or 0)
    return stores[#stores]
  end

  after_each(function()
    for _, s in ipairs(stores) do s:free() end
    stores = {}
  end)

  local function filled()
    local s = new()
    s:change(100, 'name', '\xa5perla', ANY, NEVER)
    s:change(100, '', '\x01', ANY, NEVER)
    s:change(100, 'brief', '\x93\x01\x02\x03', ANY, 200)
    return s
  end

  --- The sum at the end is made right.
  local function sealed(bytes)
    local sum = 0xcbf29ce484222325
    for i = 1, #bytes do sum = (sum ~ bytes:byte(i)) * 0x100000001b3 end
    return bytes .. ('>I8'):pack(sum)
  end

  local HEAD = 'PLSTATE\1'

  it('has all keys, in order, with what is left of their time', function()
    local s = new()
    assert.is_true(s:decode(filled():encode(100, 5000), 7000, 5040))
    assert.same({ 'name', '', 'brief' }, s:keys(7000))
    assert.equal('\xa5perla', (s:get(7000, 'name')))
    assert.equal(-1, (select(3, s:get(7000, 'name'))))
    assert.equal(7060, (select(3, s:get(7000, 'brief'))))
  end)

  it('leaves out what has expired since', function()
    local s = new()
    assert.is_true(s:decode(filled():encode(100, 5000), 7000, 5100))
    assert.same({ 'name', '' }, s:keys(7000))
  end)

  it('is as it is documented', function()
    local s = new()
    s:change(1, 'k', '\x07', ANY, 11)
    local body = HEAD .. ('>I8I4I8I8'):pack(1, 1, 1, 1010) .. 'k\x07'
    assert.equal(sealed(body), s:encode(1, 1000))
    assert.equal(sealed(HEAD .. ('>I8'):pack(0)), new():encode(1, 1))
  end)

  it('is refused when anything is missing', function()
    local bytes = filled():encode(100, 5000)
    for n = 0, #bytes - 1 do
      local s = new()
      local ok, code, why = s:decode(bytes:sub(1, n), 1, 1)
      assert.is_nil(ok)
      assert.equal('PROTOCOL', code)
      assert.truthy(why:find(n < 8 and 'not written by perilune' or 'cut short', 1, true), why)
      assert.equal(0, (s:usage()))
    end
  end)

  it('is refused when any bit is another', function()
    local bytes = filled():encode(100, 5000)
    for i = 1, #bytes do
      local other = bytes:sub(1, i - 1) .. string.char(bytes:byte(i) ~ (1 << i % 8)) .. bytes:sub(i + 1)
      assert.same({ nil, 'PROTOCOL' }, { (new():decode(other, 1, 1)), (select(2, new():decode(other, 1, 1))) })
    end
  end)

  it('is refused with its fault', function()
    local never = 1 << 62
    local function entry(key, value, key_len, value_len)
      return ('>I4I8I8'):pack(key_len or #key, value_len or #value, never) .. key .. value
    end
    local function why(count, entries)
      local _, code, text = new():decode(sealed(HEAD .. ('>I8'):pack(count) .. entries), 1, 1)
      assert.equal('PROTOCOL', code)
      return text
    end
    assert.equal('is damaged: an entry is longer than the file', why(1, ''))
    assert.equal('is damaged: an entry is longer than the file', why(-1, entry('k', '\1')))
    assert.equal('is damaged: an entry is longer than the file', why(1, entry('k', '\1', 2)))
    assert.equal('is damaged: an entry is longer than the file', why(1, entry('k', '\1', nil, -1)))
    assert.equal('is damaged: an entry is longer than the file', why(1, entry(('k'):rep(1025), '\1')))
    assert.equal('is damaged: bytes follow the last entry', why(1, entry('k', '\1') .. 'x'))
    assert.equal('is damaged: it holds what is no value', why(1, entry('k', '')))
    assert.equal('is damaged: it holds what is no value', why(1, entry('k', '\xc1')))
    assert.equal('is damaged: it holds what is no value', why(1, entry('k', '\1\1')))
    assert.equal('is damaged: it holds what is no value', why(1, entry('k', ('\x91'):rep(65) .. '\1')))
    local _, code, text = new():decode(sealed('PLSTATE\2' .. ('>I8'):pack(0)), 1, 1)
    assert.same({ 'PROTOCOL', 'was written by another version of perilune' }, { code, text })
  end)

  it('is refused when the store has no room for it', function()
    local s = new(2 * ENTRY)
    assert.same({ nil, 'TOO_LARGE', 'holds more than state_limit' }, { s:decode(filled():encode(100, 5000), 1, 1) })
    assert.equal(0, (s:usage()))
    local all = new(3 * ENTRY + 50)
    local bytes = filled():encode(100, 5000)
    assert.is_true(all:decode(bytes, 1, 1))
    assert.is_true(#bytes <= store.file_max(3 * ENTRY + 50))
  end)
end)

describe('the canonical form of a value', function()
  --- As MessagePack, a map in the order of its pairs.
  local function pack(value)
    if math.type(value) == 'integer' then return ('>B i8'):pack(0xd3, value) end
    if type(value) == 'number' then return ('>B d'):pack(0xcb, value) end
    if type(value) == 'string' then return ('>B s4'):pack(0xdb, value) end
    if type(value) == 'boolean' then return value and '\xc3' or '\xc2' end
    local parts, n = {}, 0
    for key, element in pairs(value) do
      n = n + 1
      parts[n] = (value[1] == nil and pack(key) or '') .. pack(element)
    end
    return ('>B I4'):pack(value[1] == nil and 0xdf or 0xdd, n) .. table.concat(parts)
  end

  local function form(value) return assert(store.canonical(pack(value))) end

  it('does not know the order of keys', function()
    local a, b = {}, {}
    for i = 1, 50 do a['k' .. i] = { i } end
    for i = 50, 1, -1 do b['k' .. i] = { i } end
    for i = 1, 20 do b[('y'):rep(i)] = true end
    for i = 1, 20 do b[('y'):rep(i)] = nil end
    assert.equal(form(a), form(b))
    assert.equal(store.canonical '\x82\xa1a\x01\xa1b\x02', store.canonical '\x82\xa1b\x02\xa1a\x01')
    assert.equal(store.canonical '\x81\x01\x82\xa1a\x01\xa1b\x02', store.canonical '\x81\x01\x82\xa1b\x02\xa1a\x01')
  end)

  it('is the same for what is equal in Lua', function()
    assert.equal(form(1), form(1.0))
    assert.equal(form(0.0), form(-0.0))
    assert.equal(form(0 / 0), form(-(0 / 0)))
    assert.equal(form { 1, 2.0 }, form { 1.0, 2 })
    assert.equal(form { [1.5] = 2 }, form { [1.5] = 2.0 })
    assert.equal(store.canonical '\xa1x', store.canonical '\xc4\x01x')
    assert.equal(store.canonical '\x80', store.canonical '\x90')
    assert.equal(form(2 ^ 53), form(1 << 53))
  end)

  it('is another for what is not', function()
    local different = { 1, 1.5, '1', true, false, {}, { 1 }, { 2 }, { { 1 } }, { a = 1 }, { b = 1 }, { a = 1, b = 1 },
      2 ^ 63, math.mininteger, math.maxinteger, math.huge, -math.huge, '', 'a' }
    for i, a in ipairs(different) do
      for j, b in ipairs(different) do
        if i ~= j then assert.not_equal(form(a), form(b)) end
      end
    end
  end)

  it('is refused of bytes that are no value', function()
    local good = pack { a = { 1, 2, { x = 'y' } }, b = { true, 1.5 } }
    for n = 0, #good - 1 do
      assert.same({ nil, 'PROTOCOL' }, { store.canonical(good:sub(1, n)) })
    end
    assert.same({ nil, 'PROTOCOL' }, { store.canonical(good .. '\1') })
    assert.same({ nil, 'PROTOCOL' }, { store.canonical '\xc1' })
    assert.same({ nil, 'PROTOCOL' }, { store.canonical(('\x91'):rep(65) .. '\1') })
    assert.truthy(store.canonical(('\x91'):rep(64) .. '\1'))
  end)

  it('is that of a map of any size', function()
    local a, b = {}, {}
    for i = 1, 5000 do a['k' .. i] = i end
    for i = 5000, 1, -1 do b['k' .. i] = i end
    assert.equal(form(a), form(b))
  end)
end)
