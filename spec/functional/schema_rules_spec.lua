--- What fits a schema and what does not, and which schemas there are: docs/actions.md, "Schemas".

local cluster = require 'spec.support.cluster'

-- luacheck: globals mesh report, ignore 431

cluster.describe('a schema', { 'mem' }, function(over)
  local a

  before_each(function() a = over.net:node('a') end)

  --- Calls an action with these schemas and values, both as text: 'ok', or the message of the error.
  local function tried(schemas, values)
    return a:eval(([[
      local null = mesh.null
      mesh.action('tried', function(...) return ... end, { params = { %s } })
      local ok, err = pcall(mesh.call, 'tried'%s)
      return ok and 'ok' or err.message, null
    ]]):format(schemas, values ~= '' and ', ' .. values or ''))
  end

  local CASES = {
    { "'int'", good = { '1', '-1', 'math.maxinteger', 'math.mininteger' }, bad = {
      { '1.0', 'int expected, got 1, a float' }, { "'1'", 'int expected, got string' },
      { 'nil', 'int expected, got nothing' }, { 'true', 'int expected, got true' }, { '{}', 'int expected, got table' },
      { 'null', 'int expected, got nothing' },
    } },
    { "{ type = 'int', min = 1, max = math.maxinteger }", good = { '1', 'math.maxinteger' }, bad = {
      { '0', 'int from 1 to 9223372036854775807 expected, got 0' },
      { 'math.mininteger', 'int from 1 to 9223372036854775807 expected, got -9223372036854775808' },
    } },
    { "'number'", good = { '1', '1.5', '1/0', '0/0' }, bad = { { "'1'", 'number expected, got string' } } },
    { "{ type = 'number', min = 0, max = 1.5 }", good = { '0', '0.0', '1', '1.5' }, bad = {
      { '1.6', 'number from 0 to 1.5 expected, got 1.6' }, { '-1', 'number from 0 to 1.5 expected, got -1' },
      { '0/0', 'number from 0 to 1.5 expected, got -nan' }, { '1/0', 'number from 0 to 1.5 expected, got inf' },
    } },
    { "{ type = 'number', min = 2 }", good = { '2' }, bad = { { '1', 'number of at least 2 expected, got 1' } } },
    { "'string'", good = { "''", "'text'", "'ä'", "('x'):rep(100000)" }, bad = {
      { "'\\255'", 'string expected, got bytes that are no text' }, { '5', 'string expected, got 5' },
    } },
    { "{ type = 'string', min = 2, max = 3 }", good = { "'ab'", "'abc'" }, bad = {
      { "'a'", 'string of 2 to 3 bytes expected, got 1 bytes' },
      { "'abcd'", 'string of 2 to 3 bytes expected, got 4 bytes' },
    } },
    { "{ type = 'string', pattern = '^%a+[%]%d]?$' }", good = { "'ab'", "'a1'", "'a]'" }, bad = {
      { "'1a'", "string like '^%a+[%]%d]?$' expected, got '1a'" },
      { "'a\\n\\27['", "string like '^%a+[%]%d]?$' expected, got 'a??['" },
      { "('1'):rep(100)", "string like '^%a+[%]%d]?$' expected, got '" .. ('1'):rep(40) .. "…'" },
    } },
    { "{ type = 'bytes', max = 4, pattern = 'b' }", good = { "'abc'", "'\\255b'", "mesh.bytes 'b'" }, bad = {
      { "'ac'", "bytes of at most 4 bytes like 'b' expected, got 'ac'" },
      { "mesh.bytes 'abcde'", "bytes of at most 4 bytes like 'b' expected, got 5 bytes" },
    } },
    { "'boolean'", good = { 'true', 'false' }, bad = { { '0', 'boolean expected, got 0' } } },
    { "'table'", good = { '{}', '{ 1 }', '{ a = {} }' }, bad = { { "'{}'", 'table expected, got string' } } },
    { "'any'", good = { '1', '{}', 'false', "'x'", '{ null }' }, bad = { { 'nil', 'a value expected, got nothing' } } },
    { "'?any'", good = { '1', 'nil', 'null', '' } },
    { "'?int'", good = { '1', 'nil', 'null' }, bad = { { "'x'", 'int expected, got string' } } },
    { "{ list = 'int' }", good = { '{}', '{ 1, 2 }', 'mesh.array {}', '{ [2] = 2, [1] = 1 }' }, bad = {
      { '{ a = 1 }', 'list expected, got table with other keys than 1 to n' },
      { "{ 1, 'x' }", '[2]: int expected, got string' }, { '{ 1, null }', '[2]: int expected, got null' },
      { 'mesh.array({ 1 }, 3)', '[2]: int expected, got null' }, { '5', 'list expected, got 5' },
    } },
    { "{ list = '?int', min = 1, max = 3 }", good = { '{ 1 }', '{ 1, null, 3 }', 'mesh.array({}, 3)' }, bad = {
      { '{}', 'list of 1 to 3 values expected, got 0' }, { '{ 1, 2, 3, 4 }', 'list of 1 to 3 values expected, got 4' },
    } },
    { "{ enum = { 'a', 1, true, 2.5 } }", good = { "'a'", '1', '1.0', 'true', '2.5' }, bad = {
      { "'b'", "one of 'a', 1, true, 2.5 expected, got 'b'" },
      { 'false', "one of 'a', 1, true, 2.5 expected, got false" },
      { '{}', "one of 'a', 1, true, 2.5 expected, got table" },
    } },
    { "{ a = 'int', b = '?string', c = { d = { list = { e = 'boolean' } } } }",
      good = { '{ a = 1, c = { d = {} } }', "{ a = 1, b = 'x', c = { d = { { e = true } } } }" }, bad = {
        { '{ a = 1 }', '.c: table of fields expected, got nothing' }, { '{}', '.a: int expected, got nothing' },
        { '{ a = 1, c = { d = { { e = true }, { e = 1 } } } }', '.c.d[2].e: boolean expected, got 1' },
        { '{ a = 1, c = { d = {} }, e = 1 }', '.e: no such field' },
        { '{ a = 1, c = { dd = {} } }', '.c.dd: no such field' },
        { '{ 1, 2 }', '[1]: no such field' }, { '5', 'table of fields expected, got 5' },
      } },
    { "{ fields = { type = 'string' } }", good = { "{ type = 'x' }" }, bad = {
      { '{}', '.type: string expected, got nothing' },
    } },
    { "{ amount = '?int', total = '?int' }", bad = {
      { '{ amuont = 1 }', ".amuont: no such field; did you mean 'amount'?" }, { '{ xyz = 1 }', '.xyz: no such field' },
    } },
    { "{ fields = { a = 'int' }, extra = true }", good = { '{ a = 1, b = {}, c = null }' }, bad = {
      { "{ a = 'x' }", '.a: int expected, got string' } } },
    { "{ fields = {}, extra = 'number' }", good = { '{}', '{ x = 1 }', '{ 1, 2 }', '{ [2.5] = 1 }' }, bad = {
      { "{ x = 'y' }", '.x: number expected, got string' } } },
    { "'string', 'int...'", good = { "'x'", "'x', 1", "'x', 1, 2, 3", "'x', nil, nil" }, bad = {
      { "'x', 1, 'y'", 'args[3]: int expected, got string' }, { "'x', nil, 2", 'args[2]: int expected, got nothing' },
    } },
    { "'int', '?int'", good = { '1', '1, 2', '1, nil', '1, nil, nil' }, bad = {
      { '1, 2, 3', 'args: at most 2 expected, got 3' }, { '1, nil, false', 'args: at most 2 expected, got 3' },
    } },
    { '', good = { '' }, bad = { { '1', 'args: at most 0 expected, got 1' } } },
  }

  it('fits what it says, and nothing else', function()
    for _, case in ipairs(CASES) do
      for _, value in ipairs(case.good or {}) do
        assert.equal('ok', tried(case[1], value), case[1] .. ' of ' .. value)
      end
      for _, bad in ipairs(case.bad or {}) do
        local expected = bad[2]
        if expected:find '^[%.%[]' then expected = 'args[1]' .. expected end
        if not expected:find '^args' then expected = 'args[1]: ' .. expected end
        assert.equal(expected, (tried(case[1], bad[1]):gsub('got %-?nan', 'got -nan')), case[1] .. ' of ' .. bad[1])
      end
    end
  end)

  it('tells the same of the same values: unknown fields first, fields by name, the rest in order', function()
    for _ = 1, 20 do
      assert.same({ 'args[1].k1: no such field', 'args[1].k1: no such field',
        'args[1].b[2]: int expected, got true', 'args[1].x1: int expected, got true' }, { a:eval(function()
        local function try(schema, value)
          mesh.action('tried', function() end, { params = { schema, 'int' } })
          local _, err = pcall(mesh.call, 'tried', value, 'x')
          return err.message
        end
        local wrong = { z = 1, y = 'x', b = {} }
        for i = 1, 30 do wrong['k' .. i] = i end
        local unknown, values = { a = 1 }, {}
        for i = 1, 30 do unknown['k' .. i] = i end
        for i = 1, 30 do values['x' .. i] = true end
        return try({ a = 'int', b = '?int', z = 'string' }, wrong), try({ a = 'int' }, unknown),
          try({ b = { list = 'int' }, c = 'int' }, { b = { 1, true, 'x' } }),
          try({ fields = {}, extra = 'int' }, values)
      end) })
    end
  end)

  it('is checked in results by what will travel', function()
    assert.same({ 'ok', 'ok', 'result[1]: string expected, got bytes that are no text', 'ok',
      'result[1][2]: int expected, got nothing' }, { a:eval(function()
      mesh.state.list = { 1, 2, { x = 1 } }
      local function try(schema, value)
        mesh.action('tried', function() return load('return ' .. value, 'v', 't', { mesh = mesh })() end,
          { returns = { schema } })
        local ok, err = pcall(mesh.call, 'tried')
        return ok and 'ok' or err.message
      end
      return try({ list = 'any' }, 'mesh.state.list'), try('bytes', 'mesh.bytes "x"'), try('string', 'mesh.bytes "x"'),
        try({ fields = { x = 'int' } }, 'mesh.state.list[3]'), try({ list = 'int' }, 'mesh.array({ 1 }, 2)')
    end) })
  end)

  it('lets streams pass as any value', function()
    assert.same({ 1, 'args[1]: table expected, got userdata' }, { a:eval(function()
      mesh.action('count', function() coroutine.yield(1) end)
      mesh.action('takes', function(s) return (select(2, s:next())) end, { params = { 'any' } })
      mesh.action('refuses', function() end, { params = { 'table' } })
      local ok, err = pcall(mesh.call, 'refuses', (mesh.stream 'count'))
      return mesh.call('takes', (mesh.stream 'count')), not ok and err.message
    end) })
  end)

  it('does not let a pattern take long', function()
    local message, took = a:eval(function()
      local pattern = ('a*'):rep(20) .. 'b'
      mesh.action('slow', function() end, { params = { { list = { type = 'string', pattern = pattern } } } })
      local started = os.clock()
      local list = {}
      for i = 1, 100 do list[i] = ('a'):rep(1000) end
      local _, err = pcall(mesh.call, 'slow', list)
      return err.message, os.clock() - started
    end)
    assert.matches('got one that takes too long to compare$', message)
    assert.is_true(took < 5, took)
  end)

  it('checks long lists of strings that are simple', function()
    assert.equal('ok', a:eval(function()
      local hex = { type = 'string', pattern = '^%x+$' }
      mesh.action('many', function() return 'ok' end, { params = { { list = hex } } })
      local list = {}
      for i = 1, 20000 do list[i] = ('%x'):format(i) end
      return mesh.call('many', list)
    end))
  end)

  it('tells long names and values cut', function()
    local err = a:fails(function()
      mesh.action('x', function() end, { params = { { list = { fields = {} } } } })
      mesh.call('x', { { [('k'):rep(100000)] = ('v'):rep(100000) } })
    end)
    assert.is_true(#err.message < 500)
    assert.matches('^args%[1%]%[1%]%.kkk', err.message)
  end)
end)

cluster.describe('a schema that is none', { 'mem' }, function(over)
  local a

  before_each(function() a = over.net:node('a') end)

  it('is refused at its line, with its place', function()
    for schema, message in pairs {
      ['5'] = 'params[1]: a schema is a string or a table, got 5',
      ["'integer'"] = "params[1]: 'integer' is no type; did you mean 'int'?",
      ["'strin'"] = "params[1]: 'strin' is no type; did you mean 'string'?",
      ["'???'"] = "params[1]: '???' is no type; there are any, boolean, bytes, int, number, string, table",
      ["''"] = "params[1]: '' is no type",
      ["'int..'"] = "params[1]: 'int..' is no type",
      ["{ a = { b = 'array' } }"] = "params[1].a.b: 'array' is no type; did you mean {list = …}?",
      ["{ a = 'int...' }"] = 'params[1].a: \'int...\' is no type; only the last',
      ["{ 'int' }"] = 'params[1]: the name of a field is a string, got 1; an array is {list = …}',
      ["{ [''] = 'int' }"] = 'params[1]: the name of a field is 1 to 255 bytes',
      ["{ type = 'string', maximum = 5 }"] = "params[1]: 'maximum' is no part of a schema with 'type'",
      ["{ type = 'string', mx = 5 }"] = "did you mean 'max'?",
      ["{ type = 'string', name = 'string' }"] = "a map with a field 'type' is written {fields = {type = …}}",
      ["{ type = 'string', description = 'string' }"] = "a map with a field 'type' is written {fields = {type = …}}",
      ["{ type = 'string', optional = 1 }"] = 'params[1].optional: true or false expected, got 1',
      ["{ type = 'string', min = -1 }"] = 'params[1].min: a whole number from 0 on expected, got -1',
      ["{ type = 'string', min = 2, max = 1 }"] = 'params[1]: min (2) is more than max (1)',
      ["{ type = 'int', min = 'x' }"] = "params[1].min: a number expected, got 'x'",
      ["{ type = 'int', max = 0/0 }"] = 'params[1].max: a number expected',
      ["{ type = 'boolean', min = 1 }"] = "params[1]: 'boolean' has no min and max",
      ["{ type = 'int', pattern = 'x' }"] = "params[1].pattern: only 'string' and 'bytes' have a pattern",
      ["{ type = 'string', pattern = 5 }"] = 'params[1].pattern: a string expected, got number',
      ["{ type = 'string', pattern = ('x'):rep(257) }"] = 'params[1].pattern: a text of at most 256 bytes expected',
      ["{ type = 'string', pattern = 'x%' }"] = "it ends with '%'",
      ["{ type = 'string', pattern = '[x' }"] = "its '[' has no ']'",
      ["{ type = 'string', pattern = '[%' }"] = "its '[' has no ']'",
      ["{ type = 'string', pattern = '[]' }"] = "its '[' has no ']'",
      ["{ type = 'string', pattern = '(x)' }"] = 'it has a capture',
      ["{ type = 'string', pattern = '%1' }"] = "it refers to a capture ('%1')",
      ["{ type = 'string', pattern = '%bx' }"] = "'%b' needs two characters",
      ["{ type = 'string', pattern = '%fx' }"] = "'%f' needs a set",
      ['{ enum = {} }'] = 'params[1].enum: it has no value',
      ["{ enum = { 'a', 'a' } }"] = "params[1].enum[2]: 'a' is there twice",
      ['{ enum = { {} } }'] = 'params[1].enum[1]: a string, number or boolean expected, got a table',
      ["{ enum = { a = 'b' } }"] = "params[1].enum: a list expected, got the key 'a'",
      ['{ list = nil, enum = 5 }'] = 'params[1].enum: a schema is a string or a table, got 5',
      ["{ list = 'int', max = 1.5 }"] = 'params[1].max: a whole number from 0 on expected, got 1.5',
      ["{ fields = {}, extra = 5 }"] = 'params[1].extra: a schema is a string or a table, got 5',
      ["{ type = 'int', description = 5 }"] = 'a description in words expected, got 5',
      ["{ type = 'int', description = '\\255' }"] = 'got bytes that are no UTF-8',
      ["{ type = 'int', rest = true }, 'int'"] = 'params[1]: only the last one may be repeated',
      ["'int', [3] = 'int'"] = 'params[2]: it is missing',
      ["a = 'int'"] = "params: a list of schemas expected, one for each value, got the key 'a'",
    } do
      local err = a:fails(("local mesh = mesh\nmesh.action('x', print, { params = { %s } })\nreturn 1"):format(schema))
      assert.matches(':2: ', err)
      assert(err:find("option 'params' of mesh.action: ", 1, true), err)
      assert(err:find(message, 1, true), ('%s\n%s'):format(message, err))
    end
  end)

  it('is refused when it is too large', function()
    for code, message in pairs {
      ["local s = 'int' for _ = 1, 17 do s = { list = s } end return { s }"] = 'more than 16 schemas deep',
      ['local s = {} s.list = s return { s }'] = 'more than 16 schemas deep',
      ["local s = {} for i = 1, 129 do s['f' .. i] = 'int' end return { s }"] = 'more than 128 fields',
      ['local s = {} for i = 1, 257 do s[i] = i end return { { enum = s } }'] = 'at most 256 values, got 257',
      ["local s = {} for i = 1, 65 do s[i] = 'int' end return s"] = 'at most 64 values, got 65',
      ["local s = 'int' for _ = 1, 4 do local t = {} for i = 1, 9 do t['f' .. i] = s end s = t end return { s }"] =
        'more than 1024 schemas',
      ["return { [math.maxinteger] = 'int' }"] = 'at most 64 values',
    } do
      local err = a:fails(('local list = (function() %s end)()\nmesh.action("x", print, { returns = list })')
        :format(code))
      assert(err:find(message, 1, true), err)
    end
    assert.equal('ok', a:eval(function()
      local s = 'int'
      for _ = 1, 15 do s = { list = s } end
      local fields, values = {}, {}
      for i = 1, 128 do fields['f' .. i] = '?int' end
      for i = 1, 256 do values[i] = i end
      mesh.action('x', function() return 'ok' end, { params = { s, fields, { enum = values } } })
      return mesh.call('x', {}, { f128 = 1 }, 256)
    end))
  end)

  it('may say too much to be told', function()
    local err = a:fails(function()
      local fields = {}
      for i = 1, 100 do fields['f' .. i] = { type = 'int', description = ('d'):rep(1000) } end
      mesh.action('x', print, { params = { fields } })
    end)
    assert.equal('TOO_LARGE', err.code)
  end)

  it('leaves the action that was there', function()
    assert.equal('first', a:eval(function()
      mesh.action('x', function() return 'first' end)
      pcall(mesh.action, 'x', print, { params = { 'integer' } })
      return mesh.call 'x'
    end))
  end)

  it('has tags that are words', function()
    for tags, message in pairs {
      ["'x'"] = 'table expected', ['{ 5 }'] = 'a tag is a text of 1 to 64 bytes', ["{ '' }"] = 'a tag is',
      ["{ a = 'b' }"] = 'a list of at most 16 texts', ["{ [17] = 'b' }"] = 'a list of at most 16 texts',
    } do
      local err = a:fails(("\nmesh.action('x', print, { tags = %s })\nreturn 1"):format(tags))
      assert.matches(':2: ', err)
      assert(err:find(message, 1, true), err)
    end
  end)
end)

-- What the check says, against a second one that is as simple as can be, for schemas and values at random.

local function fits(schema, value)
  if schema.optional and (value == nil or value == 'NULL') then return true end
  if value == nil then return false end
  if schema.type == 'any' then return true end
  if value == 'NULL' then return false end
  if schema.enum then
    for _, one in ipairs(schema.enum) do
      if one == value then return true end
    end
    return false
  end
  if schema.list then
    if type(value) ~= 'table' then return false end
    local count = 0
    for key, element in pairs(value) do
      count = count + 1
      if math.type(key) ~= 'integer' or key < 1 or key > #value or not fits(schema.list, element) then return false end
    end
    return count == #value and count >= (schema.min or 0) and count <= (schema.max or count)
  end
  if schema.fields then
    if type(value) ~= 'table' then return false end
    for name, field in pairs(schema.fields) do
      if not fits(field, value[name]) then return false end
    end
    for key, element in pairs(value) do
      if not schema.fields[key] and not (schema.extra and fits(schema.extra, element)) then return false end
    end
    return true
  end
  local kind = schema.type
  if kind == 'int' and math.type(value) ~= 'integer' or kind == 'number' and not math.type(value) then return false end
  if kind == 'string' or kind == 'boolean' or kind == 'table' then return type(value) == kind end
  return value >= (schema.min or value) and value <= (schema.max or value)
end

local function random_schema(depth)
  local pick = math.random(depth > 3 and 6 or 9)
  local optional = math.random(3) == 1 or nil
  local bound = math.random(4)
  if pick <= 2 then
    return { type = pick == 1 and 'int' or 'number', optional = optional, min = bound == 1 and 0 or nil,
      max = bound <= 2 and 3 or nil }
  end
  if pick <= 5 then return { type = ({ 'string', 'boolean', 'any' })[pick - 2], optional = optional } end
  if pick == 6 then return { enum = { 'x', 1, true }, optional = optional } end
  if pick == 7 then
    return { list = random_schema(depth + 1), optional = optional, max = bound == 1 and 2 or nil }
  end
  local fields = {}
  for i = 1, math.random(0, 3) do fields[('abc'):sub(i, i)] = random_schema(depth + 1) end
  return { fields = fields, extra = bound == 1 and random_schema(depth + 1) or nil, optional = optional }
end

--- Mostly what fits.
local function random_value(schema, depth)
  local pick = math.random(14)
  if pick == 1 then return ({ 1, 2.5, 'x', true, -1, 'y', false })[math.random(7)] end
  if pick == 2 and depth > 0 then return 'NULL' end
  if pick == 3 then return { z = 1 } end
  if schema.optional and pick == 4 then return nil end
  if schema.enum then return schema.enum[math.random(3)] end
  if schema.list then
    local list = {}
    for i = 1, math.random(0, 3) do
      local value = random_value(schema.list, depth + 1)
      list[i] = value == nil and 'NULL' or value
    end
    return list
  end
  if schema.fields then
    local map = {}
    for name, field in pairs(schema.fields) do map[name] = random_value(field, depth + 1) end
    if schema.extra then map.more = random_value(schema.extra, depth + 1) end
    return map
  end
  if schema.type == 'int' then return math.random(-1, 4) end
  if schema.type == 'number' then return math.random(-2, 8) / 2 end
  if schema.type == 'boolean' then return true end
  return 'x'
end

cluster.describe('the check of a schema', { 'mem' }, function(over)
  it('agrees with a simple one, for any schemas and values', function()
    local a = over.net:node('a')
    local cases, expected, refused = {}, {}, 0
    for i = 1, 3000 do
      local schema = random_schema(0)
      local value = random_value(schema, 0)
      cases[i], expected[i] = { schema = schema, value = value }, fits(schema, value)
      if not expected[i] then refused = refused + 1 end
    end
    assert.is_true(refused > 300 and refused < 2700, refused)
    local got = a:eval(function(list)
      local function with_nulls(value)
        if value == 'NULL' then return mesh.null end
        if type(value) ~= 'table' then return value end
        local copy = {}
        for key, element in pairs(value) do copy[key] = with_nulls(element) end
        return copy
      end
      local results = {}
      for i, case in ipairs(list) do
        mesh.action('tried', function() return true end, { params = { case.schema } })
        local ok, err = pcall(mesh.call, 'tried', with_nulls(case.value))
        assert(ok or err.code == 'INVALID', err)
        results[i] = ok
      end
      return results
    end, cases)
    for i = 1, #cases do
      assert.equal(expected[i], got[i], 'case ' .. i .. ': ' .. require 'dkjson'.encode(cases[i]))
    end
  end)
end)
