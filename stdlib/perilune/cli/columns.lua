--- Tables for people: columns as wide as their widest cell.

local M = {}

--- Control characters and bytes that are not UTF-8 would move the cursor of whoever reads.
function M.printable(text)
  if utf8.len(text) and not text:find '%c' then return text end
  return (text:gsub('[%c\128-\255]', function(c) return ('\\x%02x'):format(c:byte()) end))
end

--- Lines of rows whose cells stand below each other. A row may end early.
---
---@param rows string[][]
---@return string
function M.rows(rows)
  local widths = {}
  for _, row in ipairs(rows) do
    for i, cell in ipairs(row) do
      row[i] = M.printable(cell)
      widths[i] = math.max(widths[i] or 0, utf8.len(row[i]))
    end
  end
  local lines = {}
  for n, row in ipairs(rows) do
    local cells = {}
    for i, cell in ipairs(row) do cells[i] = cell .. (' '):rep(widths[i] - utf8.len(cell)) end
    lines[n] = table.concat(cells, '  '):gsub(' +$', '') .. '\n'
  end
  return table.concat(lines)
end

---@param header string[]
---@param rows string[][]
---@return string # lines
function M.format(header, rows)
  return M.rows(table.move(rows, 1, #rows, 2, { header }))
end

return M
