--- What perilune.files has: see perilune.api.

return {
  name = 'perilune.files',
  text = 'Files over the mesh, of any size with constant memory: served below a folder, fetched, '
    .. 'stored, and the parts of which scripts make transfers of their own.',
  errors = {
    'IO_ERROR: the system refuses; `details.errno` is the name of its error',
    'NOT_FOUND: nobody serves files by that name, or there is no such file',
    'what `mesh.call` raises',
  },
  functions = {
    {
      name = 'serve',
      text = 'Offers the files below a folder: with the name `files` the actions `files.stat`, '
        .. '`files.get`, and with `write = true` also `files.put`. Names that lead out of the folder, '
        .. 'and links, are refused.',
      params = {
        { 'name', 'string' },
        { 'folder', 'string' },
        { 'options', 'perilune.files.ServeOptions?' },
      },
    },
    {
      name = 'download',
      text = 'Fetches a file from a node that offers it. It has its name when all of it is there and its '
        .. 'digest is right.',
      params = {
        { 'name', 'string', 'Of `files.serve` there.' },
        { 'remote', 'string' },
        { 'path', 'string' },
        { 'options', 'perilune.files.TransferOptions?' },
      },
      returns = { { 'integer', 'size' }, { 'string', 'sha256' } },
    },
    {
      name = 'upload',
      text = 'Stores a file at a node that takes them.',
      params = {
        { 'name', 'string', 'Of `files.serve` there.' },
        { 'path', 'string' },
        { 'remote', 'string' },
        { 'options', 'perilune.files.TransferOptions?' },
      },
      returns = { { 'integer', 'size' }, { 'string', 'sha256' } },
    },
    {
      name = 'stat',
      text = 'What a node has of a file: `size` and `modified`, `part` (bytes of an upload that is not '
        .. 'whole), `node`.',
      params = {
        { 'name', 'string', 'Of `files.serve` there.' },
        { 'remote', 'string' },
        { 'options', 'perilune.files.TransferOptions?' },
      },
      returns = { { '{ size: integer?, modified: number?, part: integer?, node: string }' } },
    },
    {
      name = 'blocks',
      text = 'Iterates over a file in blocks of 64 KiB: `for block in files.blocks(path) do`. Its first '
        .. 'value has `size` and `digest()`. Raises `CHANGED` when the file does not stay what it is. '
        .. 'With `root` the path is a name below that folder.',
      params = {
        { 'path', 'string' },
        { 'options', '{ offset: integer?, root: string? }?' },
      },
      returns = { { 'perilune.files.Source', 'next' }, { 'nil' }, { 'nil' }, { 'perilune.files.Source', 'closing' } },
    },
    {
      name = 'store',
      text = 'Stores the strings that an iterator gives. The file has its name when all of them are on the '
        .. 'disk; when the iterator fails there is nothing.',
      params = {
        { 'path', 'string' },
        { 'blocks', 'function|table', 'An iterator, or the values of a generic `for` in a table.' },
        { 'options', 'perilune.files.StoreOptions?' },
      },
      returns = { { 'integer', 'size' }, { 'string', 'sha256' } },
      example = [[
local files = require 'perilune.files'
local parts = { 'a', 'b' }
print((files.store('ab.txt', function() return table.remove(parts, 1) end)))
]],
      prints = '2',
    },
  },
  classes = {
    {
      name = 'perilune.files.ServeOptions',
      fields = {
        { 'write', 'boolean?', 'Files may be stored there, too.' },
        { 'max_size', 'integer?', 'Bytes of one that is stored.' },
        { 'concurrency', 'integer?', 'Transfers of one kind at once; 16 by default.' },
      },
    },
    {
      name = 'perilune.files.Source',
      operator = 'call: string?',
      text = 'A file that is sent: its blocks in order, and their digest. Called, it is `next`.',
      fields = {
        { 'size', 'integer', 'Bytes from its beginning to the end of the file.' },
        { 'at', 'integer', 'Bytes that have been read of them.' },
        { 'modified', 'number', 'Seconds since 1970.' },
      },
      methods = {
        {
          name = 'next',
          text = 'The next block of 64 KiB; the last one may be shorter. Nil at the end.',
          returns = { { 'string?' } },
          errors = { 'CHANGED: the file is no more what it was at first' },
        },
        { name = 'rewind', text = 'Back to the beginning.' },
        {
          name = 'prefix',
          text = 'Reads the first `n` bytes and returns their digest.',
          params = { { 'n', 'integer', 'At most its size.' }, { 'each', 'fun()?', 'Called after every block.' } },
          returns = { { 'string' } },
        },
        {
          name = 'digest',
          text = 'The SHA-256 of what has been read, in hexadecimal digits.',
          returns = { { 'string' } },
        },
        { name = 'close', text = 'Closes the file.' },
      },
    },
    {
      name = 'perilune.files.TransferOptions',
      fields = {
        { 'progress', 'fun(done: integer, total: integer)?', 'Called at the beginning and after every block.' },
        { 'resume', 'boolean?', 'Keeps what has come when it breaks off, and goes on from there the next time.' },
        { 'offset', 'integer?', 'The part of the file from this byte on is what is transferred.' },
        { 'max_size', 'integer?', 'Bytes that a download may have.' },
        { 'node', 'string?', 'As for `mesh.with`, as all that follow.' },
        { 'timeout', 'number?' },
        { 'idle', 'number?' },
        { 'wait', 'number?' },
        { 'priority', "'high'|'normal'|'low'|nil" },
        { 'meta', 'table?' },
      },
    },
    {
      name = 'perilune.files.StoreOptions',
      fields = {
        { 'size', 'integer?', 'That it must have.' },
        { 'sha256', 'string?', 'That it must have, in hexadecimal digits.' },
        { 'max_size', 'integer?' },
        { 'root', 'string?', 'The path is a name below this folder.' },
      },
    },
  },
}
