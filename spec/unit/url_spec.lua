local on_loop = require 'spec.support.on_loop'

local run, fails = on_loop.run, on_loop.fails

describe('perilune.url', function()
  local function parse(text) return (run("return require('perilune.url').parse(...)", text)) end

  it('takes addresses apart', function()
    assert.same({
      scheme = 'https', user = 'me@home', password = 'a:b', host = 'example.com', port = 8443, path = '/a b/c',
      query = 'x=1&y=%26', fragment = 'top',
    }, parse 'HTTPS://me%40home:a:b@Example.COM:8443/a%20b/c?x=1&y=%26#top')
    assert.same({ scheme = 'tcp', host = '::1', port = 80, path = '' }, parse 'tcp://[::1]:80')
    assert.same({ scheme = 'mailto', path = 'a@b.c' }, parse 'mailto:a@b.c')
    assert.same({ path = '/just/a/path', query = '' }, parse '/just/a/path?')
    assert.same({ path = '', fragment = 'x' }, parse '#x')
    assert.same({ host = 'host', path = '/p' }, parse '//host/p')
    assert.same({ scheme = 'unix', host = '', path = '/run/x.sock' }, parse 'unix:///run/x.sock')
    assert.same({ scheme = 'h', host = 'a', user = '', password = '', path = '' }, parse 'h://:@a')
  end)

  it('refuses what is not an address', function()
    for _, text in ipairs {
      'http://a b/', 'http://a\n/', 'http://a:99999/', 'http://a:x/', 'http://a:/', 'http://[::1', 'http://[:::1]/',
      'http://[1:2:3]/', 'http://[::1]x/', 'http://a/%', 'http://a/%4', 'http://a/%zz', 'http://a/?%q', '1http://a/',
      'http://a%2fb/', 'http://[1::2::3]/', 'http://[12345::]/', 'http://[::300.1.1.1]/', 'http://\255/',
    } do
      assert.equal('INVALID', (run("return catch(require('perilune.url').parse, ...)", text)), text)
    end
    for _, host in ipairs { '::', '1::', '::1', '1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7::', '::ffff:1.2.3.4', 'fe80::1:2' } do
      assert.equal(host, parse('http://[' .. host .. ']/').host)
    end
  end)

  it('refuses the beginnings that end within an escape, a bracket or a port', function()
    run [[
      local url = require 'perilune.url'
      local text = 'http://u%40:p@[::1]:80/a%20b?q=%41#f%42'
      for n = 0, #text do
        local ok, err = pcall(url.parse, text:sub(1, n))
        assert(ok or err.code == 'INVALID', text:sub(1, n))
        if text:sub(1, n):find '%%.?$' or n >= 15 and n <= 18 or n == 20 then assert(not ok, text:sub(1, n)) end
      end
    ]]
  end)

  it('puts addresses together', function()
    run [[
      local url = require 'perilune.url'
      for _, text in ipairs {
        'https://me%40home:a%3Ab@example.com:8443/a%20b/c?x=1#top', 'tcp://[::1]:80', 'mailto:a@b.c', '/p?a=b', '//h/p',
      } do
        assert(url.format(url.parse(text)) == text, text)
      end
      assert(url.format { scheme = 'http', host = 'a', path = 'b c', query = { y = { 1, 2 }, x = 'a&b' } } ==
        'http://a/b%20c?x=a%26b&y=1&y=2')
    ]]
    assert.truthy(fails "require('perilune.url').format { hots = 'a' }":find "^script:1: unknown option 'hots'")
  end)

  it('escapes and reads queries', function()
    assert.same({ 'a%20b%2F%C3%A9-._~', 'a b/é', { a = { '1', '2', '' }, ['b c'] = 'x=y', d = '&' }, {} }, { run [[
      local url = require 'perilune.url'
      return url.encode 'a b/é-._~', url.decode 'a%20b%2f%C3%a9', url.parse_query 'a=1&a=2&b+c=x=y&&d=%26&a',
        url.parse_query ''
    ]] })
    assert.equal('INVALID', (run "return catch(require('perilune.url').decode, 'a%2')"))
    assert.truthy(fails "require('perilune.url').format_query { a = { {} } }":find '^script:1: .*is a table')
  end)
end)
