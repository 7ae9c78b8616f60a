--- Tables for people: columns as wide as their widest cell.

local M = {}

--- Control characters and bytes that are not UTF-8 would move the cursor of whoever reads.
local function printable(text)
  if utf8.len(text) and not text:find '%c' then return text end
  return (text:gsub('[%c\128-\255]', function(c) return ('\\x%02x'):format(c:byte()) end))
end

---@param header string[]
---@param rows string[][]
---@return string # lines
function M.format(header, rows)
  local all, widths = { header }, {}
  for i, row in ipairs(rows) do all[i + 1] = row end
  for _, row in ipairs(all) do
    for i, cell in ipairs(row) do
      row[i] = printable(cell)
      widths[i] = math.max(widths[i] or 0, utf8.len(row[i]))
    end
  end
  local lines = {}
  for n, row in ipairs(all) do
    local cells = {}
    for i, cell in ipairs(row) do cells[i] = cell .. (' '):rep(widths[i] - utf8.len(cell)) end
    lines[n] = table.concat(cells, '  '):gsub(' +$', '') .. '\n'
  end
  return table.concat(lines)
end

return M
