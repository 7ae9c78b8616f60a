--- What perilune.fs has: see perilune.api.

return {
  name = 'perilune.fs',
  text = 'Files and folders. Every function waits for the system without holding up other tasks, and '
    .. 'raises an error object when the system refuses: `err.message` is `open /x: no such file or '
    .. 'directory`, `err.details.errno` is `ENOENT`.',
  errors = {
    'IO_ERROR: the system refuses; `details.errno` is the name of its error',
    'BUSY: more than 1024 pieces of file work are waiting',
  },
  functions = {
    {
      name = 'open',
      text = 'Opens a file. A FIFO waits for its other end, which can be cancelled like any wait.',
      params = {
        { 'path', 'string' },
        { 'mode', 'string?', '`r` (default), `w`, `a`, `r+`, `w+`, `a+`, or `wx`: the file must not exist.' },
      },
      returns = { { 'perilune.File' } },
    },
    {
      name = 'read',
      text = 'Reads a whole file. One larger than `max` (64 MiB) is refused with `TOO_LARGE`.',
      params = {
        { 'path', 'string' },
        { 'options', '{ max: integer? }?' },
      },
      returns = { { 'string' } },
      errors = {
        'TOO_LARGE: more than `max` bytes',
      },
    },
    {
      name = 'write',
      text = 'Writes a whole file.',
      params = {
        { 'path', 'string' },
        { 'data', 'string' },
        { 'options', 'perilune.fs.WriteOptions?' },
      },
    },
    {
      name = 'lines',
      text = 'Iterates over the lines of a file, without their newlines; `keep` keeps them. Leaving the '
        .. 'loop closes the file.',
      params = {
        { 'path', 'string' },
        { 'options', '{ keep: boolean? }?' },
      },
      returns = { { 'fun(): string?', 'next' }, { 'nil' }, { 'nil' }, { 'perilune.File', 'closing' } },
      example = [[
local fs = require 'perilune.fs'
fs.write('poem.txt', 'one\ntwo\n')
for line in fs.lines 'poem.txt' do print(line) end
]],
      prints = [[
one
two
]],
    },
    {
      name = 'chunks',
      text = 'Iterates over a file in pieces of at most `size` bytes (64 KiB). Leaving the loop closes the '
        .. 'file.',
      params = {
        { 'path', 'string' },
        { 'size', 'integer?' },
      },
      returns = { { 'fun(): string?', 'next' }, { 'nil' }, { 'nil' }, { 'perilune.File', 'closing' } },
    },
    {
      name = 'stat',
      text = 'What the system knows of a path. A link is followed unless `follow = false`.',
      params = {
        { 'path', 'string' },
        { 'options', '{ follow: boolean? }?' },
      },
      returns = { { 'perilune.fs.Stat' } },
    },
    {
      name = 'exists',
      text = 'True when the path leads to something; an error other than its absence is raised.',
      params = {
        { 'path', 'string' },
      },
      returns = { { 'boolean' } },
    },
    {
      name = 'list',
      text = 'The names in a folder, sorted by their bytes.',
      params = {
        { 'path', 'string' },
      },
      returns = { { 'string[]' } },
    },
    {
      name = 'mkdir',
      text = 'Makes a folder. With `parents` those above it too, and one that exists is fine.',
      params = {
        { 'path', 'string' },
        { 'options', '{ parents: boolean?, mode: integer? }?' },
      },
    },
    {
      name = 'rename',
      text = 'Renames within a file system; what has the new name is replaced.',
      params = {
        { 'from', 'string' },
        { 'to', 'string' },
      },
    },
    {
      name = 'remove',
      text = 'Removes a file, a link or an empty folder; with `recursive` a folder with all that is in it.',
      params = {
        { 'path', 'string' },
        { 'options', '{ recursive: boolean? }?' },
      },
    },
    {
      name = 'watch',
      text = "Watches a file or a folder (not those below it): `for change in fs.watch 'dir' do`. Changes "
        .. 'are kept from the call on; leaving the loop ends it.',
      params = {
        { 'path', 'string' },
      },
      returns = { { 'perilune.fs.Watcher', 'next' }, { 'nil' }, { 'nil' }, { 'perilune.fs.Watcher', 'closing' } },
    },
  },
  classes = {
    {
      name = 'perilune.File',
      methods = {
        {
          name = 'read',
          text = 'Reads as the files of Lua do.',
          params = {
            { '...', 'string|integer', "`'l'` (default), `'L'`, `'a'`, `'n'`, or a number of bytes." },
          },
          returns = {
            { 'string|number|nil', '...', 'One value a format' },
            { 'nil', '', 'at the end of the file.' },
          },
        },
        {
          name = 'lines',
          text = 'Iterates over the rest of the file.',
          params = {
            { '...', 'string|integer', 'As for `read`.' },
          },
          returns = { { 'fun(): string|number|nil', '...' } },
        },
        {
          name = 'write',
          text = 'Writes strings and numbers, all of them or none is lost without an error.',
          params = {
            { '...', 'string|number' },
          },
          returns = { { 'perilune.File', 'self' } },
        },
        {
          name = 'seek',
          text = 'Moves the position, as in Lua.',
          params = {
            { 'whence', "'set'|'cur'|'end'|nil", "Default `'cur'`." },
            { 'offset', 'integer?', 'Default 0.' },
          },
          returns = { { 'integer', 'position', 'From the start of the file.' } },
        },
        {
          name = 'sync',
          text = 'Waits until what was written is on the disk.',
          returns = { { 'perilune.File', 'self' } },
        },
        {
          name = 'close',
          text = 'Closes the file and raises what the system reports of it. Closing twice is fine.',
        },
      },
    },
    {
      name = 'perilune.fs.WriteOptions',
      fields = {
        { 'append', 'boolean?', 'Behind what the file holds.' },
        { 'atomic', 'boolean?',
          'Others see the old bytes or the new ones, never a part. Permissions stay, a link points on.',
        },
        { 'sync', 'boolean?', 'Waits until it is on the disk.' },
        { 'exclusive', 'boolean?', 'The file must not exist.' },
        { 'mode', 'integer?', 'Permissions of a new file, default 0666 less the umask.' },
      },
    },
    {
      name = 'perilune.fs.Stat',
      fields = {
        { 'type', "'file'|'directory'|'link'|'fifo'|'socket'|'device'" },
        { 'size', 'integer' },
        { 'mode', 'integer', 'Permissions.' },
        { 'modified', 'number', 'Seconds since 1970, as `accessed` and `changed`.' },
        { 'accessed', 'number' },
        { 'changed', 'number' },
        { 'uid', 'integer' },
        { 'gid', 'integer' },
        { 'links', 'integer' },
        { 'inode', 'integer' },
        { 'device', 'integer' },
      },
    },
    {
      name = 'perilune.fs.Change',
      fields = {
        { 'kind', "'change'|'rename'|'overflow'",
          '`rename`: appeared, vanished or was renamed; `overflow`: more than 1024 waited, and some were lost.',
        },
        { 'name', 'string?', 'In the watched folder.' },
      },
    },
    {
      name = 'perilune.fs.Watcher',
      operator = 'call: perilune.fs.Change?',
      methods = {
        {
          name = 'next',
          text = 'Waits for the next change; nil once closed.',
          returns = { { 'perilune.fs.Change?' } },
        },
        { name = 'close', text = 'Ends it; a `next` that waits gives nil.' },
      },
    },
  },
}
