local script = require 'spec.support.script'
local eval = script.eval

local PRELUDE = "local core = require 'perilune.core.value' "
  .. 'local null, bytes, array = core.null, core.bytes, core.array '

local function check(source) return eval(PRELUDE .. source) end

describe('JSON', function()
  after_each(script.close_all)

  for source, want in pairs {
    ['nil, true, 1, 1.5, "x"'] = '[null,true,1,1.5,"x"]',
    ['{ 10, 20, 30 }'] = '[[10,20,30]]',
    ['{ a = 1 }'] = '[{"a":1}]',
    ['{}'] = '[{}]',
    ['array {}'] = '[[]]',
    ['array({ 1 }, 3)'] = '[[1,null,null]]',
    ['{ [10] = "x" }'] = '[{"10":"x"}]',
    ['null'] = '[null]',
    ['3.0'] = '[3.0]',
    ['9007199254740993'] = '[9007199254740993]',
    ['"\\255"'] = '[{"$bytes":"/w=="}]',
    ['bytes "abcd"'] = '[{"$bytes":"YWJjZA=="}]',
    ['bytes ""'] = '[{"$bytes":""}]',
    ["'a\\\"\\\\/\\1'"] = '["a\\"\\\\/\\u0001"]',
  } do
    it('is written for ' .. source, function()
      assert.equal(want, check('return spec.encode("json", 1000, ' .. source .. ')'))
    end)
  end

  for what, source in pairs { ['NaN'] = '0/0', ['infinity'] = 'math.huge', ['minus infinity'] = '-math.huge' } do
    it('has no ' .. what, function()
      assert.equal('false INVALID args[1].x is NaN or infinite, which JSON does not have', check(([[
        local ok, e = pcall(spec.encode, 'json', 1000, { x = %s }) return ok, e.code, e.message]]):format(source)))
    end)
  end

  it('has no keys that are bytes', function()
    assert.equal('false args[1].\255 has a key that is not UTF-8', check [[
      local ok, e = pcall(spec.encode, 'json', 1000, { ['\255'] = 1 }) return ok, e.message]])
  end)

  for text, want in pairs {
    ['[1,1.0,-0.5,1e3]'] = '1 1.0 -0.5 1000.0',
    ['[9223372036854775807]'] = '9223372036854775807',
    ['["\\u00e9\\n"]'] = 'é\n',
    ['[{"$bytes":"AP8="}]'] = '\0\255',
    ['[null,null]'] = 'nil nil',
    [' [ ] '] = '',
  } do
    it('is read: ' .. text, function()
      assert.equal(want, check(('return spec.decode("json", %q)'):format(text)))
    end)
  end

  it('reads null inside containers as mesh.null, and keeps empty arrays', function()
    assert.equal('true true [[],{}]', check [=[
      local t, list = spec.decode('json', '[{"a":null,"b":[1,null]},[[],{}]]')
      return t.a == null, t.b[2] == null, spec.encode('json', 100, list):sub(2, -2)]=])
  end)

  it('leaves alone an object that only looks like bytes', function()
    assert.equal('table table', check [=[
      local a, b = spec.decode('json', '[{"$bytes":"###"},{"$bytes":"AA==","x":1}]')
      return type(a), type(b)]=])
  end)

  for what, text in pairs {
    ['no text'] = '', ['no list'] = '{}', ['a trailing comma'] = '[1,]', ['text after it'] = '[1] x',
    ['a bare word'] = '[nan]', ['single quotes'] = "['a']", ['an open string'] = '["a', ['leading zeros'] = '[01]',
    ['bytes that are no UTF-8'] = '["\255"]', ['a control character'] = '["\1"]', ['an open list'] = '[1',
  } do
    it('is refused: ' .. what, function()
      assert.equal('false PROTOCOL', check(([[
        local ok, e = pcall(spec.decode, 'json', %q) return ok, e.code]]):format(text)))
    end)
  end

  it('says where a text is wrong', function()
    assert.truthy(check [[
      local _, e = pcall(spec.decode, 'json', '[1,\n x]') return e.message]]:find '^JSON, line 2 column 2: ')
  end)

  it('is refused when it is nested deeper than 64', function()
    assert.equal('true false', check [[
      local fine = pcall(spec.decode, 'json', ('['):rep(65) .. (']'):rep(65))
      return fine, (pcall(spec.decode, 'json', ('['):rep(66) .. (']'):rep(66)))]])
  end)
end)
