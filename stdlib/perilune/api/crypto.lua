--- What perilune.crypto has: see perilune.api.

return {
  name = 'perilune.crypto',
  text = 'Digests, randomness, and bytes as text.',
  functions = {
    {
      name = 'sha256',
      text = 'The SHA-256 of a string: 32 bytes, or 64 digits with `hex`.',
      params = {
        { 'bytes', 'string' },
        { 'options', '{ hex: boolean? }?' },
      },
      returns = { { 'string' } },
      example = [[
local crypto = require 'perilune.crypto'
print(crypto.sha256('abc', { hex = true }):sub(1, 16))
]],
      prints = 'ba7816bf8f01cfea',
    },
    {
      name = 'hasher',
      text = 'A SHA-256 of bytes that come in parts.',
      returns = { { 'perilune.Hasher' } },
    },
    {
      name = 'hmac',
      text = 'The HMAC-SHA256 of a string: 32 bytes, or 64 digits with `hex`. Compare it with `equal`.',
      params = {
        { 'key', 'string' },
        { 'bytes', 'string' },
        { 'options', '{ hex: boolean? }?' },
      },
      returns = { { 'string' } },
    },
    {
      name = 'equal',
      text = 'Compares two secrets in a time that does not tell where they differ.',
      params = {
        { 'a', 'string' },
        { 'b', 'string' },
      },
      returns = { { 'boolean' } },
    },
    {
      name = 'random',
      text = 'Unpredictable bytes, for keys and tokens.',
      params = {
        { 'n', 'integer', 'At most 1 MiB.' },
      },
      returns = { { 'string' } },
    },
    {
      name = 'uuid',
      text = 'A UUID of version 7: later ones of this script sort behind, and one does not tell the next.',
      returns = { { 'string' } },
    },
    {
      name = 'base64.encode',
      text = 'Encodes bytes; with `url` in the alphabet of addresses and without padding.',
      params = {
        { 'bytes', 'string' },
        { 'options', '{ url: boolean? }?' },
      },
      returns = { { 'string' } },
    },
    {
      name = 'base64.decode',
      text = 'Decodes what `encode` makes with the same options; anything else raises `INVALID`.',
      params = {
        { 'text', 'string' },
        { 'options', '{ url: boolean? }?' },
      },
      returns = { { 'string' } },
      errors = {
        'INVALID: it is no base64',
      },
    },
    {
      name = 'hex.encode',
      text = 'Two digits for each byte, in lower case.',
      params = {
        { 'bytes', 'string' },
      },
      returns = { { 'string' } },
    },
    {
      name = 'hex.decode',
      text = 'Decodes pairs of digits of either case; anything else raises `INVALID`.',
      params = {
        { 'text', 'string' },
      },
      returns = { { 'string' } },
      errors = {
        'INVALID: it is not made of pairs of digits',
      },
    },
  },
  classes = {
    {
      name = 'perilune.Hasher',
      methods = {
        {
          name = 'update',
          text = 'Adds bytes, however many.',
          params = {
            { 'bytes', 'string' },
          },
          returns = { { 'perilune.Hasher', 'self' } },
        },
        {
          name = 'digest',
          text = 'The digest of all bytes so far, to which more may be added: 32 bytes, or 64 digits with '
            .. '`hex`.',
          params = {
            { 'options', '{ hex: boolean? }?' },
          },
          returns = { { 'string' } },
        },
      },
    },
  },
}
