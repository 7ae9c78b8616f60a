--- What a command sends as the input of a stream: a file, or standard input, in blocks of at most 64 KiB.

local core = require 'perilune.core.fs'
local files = require 'perilune.files'
local fs = require 'perilune.fs'
local names = require 'perilune.files.names'

local M = {}

local BLOCK = 65536

local function read_stdin()
  local handle = core.standard(0)
  local stat = handle:stat()
  local size = stat.type == 'file' and stat.size - handle:seek('cur', 0) or nil
  local function read()
    local block = handle:read(BLOCK)
    if block or not size then return block end
    local now = handle:stat().size
    if now >= stat.size then return nil end
    local what = 'standard input: its size went from %d to %d bytes while it was read'
    names.fail('CHANGED', what:format(stat.size, now))
  end
  return read, nil, nil, nil, size
end

local function read_file(path)
  local stat = fs.stat(path)
  -- A pipe has no size, and neither have the files that the system makes up as they are read.
  local is_known = stat.type == 'file' and stat.size > 0 or stat.type == 'directory'
  if not is_known then return fs.chunks(path, BLOCK) end
  local source = files.blocks(path)
  return source, nil, nil, source, source.size
end

--- Opens what the option `--input` names; `-` is standard input.
---
---@param name string
---@param count fun(bytes: integer) Told of every block.
---@return table iterator For `mesh.with`.
---@return integer? size Bytes, when that is known.
function M.open(name, count)
  local step, state, first, closing, size
  if name == '-' then
    step, state, first, closing, size = read_stdin()
  else
    step, state, first, closing, size = read_file(name)
  end
  local function each(...)
    local block = step(...)
    if block then count(#block) end
    return block
  end
  return { each, state, first, closing }, size
end

return M
