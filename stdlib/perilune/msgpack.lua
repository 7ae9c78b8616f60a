--- MessagePack, as values travel between nodes.

local codec = require 'perilune.core.codec'
local value = require 'perilune.core.value'
local check = require 'perilune.check'

local M = {}

--- An explicit nil inside tables.
M.null = value.null

--- Marks a table as an array of `n` elements, or of its length.
M.array = value.array

--- Marks a string as binary, which valid UTF-8 would not be.
M.bytes = value.bytes

--- Encodes a value. What cannot travel raises `INVALID` and names the place.
---
---@param v any
---@return string
function M.encode(v)
  return codec.encode('msgpack', v)
end

--- Decodes one value. Anything else, bytes behind it included, raises `PROTOCOL`.
---
---@param bytes string
---@return any
function M.decode(bytes)
  check.arg(bytes, 'string', 1, 'msgpack.decode')
  return codec.decode('msgpack', bytes)
end

return M
