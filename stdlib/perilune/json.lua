--- JSON as RFC 8259 has it, strict in both directions. Integers of 64 bits stay exact and floats stay floats.

local codec = require 'perilune.core.codec'
local value = require 'perilune.core.value'
local check = require 'perilune.check'

local M = {}

--- The null of JSON; nil cannot stand in a table.
M.null = value.null

--- Marks a table as an array of `n` elements, or of its length: the empty table alone reads as an object.
M.array = value.array

--- Encodes a value. What JSON cannot hold raises `INVALID` and names the place.
---
---@param v any
---@param options { pretty: boolean? }? `pretty`: indented, one value a line.
---@return string
function M.encode(v, options)
  options = check.options(options, { pretty = 'boolean' }, 2, 'json.encode')
  local text = codec.encode('json', v)
  return options.pretty and codec.indent(text) or text
end

--- Decodes one value. Anything else, bytes behind it included, raises `PROTOCOL`.
---
---@param text string
---@return any
function M.decode(text)
  check.arg(text, 'string', 1, 'json.decode')
  return codec.decode('json', text)
end

return M
