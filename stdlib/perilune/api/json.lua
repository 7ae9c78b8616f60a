--- What perilune.json has: see perilune.api.

return {
  name = 'perilune.json',
  text = 'JSON as RFC 8259 has it, strict in both directions. Integers of 64 bits stay exact and '
    .. 'floats stay floats.',
  values = {
    { 'null', 'userdata', 'The null of JSON; nil cannot stand in a table.' },
  },
  functions = {
    {
      name = 'array',
      text = 'Marks a table as an array of `n` elements, or of its length, and returns it: the empty table alone '
        .. 'reads as an object.',
      params = { { 't', 'table' }, { 'n', 'integer?' } },
      returns = { { 'table' } },
    },
    {
      name = 'encode',
      text = 'Encodes a value. What JSON cannot hold raises `INVALID` and names the place.',
      params = {
        { 'v', 'any' },
        { 'options', '{ pretty: boolean? }?', '`pretty`: indented, one value a line.' },
      },
      returns = { { 'string' } },
      errors = {
        'INVALID: a value that JSON cannot hold, with its place',
      },
      example = [[
local json = require 'perilune.json'
print(json.encode { list = json.array {} })
]],
      prints = '{"list":[]}',
    },
    {
      name = 'decode',
      text = 'Decodes one value. Anything else, bytes behind it included, raises `PROTOCOL`.',
      params = {
        { 'text', 'string' },
      },
      returns = { { 'any' } },
      errors = {
        'PROTOCOL: it is no JSON, with the place',
      },
    },
  },
}
