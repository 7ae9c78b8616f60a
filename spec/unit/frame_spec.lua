local wire = require('perilune.testing').wire
local frame, item = wire.frame, wire.item

--- type, flags, aux, label, length, body
local DATA = '\34\16\0\2' .. '\0\0\0\7' .. '\0\0\0\5' .. '\1a\2bc'

describe('a frame', function()
  it('is read, and says how much it took', function()
    local took, f = frame.decode(DATA .. 'rest')
    assert.equal(#DATA, took)
    assert.same({ type = 34, flags = 16, aux = 2, label = 7, body = '\1a\2bc' }, f)
  end)

  it('may have no body', function()
    local took, f = frame.decode('\35\0\0\0' .. '\0\0\0\1' .. '\0\0\0\0')
    assert.equal(12, took)
    assert.equal('', f.body)
  end)

  it('asks for more on every proper prefix', function()
    for n = 0, #DATA - 1 do assert.same({ 0 }, { frame.decode(DATA:sub(1, n)) }) end
  end)

  it('is what its header was written with', function()
    for type = 1, 255 do
      local label = type < 32 and 0 or 0x89abcdef
      local header = frame.header(type, 0x1f, 0xfedc, label, 3)
      local took, f = frame.decode(header .. 'abc')
      assert.equal(15, took)
      assert.same({ type = type, flags = 0x1f, aux = 0xfedc, label = label, body = 'abc' }, f)
    end
  end)

  it('has its integers in network order', function()
    assert.equal('\32\9\1\2\3\4\5\6\0\0\1\2', frame.header(32, 9, 0x0102, 0x03040506, 0x0102))
  end)

  for name, header in pairs {
    ['of type 0'] = '\0\0\0\0' .. '\0\0\0\0',
    ['of the link with a label'] = '\5\0\0\0' .. '\0\0\0\1',
    ['of a later link type with a label'] = '\31\0\0\0' .. '\0\0\0\1',
    ['of a circuit without a label'] = '\32\0\0\0' .. '\0\0\0\0',
    ['of a later circuit type without a label'] = '\63\0\0\0' .. '\0\0\0\0',
    ['with a reserved flag 0x20'] = '\32\32\0\0' .. '\0\0\0\1',
    ['with a reserved flag 0x40'] = '\5\64\0\0' .. '\0\0\0\0',
    ['with a reserved flag 0x80'] = '\37\128\0\0' .. '\0\0\0\1',
  } do
    it(name .. ' is refused', function()
      assert.same({ nil, 'PROTOCOL' }, { frame.decode(header .. '\0\0\0\0') })
    end)
  end

  it('of a type from 64 on may have any flags and label', function()
    for _, header in ipairs { '\64\255\0\0\0\0\0\0', '\255\255\255\255\255\255\255\255' } do
      assert.equal(12, (frame.decode(header .. '\0\0\0\0')))
    end
  end)

  it('with too long a body is refused before the body arrives', function()
    local header = '\33\0\0\0' .. '\0\0\0\1'
    assert.same({ nil, 'TOO_LARGE' }, { frame.decode(header .. '\255\255\255\255') })
    assert.same({ nil, 'TOO_LARGE' }, { frame.decode(header .. '\0\0\64\1') })
    assert.same({ 0 }, { frame.decode(header .. '\0\0\64\0') })
    assert.same({ nil, 'TOO_LARGE' }, { frame.decode(header .. '\0\0\0\9', 8) })
  end)
end)

describe('the preamble', function()
  local PREAMBLE = 'PLN\n\1\0\0\0'

  it('names the protocol and its version', function() assert.equal(PREAMBLE, frame.preamble()) end)

  it('is known when it is whole', function()
    assert.same({ 1, 1, 0 }, { frame.check_preamble(PREAMBLE) })
    assert.same({ 1, 1, 0 }, { frame.check_preamble(PREAMBLE .. 'more') })
    for n = 0, #PREAMBLE - 1 do assert.equal(0, (frame.check_preamble(PREAMBLE:sub(1, n)))) end
  end)

  it('of a later minor version is ours, whatever is in its last bytes', function()
    assert.same({ 1, 1, 9 }, { frame.check_preamble('PLN\n\1\9\255\255') })
  end)

  it('of another major version is refused, and tells both numbers', function()
    assert.same({ 'PROTOCOL', 2, 7 }, { frame.check_preamble('PLN\n\2\7') })
    assert.same({ 'PROTOCOL', 0, 0 }, { frame.check_preamble('PLN\n\0\0\0\0') })
    assert.equal(0, (frame.check_preamble('PLN\n\2')))
  end)

  it('that is not ours is refused at the first byte that differs', function()
    for n = 1, 4 do
      local wrong = PREAMBLE:sub(1, n - 1) .. '\0'
      assert.same({ 'PROTOCOL', -1, -1 }, { frame.check_preamble(wrong) })
    end
    for _, stranger in ipairs { 'GET / HTTP/1.1\r\n', 'PLN\r', 'pln\n', '\22\3\1', 'P\0' } do
      assert.equal('PROTOCOL', (frame.check_preamble(stranger)))
    end
  end)
end)

describe('the length of an item', function()
  it('survives at every width', function()
    for bits = 0, 31 do
      for _, len in ipairs { 1 << bits, (1 << bits) - 1, (1 << bits) + 1 } do
        local bytes = item.put_len(len)
        assert.same({ #bytes, len }, { item.get_len(bytes .. '\255') })
        for n = 0, #bytes - 1 do assert.same({ 0 }, { item.get_len(bytes:sub(1, n)) }) end
      end
    end
    assert.same({ 5, 0xffffffff }, { item.get_len(item.put_len(0xffffffff)) })
  end)

  it('is low bits first', function() assert.equal('\172\2', item.put_len(300)) end)

  for name, bytes in pairs {
    ['over 32 bits'] = '\128\128\128\128\16',
    ['of six bytes'] = '\128\128\128\128\128\0',
    ['that could be shorter'] = '\129\0',
    ['of zero in two bytes'] = '\128\0',
  } do
    it(name .. ' is refused', function()
      assert.same({ nil, 'PROTOCOL' }, { item.get_len(bytes) })
    end)
  end
end)
