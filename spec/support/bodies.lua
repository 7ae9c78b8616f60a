--- Bodies of messages for unit specs, written by hand.

local put = require('perilune.testing').wire.msgpack.put

local M = {}

M.ID, M.NONCE = ('i'):rep(16), ('n'):rep(16)

function M.str(s) return put('str', s) end

function M.array(...) return put('array', select('#', ...)) .. table.concat { ... } end

--- A map of alternating keys and encoded values.
function M.map(...)
  local n = select('#', ...)
  local parts = { put('map', n // 2) }
  for i = 1, n, 2 do
    parts[#parts + 1] = put('int', (select(i, ...)))
    parts[#parts + 1] = (select(i + 1, ...))
  end
  return table.concat(parts)
end

return M
