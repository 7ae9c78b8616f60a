local http = require('perilune.testing').http

local GOOD = 'GET /metrics?a=1 HTTP/1.1\r\nHost: localhost:9100\r\nX-Some:  a\tb \r\nEmpty:\r\n\r\n'

--- The status with which a head is refused.
local function refused(...)
  local head = table.concat({ ... }, '\r\n') .. '\r\n\r\n'
  local decoded, status = http.decode(head)
  assert.is_nil(decoded, head)
  return status
end

describe('the head of an HTTP request', function()
  it('has a method, a target and fields', function()
    assert.same({
      method = 'GET', target = '/metrics?a=1', path = '/metrics', minor = 1, host = 'localhost:9100', chunked = false,
      Host = 'localhost:9100', ['X-Some'] = 'a\tb', Empty = '',
    }, http.decode(GOOD))
    assert.same({ method = 'HEAD', target = '/', path = '/', minor = 0, chunked = false },
      http.decode 'HEAD / HTTP/1.0\r\n\r\n')
    local post = http.decode 'POST /x HTTP/1.1\r\nhost:h\r\ncontent-LENGTH: 0012\r\n\r\n'
    assert.same({ 12, 'h' }, { post.length, post.host })
    assert.is_true(http.decode('PUT /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n').chunked)
  end)

  it('is whole with its empty line, however it comes', function()
    local scanned = 0
    for n = 0, #GOOD - 1 do
      local len
      len, scanned = http.find_end(GOOD:sub(1, n), scanned)
      assert.equal(0, len)
      assert.is_nil((http.decode(GOOD:sub(1, n))))
    end
    assert.equal(#GOOD, (http.find_end(GOOD, scanned)))
    assert.equal(#GOOD, (http.find_end(GOOD .. 'more\n')))
  end)

  it('ends lines with both characters', function()
    assert.equal(-400, (http.find_end 'GET / HTTP/1.1\n'))
    assert.equal(-400, (http.find_end '\n'))
    assert.equal(-400, (http.find_end 'GET / HTTP/1.1\r\nHost: a\r\n\n'))
    assert.equal(400, refused('GET / HTTP/1.1', 'Host: a\rb'))
  end)

  it('is bounded', function()
    local long = 'GET / HTTP/1.1\r\nX: ' .. ('x'):rep(http.head_max)
    assert.equal(-431, (http.find_end(long)))
    assert.equal(0, (http.find_end(long:sub(1, http.head_max - 1))))
    local fields = { 'GET / HTTP/1.1', 'Host: a' }
    for i = 2, http.fields_max do fields[#fields + 1] = 'X: ' .. i end
    assert.is_table(http.decode(table.concat(fields, '\r\n') .. '\r\n\r\n'))
    fields[#fields + 1] = 'X: more'
    assert.equal(431, refused(table.unpack(fields)))
  end)

  it('begins with one line of three words', function()
    for _, line in ipairs { '', 'GET', 'GET /', 'GET / ', 'GET  / HTTP/1.1', ' GET / HTTP/1.1', 'GET / HTTP/1.1 ',
      'GET x HTTP/1.1', 'GET http://a/ HTTP/1.1', 'GET * HTTP/1.1', 'G\0T / HTTP/1.1', 'GET /\0 HTTP/1.1',
      'GET /\128 HTTP/1.1', 'GET / http/1.1', 'GET / HTTP/1', 'GET / HTTP/1.x', 'GET / HTTP/11.1', 'G(T / HTTP/1.1',
      ('M'):rep(33) .. ' / HTTP/1.1' } do
      assert.equal(400, refused(line, 'Host: a'), line)
    end
    for _, version in ipairs { '0.9', '2.0', '3.0' } do
      assert.equal(505, refused('GET / HTTP/' .. version, 'Host: a'))
    end
  end)

  it('has fields of a name, a colon and a text', function()
    for _, line in ipairs { 'X', 'X : a', ': a', ' folded', '\tfolded', 'X\0: a', 'X: a\0', 'X: \127', 'X: \1',
      'a b: c', 'X\128: a' } do
      assert.equal(400, refused('GET / HTTP/1.1', 'Host: a', line), line)
    end
    assert.equal('\195\164', http.decode('GET / HTTP/1.1\r\nHost: a\r\nX: \195\164\r\n\r\n').X)
  end)

  it('names one host', function()
    assert.equal(400, refused 'GET / HTTP/1.1')
    assert.equal(400, refused('GET / HTTP/1.1', 'Host: a', 'host: a'))
    assert.equal(400, refused('GET / HTTP/1.0', 'Host: a', 'Host: b'))
  end)

  it('says once how long its body is', function()
    for _, length in ipairs { '', 'x', '-1', '+1', '1 1', '0x10', '1, 1', ('9'):rep(19) } do
      assert.equal(400, refused('GET / HTTP/1.1', 'Host: a', 'Content-Length: ' .. length), length)
    end
    assert.equal(400, refused('GET / HTTP/1.1', 'Host: a', 'Content-Length: 1', 'Content-Length: 1'))
    assert.equal(400, refused('GET / HTTP/1.1', 'Host: a', 'Content-Length: 1', 'Transfer-Encoding: chunked'))
    assert.equal(400, refused('GET / HTTP/1.1', 'Host: a', 'Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'))
    assert.equal(400, refused('GET / HTTP/1.0', 'Transfer-Encoding: chunked'))
    for _, coding in ipairs { 'gzip', 'gzip, chunked', 'chunked, chunked', '' } do
      assert.equal(501, refused('GET / HTTP/1.1', 'Host: a', 'Transfer-Encoding: ' .. coding), coding)
    end
  end)
end)
