local cluster = require 'spec.support.cluster'

-- luacheck: globals mesh report, ignore 211/guard 431

local function echo()
  mesh.action('msgpack', function(...) return ... end)
  mesh.action('json', function(...) return ... end, { serializer = 'json' })
  mesh.action('json chunks', function(...)
    coroutine.yield(...)
    return ...
  end, { serializer = 'json' })
  mesh.action('chunks', function(...)
    coroutine.yield(...)
    return ...
  end)
  mesh.action('kinds', function(...)
    local list = {}
    for i, v in ipairs { ... } do list[i] = math.type(v) or type(v) end
    return table.concat(list, ' ')
  end)
  mesh.action('unserializable', function(what)
    if what == 'function' then return { { cb = print } } end
    if what == 'thread' then return coroutine.create(print) end
    if what == 'cycle' then
      local t = {}
      t.t = t
      return t
    end
    if what == 'chunk' then coroutine.yield { bad = print } end
    return 'fine'
  end)
end

cluster.describe('values', cluster.kinds, function(over)
  local a

  before_each(function()
    local b = over.net:node('b', {}, echo)
    a = over.net:node('a', { peers = { b } })
    a:eval(function() mesh.wait 'unserializable' end)
  end)

  for _, codec in ipairs { 'msgpack', 'json' } do
    it('are exact in ' .. codec, function()
      local wrong = a:eval(function(action)
        local function same(x, y)
          if type(x) ~= type(y) or math.type(x) ~= math.type(y) then return false end
          if type(x) ~= 'table' then
            return x == y and (math.type(x) ~= 'float' or 1 / x == 1 / y) or (x ~= x and y ~= y)
          end
          for k, v in pairs(x) do
            if not same(v, y[k]) then return false end
          end
          for k in pairs(y) do
            if x[k] == nil then return false end
          end
          return true
        end
        local values = {
          0, 1, -1, 127, 128, 255, 256, 65535, 65536, 2 ^ 31 | 0, 2 ^ 32 | 0, 2 ^ 53 | 0, (2 ^ 53 | 0) + 1,
          -32, -33, -128, -129, -32768, -32769, -(2 ^ 31 | 0), -(2 ^ 31 | 0) - 1,
          math.maxinteger, math.mininteger, math.maxinteger - 1, math.mininteger + 1,
          0.0, -0.0, 1.0, -1.0, 0.1, 1e300, 1e-300, 2 ^ 53 + 0.0, 1e15, 123456789012345680.0, 5e-324, math.pi,
          '', 'x', ('x'):rep(31), ('x'):rep(32), ('x'):rep(255), ('x'):rep(256), ('x'):rep(65536),
          'grün 漢字 🌙', '\0', 'a\0b', '"\\/\b\f\n\r\t', true, false,
          '\xff', '\xc3\x28', 'valid \xf0\x9f\x8c\x99 then \xff', '\xed\xa0\x80', ('\xfe\0'):rep(1000),
          {}, { 1, 2, 3 }, { a = 1 }, { a = { b = { c = { 1, { d = 2 } } } } }, { { {} } }, { [''] = 1 },
          { 1.0, 1, '1' }, { ['ключ'] = 'значение' },
        }
        local wrong = {}
        for i, v in ipairs(values) do
          local r = table.pack(mesh.call(action, v))
          if r.n ~= 1 or not same(v, r[1]) then
            wrong[#wrong + 1] = ('%d: %q'):format(i, type(v) == 'table' and 'table' or v)
          end
        end
        return wrong
      end, codec)
      assert.same({}, wrong)
    end)
  end

  it('NaN and infinities travel in msgpack and are refused in json', function()
    assert.is_true(a:eval(function()
      local nan, inf, minus = mesh.call('msgpack', 0 / 0, 1 / 0, -1 / 0)
      return nan ~= nan and inf == 1 / 0 and minus == -1 / 0
    end))
    for _, expression in ipairs { '0/0', '1/0', '-1/0', '{ 1, { x = 0/0 } }' } do
      local err = a:fails('return mesh.call("json", ' .. expression .. ')')
      assert.equal('INVALID', err.code)
      assert.equal('not_sent', err.outcome)
      assert.matches('args%[1%]', err.message)
    end
  end)

  it('keep holes, nulls, and empty arrays and maps apart', function()
    for _, action in ipairs { 'msgpack', 'json' } do
      assert.same({ n = 5, nil, 1, nil, nil, nil }, table.pack(a:eval(function(name)
        return mesh.call(name, nil, 1, nil, nil, nil)
      end, action)))
    end
    assert.same({ '{}', '[]', '[null,null,null]', true, true, '[1,null,3,null]' }, { a:eval(function()
      local map, array, marked, null, inner, sparse = mesh.call('msgpack', {}, mesh.array {}, mesh.array({}, 3),
        mesh.null, { mesh.null }, mesh.array({ 1, nil, 3 }, 4))
      local json = require 'perilune.json'
      return json.encode(map), json.encode(array), json.encode(marked), null == nil, inner[1] == mesh.null,
        json.encode(sparse)
    end) })
  end)

  it('with integer keys arrive with integer keys', function()
    assert.same({ [1] = 'a', [3] = 'c' }, a:eval(function() return mesh.call('msgpack', { [1] = 'a', [3] = 'c' }) end))
    assert.same({ [-5] = 1, [2 ^ 40 | 0] = 2 }, a:eval(function()
      return mesh.call('msgpack', { [-5] = 1, [2 ^ 40 | 0] = 2 })
    end))
  end)

  it('keep integers integers and floats floats', function()
    assert.equal('integer float integer float string boolean table', a:eval(function()
      return mesh.call('kinds', 1, 1.0, -5, -0.0, 'x', true, {})
    end))
  end)

  it('forced to be bytes arrive as the same string', function()
    for _, action in ipairs { 'msgpack', 'json' } do
      assert.equal('plain text', a:eval(function(name) return mesh.call(name, mesh.bytes 'plain text') end, action))
    end
  end)

  it('that cannot travel are refused with their path', function()
    for code, path in pairs {
      ['mesh.call("msgpack", 1, { user = { cb = print } })'] = 'args%[2%]%.user%.cb',
      ['mesh.call("msgpack", coroutine.create(print))'] = 'args%[1%]',
      ['mesh.call("msgpack", io.stdout)'] = 'args%[1%]',
      ['local t = {} t.x = { t } mesh.call("msgpack", t)'] = 'args%[1%]',
      ['local t = {} for i = 1, 70 do t = { t } end mesh.call("msgpack", t)'] = 'args%[1%]',
      ['mesh.call("msgpack", { [true] = 1 })'] = 'args%[1%]',
      ['mesh.call("msgpack", { 1, 2, x = 3 })'] = 'args%[1%]',
      ['mesh.call("msgpack", { [{}] = 1 })'] = 'args%[1%]',
      ['mesh.call("json", { [1.5] = print })'] = 'args%[1%]',
      ['mesh.stream("msgpack", { x = print })'] = 'args%[1%]%.x',
      ['mesh.with { meta = { x = print } }'] = 'meta%.x',
    } do
      local err = a:fails(code)
      assert.equal('INVALID', err.code, code)
      assert.equal('not_sent', err.outcome, code)
      assert.matches(path, err.message)
    end
    assert.equal(0, over.net:metrics().calls_now)
  end)

  it('that a handler cannot send are its error', function()
    for what, path in pairs { ['function'] = 'result%[1%]%[1%]%.cb', thread = 'result%[1%]', cycle = 'result%[1%]' } do
      local err = a:fails(function(w) mesh.call('unserializable', w) end, what)
      assert.equal('INVALID', err.code)
      assert.equal('executed', err.outcome)
      assert.matches(path, err.message)
    end
    local err = a:fails(function()
      for _ in mesh.stream('unserializable', 'chunk') do end
    end)
    assert.equal('INVALID', err.code)
    assert.matches('chunk%[1%]%.bad', err.message)
    assert.equal('fine', a:eval(function() return mesh.call 'unserializable' end))
  end)

  it('stream in either codec', function()
    for _, action in ipairs { 'chunks', 'json chunks' } do
      local chunk, result = a:eval(function(name)
        local s <close> = mesh.stream(name, 1, 'zwei', { 3.5, '\xff' }, nil)
        return table.pack(s:next()), table.pack(s:result())
      end, action)
      assert.same({ n = 5, true, 1, 'zwei', { 3.5, '\xff' } }, chunk)
      assert.same({ n = 4, 1, 'zwei', { 3.5, '\xff' } }, result)
    end
  end)

  it('of many megabytes arrive whole', function()
    for _, megabytes in ipairs { 1, 5, 10 } do
      for _, action in ipairs { 'msgpack', 'json' } do
        local same = a:eval(function(name, n)
          local block = require('perilune.crypto').random(1000)
          local list = {}
          for i = 1, n * 1000 do list[i] = name == 'json' and ('%08d'):format(i):rep(75) or block end
          local text = table.concat(list)
          return mesh.with { timeout = 60 }.call(name, text) == text
        end, action, megabytes)
        assert.is_true(same)
      end
    end
  end)

  it('of large tables arrive whole', function()
    for _, action in ipairs { 'msgpack', 'json' } do
      assert.same({ 100000, 5000050000, 'last' }, { a:eval(function(name)
        local list = {}
        for i = 1, 100000 do list[i] = i end
        list[#list + 1] = 'last'
        local back = mesh.call(name, list)
        local sum = 0
        for i = 1, 100000 do sum = sum + back[i] end
        return #back - 1, sum, back[100001]
      end, action) })
    end
  end)

  it('larger than max_message are refused on either side', function()
    local c = over.net:node('c', { max_message = 100000 }, echo)
    local d = over.net:node('d', { peers = { c } })
    local err = d:fails(function() mesh.call('msgpack', ('x'):rep(200000)) end)
    assert.equal('TOO_LARGE', err.code)
    assert.equal('not_sent', err.outcome)
    c:eval(function()
      mesh.action('big', function() return ('x'):rep(200000) end)
      mesh.action('big chunk', function() coroutine.yield(('x'):rep(200000)) end)
    end)
    d:eval(function() mesh.wait 'big chunk' end)
    err = d:fails(function() mesh.call 'big' end)
    assert.equal('TOO_LARGE', err.code)
    assert.equal('executed', err.outcome)
    err = d:fails(function() for _ in mesh.stream 'big chunk' do end end)
    assert.equal('TOO_LARGE', err.code)
    a:eval(function() mesh.action('msgpack', function(...) return ... end) end)
    local e = over.net:node('e', { max_message = 100000, peers = { a } })
    err = e:fails(function() mesh.call('msgpack', ('x'):rep(200000)) end)
    assert.equal('TOO_LARGE', err.code)
    assert.equal(90000, e:eval(function() return #mesh.call('msgpack', ('x'):rep(90000)) end))
    a:eval(function() mesh.action('huge', function() return ('x'):rep(200000) end) end)
    e:eval(function() mesh.wait 'huge' end)
    err = e:fails(function() mesh.call 'huge' end)
    assert.equal('TOO_LARGE', err.code)
    assert.equal(over.net:metrics().calls_now, 0)
    assert.equal(1, e:eval(function() return mesh.call('msgpack', 1) end)) -- the link lives
  end)
end)
