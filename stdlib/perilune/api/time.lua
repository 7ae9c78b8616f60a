--- What perilune.time has: see perilune.api.

return {
  name = 'perilune.time',
  text = 'Time of day as seconds since 1970, and as text.',
  functions = {
    {
      name = 'now',
      text = 'The time of day in seconds since 1970, UTC, with a fraction.',
      returns = { { 'number' } },
    },
    {
      name = 'monotonic',
      text = 'Seconds from an arbitrary start that only go forward: for durations.',
      returns = { { 'number' } },
    },
    {
      name = 'format',
      text = 'Writes a time as text: by default ISO 8601 in UTC, with milliseconds unless the time is whole.',
      params = {
        { 'time', 'number?', 'Default: now.' },
        { 'format', 'string?', 'As `os.date` takes it.' },
        { 'options', "{ zone: 'utc'|'local'|nil }?", 'Default UTC.' },
      },
      returns = { { 'string' } },
    },
    {
      name = 'parse',
      text = 'Reads an ISO 8601 time as RFC 3339 has it, `2026-01-02T03:04:05.678+01:00`, or a date alone '
        .. '(midnight UTC). Anything else raises `INVALID`.',
      params = {
        { 'text', 'string' },
      },
      returns = { { 'number', 'seconds', 'Since 1970; an integer unless there is a fraction.' } },
      errors = {
        'INVALID: it is no such time',
      },
      example = [[
local time = require 'perilune.time'
print(time.format(time.parse '2026-01-02T04:04:05+01:00'))
]],
      prints = '2026-01-02T03:04:05Z',
    },
  },
}
