--- How the figures of bench/run are shown and kept.

local process = require 'process'

local M = {}

local COLUMNS = { 'workload', 'bare C', 'prototype', 'perilune', 'goal', 'reached', '' }
local LAYOUT = '%-30s %12s %12s %12s  %-17s %8s  %s'

local function shown(figure, unit)
  if not figure then return '-' end
  if unit ~= '/s' then return ('%.3g %s'):format(figure, unit) end
  if figure >= 1e6 then return ('%.3g M/s'):format(figure / 1e6) end
  return ('%.3g k/s'):format(figure / 1e3)
end

local function goal_text(row)
  local sign, bound = row.most and '<=' or '>=', row.most or row.least
  local of = row.of and 'x ' .. row.of or row.unit
  return ('%s %g %s'):format(sign, bound, of)
end

--- What the columns say of a row.
local function cells(r)
  local unit, medians = r.row.unit, r.medians
  local reached = r.reached and (r.reached < 1000 and '%.2f' or '%.3g'):format(r.reached) or '-'
  local verdict = r.ok == nil and 'skipped' or r.ok and 'ok' or 'MISS'
  return {
    r.row.title, shown(medians.bare, unit), shown(medians.prototype, unit), shown(medians.perilune, unit),
    goal_text(r.row), reached, verdict,
  }
end

function M.print_table(results)
  print(LAYOUT:format(table.unpack(COLUMNS)))
  for _, r in ipairs(results) do print(LAYOUT:format(table.unpack(cells(r)))) end
end

--- Where and how was measured.
function M.machine(o, root)
  local function said(command) return (process.output(command .. ' 2>/dev/null')) end
  return {
    cpu = said "sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1",
    cpus = tonumber(said 'nproc'),
    kernel = said 'uname -r',
    system = said "sed -n 's/^PRETTY_NAME=\"\\(.*\\)\"/\\1/p' /etc/os-release",
    libuv = said 'pkg-config --modversion libuv',
    lua = said 'pkg-config --modversion lua5.4',
    commit = said(('git -C %s describe --always --dirty'):format(process.quoted(root))),
    date = os.date '!%Y-%m-%dT%H:%M:%SZ',
    rounds = o.rounds,
    seconds = o.seconds,
  }
end

--- As docs/performance.md has it.
function M.print_markdown(results, about)
  print(('%d x %s, Linux %s, %s, libuv %s, Lua %s; commit %s, %s; %d rounds, %g s a workload.\n'):format(
    about.cpus or 0, about.cpu, about.kernel, about.system, about.libuv, about.lua, about.commit,
    about.date, about.rounds, about.seconds))
  print('| ' .. table.concat(COLUMNS, ' | ') .. ' |')
  print('|' .. (' --- |'):rep(#COLUMNS))
  for _, r in ipairs(results) do print('| ' .. table.concat(cells(r), ' | ') .. ' |') end
end

--- JSON of tables with string keys, lists, and plain values.
local function json(value)
  if type(value) == 'number' then return ('%.9g'):format(value) end
  if type(value) == 'string' then return '"' .. value:gsub('[%c"\\]', '?') .. '"' end
  if type(value) ~= 'table' then return tostring(value) end
  local parts = {}
  if #value > 0 or next(value) == nil then
    for i, item in ipairs(value) do parts[i] = json(item) end
    return '[' .. table.concat(parts, ', ') .. ']'
  end
  for key, item in pairs(value) do parts[#parts + 1] = json(key) .. ': ' .. json(item) end
  table.sort(parts)
  return '{' .. table.concat(parts, ', ') .. '}'
end

--- All figures, of each round. True if the file could be written.
function M.write_json(path, results, about)
  local file = io.open(path, 'w')
  if not file then return false end
  local rows = {}
  for i, r in ipairs(results) do
    rows[i] = json {
      name = r.row.name, title = r.row.title, unit = r.row.unit, goal = goal_text(r.row),
      reached = r.reached, ok = r.ok, medians = next(r.medians) and r.medians, rounds = r.by_side,
    }
  end
  file:write('{"run": ', json(about), ',\n "rows": [\n  ', table.concat(rows, ',\n  '), '\n]}\n')
  return file:close() == true
end

return M
