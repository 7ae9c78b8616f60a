local prefix = require('perilune.testing').wire.utf8.prefix

--- Length of the character at `i` by the table of well-formed sequences of the Unicode standard
--- (table 3-7), or nil.
local ROWS = {
  { { 0x00, 0x7f } },
  { { 0xc2, 0xdf }, { 0x80, 0xbf } },
  { { 0xe0, 0xe0 }, { 0xa0, 0xbf }, { 0x80, 0xbf } },
  { { 0xe1, 0xec }, { 0x80, 0xbf }, { 0x80, 0xbf } },
  { { 0xed, 0xed }, { 0x80, 0x9f }, { 0x80, 0xbf } },
  { { 0xee, 0xef }, { 0x80, 0xbf }, { 0x80, 0xbf } },
  { { 0xf0, 0xf0 }, { 0x90, 0xbf }, { 0x80, 0xbf }, { 0x80, 0xbf } },
  { { 0xf1, 0xf3 }, { 0x80, 0xbf }, { 0x80, 0xbf }, { 0x80, 0xbf } },
  { { 0xf4, 0xf4 }, { 0x80, 0x8f }, { 0x80, 0xbf }, { 0x80, 0xbf } },
}

local function matches(text, row)
  for i, range in ipairs(row) do
    local b = text:byte(i)
    if b == nil or b < range[1] or b > range[2] then return false end
  end
  return true
end

--- Length of the text at the start of `bytes` by that table.
local function expected_prefix(bytes)
  local at = 1
  while at <= #bytes do
    local len
    for _, row in ipairs(ROWS) do
      if matches(bytes:sub(at), row) then len = #row end
    end
    if not len then break end
    at = at + len
  end
  return at - 1
end

describe('the check of UTF-8', function()
  it('takes text', function()
    for _, text in ipairs { '', 'a', 'Grüße', '日本語', '😀', '\0', '\u{7ff}\u{800}\u{ffff}\u{10ffff}' } do
      assert.equal(#text, prefix(text))
    end
  end)

  it('agrees with the standard on every first and second byte', function()
    for first = 0x80, 0xff do
      for second = 0, 0xff, first < 0xe0 and 5 or 1 do
        for _, tail in ipairs { '', '\x80', '\xbf\xbf', '\x80\x7f', 'a' } do
          local bytes = string.char(first, second) .. tail
          if expected_prefix(bytes) ~= prefix(bytes) then error(('%q'):format(bytes)) end
        end
      end
    end
  end)

  it('says where text ends to be text', function()
    for _, before in ipairs { 0, 1, 7, 8, 9, 31, 32, 33, 63, 64, 100 } do
      for _, bad in ipairs { '\x80', '\xc3', '\xe2\x82', '\xed\xa0\x80', '\xff' } do
        assert.equal(before, prefix(('x'):rep(before) .. bad))
        assert.equal(before, prefix(('x'):rep(before) .. bad .. ('y'):rep(40)))
        assert.equal(before * 2, prefix(('é'):rep(before) .. bad))
      end
    end
  end)

  it('asks for every byte of a character that is cut off', function()
    for _, whole in ipairs { 'é', '€', '😀' } do
      for n = 1, #whole - 1 do assert.equal(3, prefix('abc' .. whole:sub(1, n))) end
    end
  end)
end)
