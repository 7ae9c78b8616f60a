--- What perilune.stdio has: see perilune.api.

return {
  name = 'perilune.stdio',
  text = 'Standard input and output without holding up other tasks. `io.read` and `io.lines` read '
    .. 'through this module.',
  functions = {
    {
      name = 'read',
      text = 'Reads from standard input as `io.read` does. One task may read at a time.',
      params = {
        { '...', 'string|integer', "`'l'` (default), `'L'`, `'a'`, `'n'`, or a number of bytes." },
      },
      returns = { { 'string|number|nil', '...', 'Nil at the end.' } },
    },
    {
      name = 'line',
      text = 'Reads a line of at most `max` bytes from standard input, without its end. A longer one raises '
        .. '`TOO_LARGE` and is lost as far as it was read.',
      params = {
        { 'max', 'integer' },
      },
      returns = { { 'string?', nil, 'Nil at the end.' } },
    },
    {
      name = 'lines',
      text = 'Iterates over standard input.',
      params = {
        { '...', 'string|integer', 'As for `read`.' },
      },
      returns = { { 'fun(): string|number|nil', '...' } },
    },
    {
      name = 'write',
      text = 'Writes to standard output and waits until whoever reads it has room. `print` does not wait.',
      params = {
        { '...', 'string|number' },
      },
      example = [[
require 'perilune.stdio'.write('a line', '\n')
]],
      prints = 'a line',
    },
    {
      name = 'is_tty',
      text = 'Whether a standard stream is a terminal.',
      params = {
        { 'name', "'stdin'|'stdout'|'stderr'|nil", "Default `'stdout'`." },
      },
      returns = { { 'boolean' } },
    },
    {
      name = 'columns',
      text = 'The width of the terminal that standard output is; nil when it is none.',
      returns = { { 'integer?' } },
    },
  },
}
