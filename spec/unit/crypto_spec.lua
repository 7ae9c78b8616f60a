local on_loop = require 'spec.support.on_loop'

local run, fails = on_loop.run, on_loop.fails

describe('perilune.crypto', function()
  it('digests, small in place and large in a thread', function()
    assert.same({
      'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
      'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad', 32,
      'cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0',
    }, { run [[
      local crypto = require 'perilune.crypto'
      local hex = { hex = true }
      return crypto.sha256('', hex), crypto.sha256('abc', hex), #crypto.sha256 'abc',
        crypto.sha256(('a'):rep(1000000), hex)
    ]] })
  end)

  it('digests what comes in parts, and tells the digest of what has come', function()
    run [[
      local crypto = require 'perilune.crypto'
      local hasher = crypto.hasher()
      assert(hasher:digest() == crypto.sha256 '')
      assert(hasher:update('a'):update(''):update('bc'):digest { hex = true } == crypto.sha256('abc', { hex = true }))
      for _, size in ipairs { 1, 63, 64, 65, 262143, 262144, 262145, 1000000 } do
        local text, other = ('x'):rep(size), crypto.hasher()
        assert(other:update(text):digest() == crypto.sha256(text))
        assert(other:update(text):digest() == crypto.sha256(text .. text))
      end
      assert(hasher:digest() == crypto.sha256 'abc')
    ]]
    assert.truthy(fails "require('perilune.crypto').hasher():update(5)":find "^script:1: bad argument #1 to 'update'")
  end)

  it('authenticates', function()
    assert.same({ '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843', true, false, false }, { run [[
      local crypto = require 'perilune.crypto'
      local key, text = 'Jefe', 'what do ya want for nothing?'
      local large = crypto.hmac(key, ('x'):rep(1000000))
      assert(large ~= crypto.hmac('jefe', ('x'):rep(1000000)))
      assert(#crypto.hmac('', '') == 32)
      return crypto.hmac(key, text, { hex = true }), crypto.equal('abc', 'abc'), crypto.equal('abc', 'abd'),
        crypto.equal('abc', 'ab')
    ]] })
  end)

  it('draws random bytes and ordered ids', function()
    run [[
      local crypto = require 'perilune.crypto'
      assert(#crypto.random(16) == 16 and crypto.random(16) ~= crypto.random(16) and crypto.random(0) == '')
      local last = ''
      for _ = 1, 100000 do
        local id = crypto.uuid()
        assert(id > last)
        last = id
      end
      assert(last:find '^%x+%-%x+%-7%x%x%x%-[89ab]%x+%-%x+$' and #last == 36)
    ]]
    assert.truthy(fails "require('perilune.crypto').random(-1)":find '^script:1: .*out of range')
  end)

  it('writes bytes as hexadecimal digits and back', function()
    assert.same({ '00ff1a', '\0\255\26', '\171', '' }, { run [[
      local hex = require('perilune.crypto').hex
      return hex.encode '\0\255\26', hex.decode '00ff1A', hex.decode 'aB', hex.decode ''
    ]] })
    for text, at in pairs { ['0'] = 2, ['0g'] = 2, ['g0'] = 1, ['00 '] = 3 } do
      local code, message = run("return catch(require('perilune.crypto').hex.decode, ...)", text)
      assert.same({ 'INVALID', ('hex: not valid at byte %d'):format(at) }, { code, message })
    end
  end)

  it('writes bytes as base64 and back, in both alphabets', function()
    run [[
      local base64 = require('perilune.crypto').base64
      local url = { url = true }
      for bytes, text in pairs { [''] = '', f = 'Zg==', fo = 'Zm8=', foo = 'Zm9v', ['\251\255\254'] = '+//+' } do
        assert(base64.encode(bytes) == text and base64.decode(text) == bytes)
        local short = text:gsub('=', ''):gsub('%+', '-'):gsub('/', '_')
        assert(base64.encode(bytes, url) == short and base64.decode(short, url) == bytes)
      end
      local all = {}
      for i = 0, 255 do all[#all + 1] = string.char(i) end
      all = table.concat(all)
      for n = 0, 256 do
        assert(base64.decode(base64.encode(all:sub(1, n))) == all:sub(1, n))
        assert(base64.decode(base64.encode(all:sub(1, n), url), url) == all:sub(1, n))
      end
    ]]
  end)

  it('refuses base64 that it would not write', function()
    for _, text in ipairs { 'Zg', 'Zg=', 'Zh==', 'Zm9=', 'Zg==Zg==', 'Zm 9', 'Zm9v\n', '=', '====', 'Zm_v' } do
      assert.equal('INVALID', (run("return catch(require('perilune.crypto').base64.decode, ...)", text)), text)
    end
    for _, text in ipairs { 'Zg==', 'Zh', 'A', 'Zm/v', 'Zm+v', 'Zm.v' } do
      local code = run("return catch(require('perilune.crypto').base64.decode, ..., { url = true })", text)
      assert.equal('INVALID', code, text)
    end
  end)
end)
