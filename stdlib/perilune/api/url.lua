--- What perilune.url has: see perilune.api.

return {
  name = 'perilune.url',
  text = 'Addresses as RFC 3986 has them, strict: what is not an address raises `INVALID`.',
  errors = {
    'INVALID: a text that is no address, or has a bad escape',
  },
  functions = {
    {
      name = 'encode',
      text = 'Escapes everything but letters, digits and `-._~`.',
      params = {
        { 'text', 'string' },
      },
      returns = { { 'string' } },
    },
    {
      name = 'decode',
      text = 'Undoes `encode`.',
      params = {
        { 'text', 'string' },
      },
      returns = { { 'string' } },
    },
    {
      name = 'parse_query',
      text = "Reads `a=1&b=2`: `+` is a space, a name without `=` has the value ''. A name that occurs "
        .. 'more than once has a list.',
      params = {
        { 'text', 'string' },
      },
      returns = { { 'table<string, string|string[]>' } },
    },
    {
      name = 'format_query',
      text = 'Writes a table of strings, numbers, booleans and lists of them, sorted by name.',
      params = {
        { 'query', 'table<string, any>' },
      },
      returns = { { 'string' } },
    },
    {
      name = 'parse',
      text = 'Takes an address apart. One without a scheme is relative: it has a path, perhaps a query and '
        .. 'a fragment.',
      params = {
        { 'text', 'string' },
      },
      returns = { { 'perilune.Url' } },
      example = [[
local url = require 'perilune.url'
local parts = url.parse 'http://example.org:8080/a?b=1'
print(parts.host, parts.port, parts.path, url.parse_query(parts.query).b)
]],
      prints = 'example.org\t8080\t/a\t1',
    },
    {
      name = 'format',
      text = 'Puts an address together. `query` may be a table, as for `format_query`.',
      params = {
        { 'url', 'perilune.Url' },
      },
      returns = { { 'string' } },
    },
  },
  classes = {
    {
      name = 'perilune.Url',
      fields = {
        { 'scheme', 'string?', 'In lower case.' },
        { 'user', 'string?', 'Decoded, as `password`, `path` and `fragment`.' },
        { 'password', 'string?' },
        { 'host', 'string?', 'In lower case; an IPv6 address without its brackets.' },
        { 'port', 'integer?' },
        { 'path', 'string' },
        { 'query', 'string?', 'As it is written: see `parse_query`.' },
        { 'fragment', 'string?' },
      },
    },
  },
}
