--- What perilune.process has: see perilune.api.

return {
  name = 'perilune.process',
  text = 'Child processes. A task that is cancelled takes the processes it started with it: SIGTERM, '
    .. 'and SIGKILL for what is left after `cleanup_grace`. They run in a session of their own, so '
    .. 'that their descendants go too.',
  errors = {
    'IO_ERROR: the system refuses; `details.errno` is the name of its error',
  },
  functions = {
    {
      name = 'spawn',
      text = 'Starts a process and returns while it runs. Its pipes are `stdin`, `stdout` and `stderr`.',
      params = {
        { 'command', 'perilune.Command' },
        { 'options', 'perilune.process.SpawnOptions?' },
      },
      returns = { { 'perilune.Process' } },
    },
    {
      name = 'run',
      text = 'Runs a process to its end. A code other than 0 is a result, not an error.',
      params = {
        { 'command', 'perilune.Command' },
        { 'options', 'perilune.process.RunOptions?' },
      },
      returns = { { 'perilune.process.Result' } },
      errors = {
        'TIMEOUT: it did not end in time',
        'TOO_LARGE: more output than `max_output`',
      },
      example = [[
local process = require 'perilune.process'
local result = process.run({ 'sh', '-c', 'tr a-z A-Z' }, { stdin = 'hello' })
print(result.code, result.stdout)
]],
      prints = '0\tHELLO',
    },
  },
  aliases = {
    { 'perilune.Command', 'string|string[]|{ cmd: string, args: string[]? }' },
  },
  classes = {
    {
      name = 'perilune.process.Input',
      methods = {
        {
          name = 'write',
          text = 'Waits until the process, or the pipe to it, has taken the bytes.',
          params = {
            { '...', 'string|number' },
          },
          returns = { { 'perilune.process.Input', 'self' } },
        },
        {
          name = 'close',
          text = 'The process reads the end of its input.',
        },
      },
    },
    {
      name = 'perilune.process.Output',
      methods = {
        {
          name = 'read',
          text = 'Reads as the files of Lua do.',
          params = {
            { '...', 'string|integer' },
          },
          returns = { { 'string|number|nil', '...' } },
        },
        {
          name = 'lines',
          text = 'Iterates over the output.',
          params = {
            { '...', 'string|integer' },
          },
          returns = { { 'fun(): string|number|nil', '...' } },
        },
        {
          name = 'chunks',
          text = 'Iterates over the output in pieces as they come.',
          returns = { { 'fun(): string?' } },
        },
      },
    },
    {
      name = 'perilune.Process',
      fields = {
        { 'pid', 'integer' },
        { 'stdin', 'perilune.process.Input?' },
        { 'stdout', 'perilune.process.Output?' },
        { 'stderr', 'perilune.process.Output?' },
      },
      methods = {
        {
          name = 'wait',
          text = 'Waits for the end. If the wait is cancelled or timed out, the process is ended.',
          returns = { { 'integer?', 'code', 'Nil when a signal ended it.' }, { 'integer?', 'signal' } },
        },
        {
          name = 'kill',
          text = 'Sends a signal to the process and its descendants; false when it has ended already.',
          params = {
            { 'signal', 'string|integer|nil', "A name such as `'TERM'` (default), or a number." },
          },
          returns = { { 'boolean' } },
        },
        {
          name = 'close',
          text = 'Ends it if it still runs, and closes its pipes.',
        },
      },
    },
    {
      name = 'perilune.process.SpawnOptions',
      fields = {
        { 'env', 'table<string, string|false>?', 'Changes to the environment.' },
        { 'clear_env', 'boolean?', 'Begin with an empty one.' },
        { 'cwd', 'string?' },
        { 'stdin', "'pipe'|'inherit'|'null'|nil" },
        { 'stdout', "'pipe'|'inherit'|'null'|nil" },
        { 'stderr', "'pipe'|'inherit'|'null'|nil" },
      },
    },
    {
      name = 'perilune.process.RunOptions',
      fields = {
        { 'stdin', 'string?', 'What it reads; nothing by default.' },
        { 'env', 'table<string, string|false>?' },
        { 'clear_env', 'boolean?' },
        { 'cwd', 'string?' },
        { 'timeout', 'number?', 'Seconds, after which it is ended and `TIMEOUT` raised.' },
        { 'max_output', 'integer?',
          'Bytes of each stream (16 MiB), beyond which it is ended and `TOO_LARGE` raised.',
        },
      },
    },
    {
      name = 'perilune.process.Result',
      fields = {
        { 'code', 'integer?', 'Nil when a signal ended it.' },
        { 'signal', 'integer?' },
        { 'stdout', 'string' },
        { 'stderr', 'string' },
      },
    },
  },
}
