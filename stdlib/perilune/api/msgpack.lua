--- What perilune.msgpack has: see perilune.api.

return {
  name = 'perilune.msgpack',
  text = 'MessagePack, as values travel between nodes.',
  values = {
    { 'null', 'userdata', 'An explicit nil inside tables.' },
  },
  functions = {
    {
      name = 'array',
      text = 'Marks a table as an array of `n` elements, or of its length, and returns it.',
      params = { { 't', 'table' }, { 'n', 'integer?' } },
      returns = { { 'table' } },
    },
    {
      name = 'bytes',
      text = 'Marks a string as binary, which valid UTF-8 would not be.',
      params = { { 's', 'string' } },
      returns = { { 'userdata' } },
    },
    {
      name = 'encode',
      text = 'Encodes a value. What cannot travel raises `INVALID` and names the place.',
      params = {
        { 'v', 'any' },
      },
      returns = { { 'string' } },
      errors = {
        'INVALID: a value that cannot travel, with its place',
      },
      example = [[
local msgpack = require 'perilune.msgpack'
print(#msgpack.encode { 1, 2, 3 })
]],
      prints = '4',
    },
    {
      name = 'decode',
      text = 'Decodes one value. Anything else, bytes behind it included, raises `PROTOCOL`.',
      params = {
          },
      returns = { { 'any' } },
      errors = {
        'PROTOCOL: it is no MessagePack',
      },
    },
  },
}
