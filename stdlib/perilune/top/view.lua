--- What `perilune top` shows on a screen of some size, and what keys do to it. No terminal: frames are lines.

local columns = require 'perilune.cli.columns'

local M = {}

M.COLUMNS_MIN, M.ROWS_MIN = 40, 8

--- Columns of actions, by which they can be sorted.
M.sortable = { 'rate', 'errors', 'p50', 'p99', 'running', 'queued', 'items', 'action', 'node' }

local HEADS = {
  { 'action', 'ACTION' }, { 'node', 'NODE' }, { 'rate', 'CALLS/S' }, { 'p50', 'P50' }, { 'p99', 'P99' },
  { 'running', 'RUNNING' }, { 'queued', 'QUEUED' }, { 'errors', 'ERRORS/S' }, { 'items', 'ITEMS/S' },
}
local NODE_HEADS = {
  'NODE', 'STATE', 'UP', 'LINKS', 'SERVED/S', 'CALLED/S', 'PASSED/S', 'RUNNING', 'QUEUED', 'HELD', 'TASKS',
}
local HELP = { 's S sort', 'r reverse', '/ filter', 'c callers', 'n nodes', 't together', 'p pause', 'q quit' }

local function number(n)
  if n >= 1e6 then return ('%.1fM'):format(n / 1e6) end
  if n >= 1e4 then return ('%.1fk'):format(n / 1e3) end
  if n >= 10 or n == math.floor(n) then return ('%.0f'):format(n) end
  return ('%.1f'):format(n)
end

local function latency(seconds)
  if not seconds then return '-' end
  if seconds < 0.001 then return ('%.0f us'):format(seconds * 1e6) end
  if seconds < 1 then return ('%.1f ms'):format(seconds * 1e3) end
  return ('%.1f s'):format(seconds)
end

local function duration(seconds)
  if seconds < 100 then return ('%.0f s'):format(seconds) end
  if seconds < 6000 then return ('%.0f min'):format(seconds / 60) end
  if seconds < 172800 then return ('%.0f h'):format(seconds / 3600) end
  return ('%.0f d'):format(seconds / 86400)
end

local function bytes(n)
  for _, unit in ipairs { 'B', 'KiB', 'MiB' } do
    if n < 1024 then return (unit == 'B' and '%.0f %s' or '%.1f %s'):format(n, unit) end
    n = n / 1024
  end
  return ('%.1f GiB'):format(n)
end

---@class perilune.top.State What the keys have chosen.
---@field sort integer Place in `sortable`.
---@field reverse boolean
---@field filter string
---@field typing string? The filter while it is typed.
---@field callers boolean Actions as they are called, not as they are served.
---@field nodes boolean The nodes are shown.
---@field together boolean All nodes of an action in one row.
---@field paused boolean
---@field scroll integer Rows above the first that is shown.

---@return perilune.top.State
function M.state()
  return { sort = 1, reverse = false, filter = '', callers = false, nodes = true, together = false, paused = false,
    scroll = 0 }
end

-- Texts ascend, figures descend, as long as nobody turns that round.
local function before(a, b, name, reverse)
  local x, y = a[name] or -1, b[name] or -1
  if type(x) ~= type(y) then x, y = tostring(x), tostring(y) end
  if x == y then
    if a.action ~= b.action then return a.action < b.action end
    return (a.id or '') < (b.id or '')
  end
  local ascends = type(x) == 'string'
  if reverse then ascends = not ascends end
  if ascends then return x < y end
  return x > y
end

--- The rows that are wanted, in the order that is wanted.
---
---@param model perilune.top.Model
---@param state perilune.top.State
---@return perilune.top.Row[]
function M.rows(model, state)
  local rows, filter = {}, (state.typing or state.filter):lower()
  for _, row in ipairs(state.together and model:together() or model.rows) do
    local named = row.action:lower():find(filter, 1, true) or row.node:lower():find(filter, 1, true)
    if row.served ~= state.callers and named then rows[#rows + 1] = row end
  end
  local name = M.sortable[state.sort]
  table.sort(rows, function(a, b) return before(a, b, name, state.reverse) end)
  return rows
end

local function action_cells(row)
  return { row.action ~= '' and row.action or '(others)', row.node, number(row.rate), latency(row.p50),
    latency(row.p99), number(row.running), number(row.queued), number(row.errors), number(row.items) }
end

local function node_cells(node)
  if not node.uptime then return { node.name, node.state, '-', '-', '-', '-', '-', '-', '-', '-', '-' } end
  return { node.name, node.state, duration(node.uptime), number(node.links), number(node.rate), number(node.calls),
    number(node.relayed), number(node.running), number(node.queued), bytes(node.held), number(node.tasks) }
end

--- Lines of a table, without their ends.
local function lines_of(header, rows)
  local lines = {}
  for line in columns.format(header, rows):gmatch '([^\n]*)\n' do lines[#lines + 1] = line end
  return lines
end

local function action_header(state)
  local header = {}
  for i, head in ipairs(HEADS) do
    local sorted = head[1] == M.sortable[state.sort]
    header[i] = head[2] .. (sorted and (state.reverse and '^' or 'v') or '')
  end
  return header
end

--- The tables as text, for a screen without end.
---
---@param model perilune.top.Model
---@param state perilune.top.State
---@return string[] nodes
---@return string[] actions
function M.tables(model, state)
  local nodes, actions = {}, {}
  for i, node in ipairs(model.nodes) do nodes[i] = node_cells(node) end
  for i, row in ipairs(M.rows(model, state)) do actions[i] = action_cells(row) end
  return lines_of(table.move(NODE_HEADS, 1, #NODE_HEADS, 1, {}), nodes), lines_of(action_header(state), actions)
end

local function clipped(line, width)
  if utf8.len(line) <= width then return line end
  return line:sub(1, utf8.offset(line, width + 1) - 1)
end

local function too_small(width, height)
  local lines = {}
  local text = ('the terminal is too small: %d x %d, at least %d x %d are needed; q ends'):format(width, height,
    M.COLUMNS_MIN, M.ROWS_MIN)
  while text ~= '' and #lines < height do
    lines[#lines + 1] = text:sub(1, width)
    text = text:sub(width + 1)
  end
  return lines
end

local function title(model, state)
  local calls, errors = 0, 0
  for _, row in ipairs(model.rows) do
    if row.served then calls, errors = calls + row.rate, errors + row.errors end
  end
  local text = ('%d node%s  %s calls/s  %s errors/s'):format(#model.nodes, #model.nodes == 1 and '' or 's',
    number(calls), number(errors))
  if state.paused then text = text .. '  paused' end
  if state.typing then return text .. '  filter: ' .. state.typing .. '_' end
  return state.filter ~= '' and text .. '  filter: ' .. state.filter or text
end

--- One screen: as many lines as it has rows, none wider than it. The first of each table stand out by `marked`.
---
---@param model perilune.top.Model
---@param state perilune.top.State
---@param width integer
---@param height integer
---@return string[] lines
---@return table<integer, true> marked
function M.frame(model, state, width, height)
  if width < M.COLUMNS_MIN or height < M.ROWS_MIN then return too_small(width, height), {} end
  local nodes, actions = M.tables(model, state)
  local lines, marked = { title(model, state), '' }, { true }
  if state.nodes then
    local room = math.min(#nodes, math.max(2, (height - 3) // 3))
    marked[#lines + 1] = true
    for i = 1, room do lines[#lines + 1] = nodes[i] end
    if room < #nodes then lines[#lines] = ('and %d more nodes'):format(#nodes - room + 1) end
    lines[#lines + 1] = ''
  end
  local room = height - #lines - 2
  state.scroll = math.max(0, math.min(state.scroll, #actions - 1 - room))
  marked[#lines + 1] = true
  lines[#lines + 1] = (state.callers and actions[1]:gsub('^ACTION', 'CALLED') or actions[1])
  for i = 1, room do lines[#lines + 1] = actions[1 + state.scroll + i] or '' end
  lines[#lines + 1] = table.concat(HELP, '  ')
  for i, line in ipairs(lines) do lines[i] = clipped(line, width) end
  return lines, marked
end

-- Keys.

local MOVES = { ['\27[A'] = -1, ['\27[B'] = 1, k = -1, j = 1, ['\27[5~'] = -10, ['\27[6~'] = 10 }
local SWITCHES = { c = 'callers', n = 'nodes', t = 'together', p = 'paused', r = 'reverse' }
local FILTER_MAX = 64

local function type_filter(state, key)
  if key == '\r' or key == '\n' then
    state.filter, state.typing = state.typing, nil
  elseif key == '\27' then
    state.typing = nil
  elseif key == '\127' or key == '\8' then
    state.typing = state.typing:sub(1, -2)
  elseif #key == 1 and key:find '^[%g ]$' and #state.typing < FILTER_MAX then
    state.typing = state.typing .. key
  end
end

--- Bytes from a terminal, as keys: escape sequences whole.
---
---@param text string
---@return string[]
function M.keys(text)
  local keys, at = {}, 1
  while at <= #text do
    local key = text:match('^\27%[[%d;]*[%a~]', at) or text:match('^\27O%a', at) or text:sub(at, at)
    keys[#keys + 1] = key
    at = at + #key
  end
  return keys
end

--- Does what the key means. False: it ends the program.
---
---@param state perilune.top.State
---@param key string
---@return boolean
function M.press(state, key)
  if state.typing then
    type_filter(state, key)
  elseif key == 'q' or key == 'Q' or key == '\4' then
    return false
  elseif SWITCHES[key] then
    state[SWITCHES[key]] = not state[SWITCHES[key]]
  elseif MOVES[key] then
    state.scroll = math.max(0, state.scroll + MOVES[key])
  elseif key == 's' or key == '>' then
    state.sort = state.sort % #M.sortable + 1
  elseif key == 'S' or key == '<' then
    state.sort = (state.sort - 2) % #M.sortable + 1
  elseif key == '/' then
    state.typing = ''
  elseif key == '\27' then
    state.filter = ''
  end
  return true
end

return M
