local on_loop = require 'spec.support.on_loop'

local run, fails = on_loop.run, on_loop.fails

describe('perilune.json', function()
  it('encodes and decodes', function()
    assert.same({ a = { 1, 2.5, true, 'x\n' }, n = 'null' }, (run [[
      local json = require 'perilune.json'
      local v = json.decode(json.encode { a = { 1, 2.5, true, 'x\n' }, n = json.null })
      v.n = v.n == json.null and 'null'
      return v
    ]]))
    assert.same({ '[]', '{}', '9223372036854775807', '1.0' }, { run [[
      local json = require 'perilune.json'
      return json.encode(json.array {}), json.encode {}, json.encode(math.maxinteger), json.encode(1.0)
    ]] })
  end)

  it('indents when asked', function()
    assert.equal('{\n  "a": [\n    1,\n    []\n  ]\n}', (run [[
      local json = require 'perilune.json'
      return json.encode({ a = { 1, json.array {} } }, { pretty = true })
    ]]))
    assert.same({ '"a[{,:\\"]"', '[]', '7' }, { run [[
      local json = require 'perilune.json'
      local o = { pretty = true }
      return json.encode('a[{,:"]', o), json.encode(json.array {}, o), json.encode(7, o)
    ]] })
  end)

  it('names what JSON cannot hold', function()
    local code, message = run "return catch(require('perilune.json').encode, { a = { print } })"
    assert.equal('INVALID', code)
    assert.truthy(message:find 'value.a%[1%] is a function')
    assert.equal('INVALID', (run "return catch(require('perilune.json').encode, 1 / 0)"))
  end)

  it('refuses what is not JSON', function()
    for _, text in ipairs { '', '{', '[1,]', "'a'", '01', '1 2', '{"a":1,}', '\255', 'nul', '[1]x' } do
      assert.equal('PROTOCOL', (run("return catch(require('perilune.json').decode, ...)", text)), text)
    end
    assert.truthy(fails "require('perilune.json').decode(1)":find '^script:1: bad argument #1')
  end)
end)

describe('perilune.msgpack', function()
  it('encodes and decodes', function()
    assert.same({ '\147\1\163two\192', 3 }, { run [[
      local msgpack = require 'perilune.msgpack'
      local bytes = msgpack.encode { 1, 'two', msgpack.null }
      return bytes, #msgpack.decode(bytes)
    ]] })
    assert.equal('\196\1x', (run "local m = require 'perilune.msgpack' return m.encode(m.bytes 'x')"))
    assert.equal('\144', (run "local m = require 'perilune.msgpack' return m.encode(m.array {})"))
  end)

  it('refuses what cannot travel, and bad bytes', function()
    assert.equal('INVALID', (run "return catch(require('perilune.msgpack').encode, print)"))
    for _, bytes in ipairs { '', '\193', '\146\1', '\1\1', '\221\255\255\255\255', '\161\255' } do
      assert.equal('PROTOCOL', (run("return catch(require('perilune.msgpack').decode, ...)", bytes)))
    end
  end)
end)
