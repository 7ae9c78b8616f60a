--- What perilune.dns has: see perilune.api.

return {
  name = 'perilune.dns',
  text = 'Names and addresses, as the system resolves them. Failures are error objects with '
    .. '`details.errno` (`EAI_NONAME`: there is no such name).',
  errors = {
    'IO_ERROR: the system refuses; `details.errno` is the name of its error, `EAI_NONAME`: there is no such name',
  },
  functions = {
    {
      name = 'resolve',
      text = 'The addresses of a name, best first.',
      params = {
        { 'name', 'string' },
        { 'options', "{ family: 'ipv4'|'ipv6'|nil }?" },
      },
      returns = { { 'string[]' } },
      example = [[
local dns = require 'perilune.dns'
print(dns.resolve('127.0.0.1')[1])
]],
      prints = '127.0.0.1',
    },
    {
      name = 'reverse',
      text = 'The name of an address.',
      params = {
        { 'address', 'string' },
      },
      returns = { { 'string' } },
    },
  },
}
