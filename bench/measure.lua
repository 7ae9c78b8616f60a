--- What the benchmark runs to get its figures: a function for each kind of rows, which takes the commands of a side,
--- the options and one of the rows, and returns figures by name of row. Where a run fails, figures are missing.

local process = require 'process'

local STARTS = 5 -- of each server in a round
local GRACE = 20 -- seconds that a client may take beyond its workload
local KNOWN_FEW, KNOWN_MANY, KNOWN_ACTIONS = 50, 150, 5000
local TRACED_PAIRS = 5
local WORKERS_TURNS = 7

local M = { STARTS = STARTS }

--- What a command prints on `o.cpu`, or on all CPUs, as fields; none where it failed or took `seconds` too long.
local function run(command, values, seconds, o)
  values.SECONDS = ('%g'):format(o.seconds)
  local limit = ('timeout --foreground %g %s'):format(seconds + GRACE, process.on(o))
  local text, ok = process.output(limit .. process.filled(command, values))
  return ok and process.fields(text) or {}
end

--- The figure of one run of a workload, in the unit of its row.
function M.client(row, command, url, o)
  local work = row.work or row.name
  local result = run(command, { URL = url, WORKLOAD = work }, o.seconds, o)
  if result.workload ~= work then return nil end
  if row.unit == 'us' then return result.p50_us end
  local rate = result.count / result.seconds
  return row.unit == 'GB/s' and rate * row.bytes / 1e9 or rate
end

--- Milliseconds from spawn to the ready line, and MiB once idle.
function M.starts(side, o)
  local text, ok = process.output(process.on(o) .. process.filled(side.starts, { URL = 'tcp://127.0.0.1:0' }))
  local result = process.fields(text)
  return ok and { start = result.start_ms, memory = result.rss_kib / 1024 } or {}
end

--- Seconds of virtual time until every table is right after a loss, and milliseconds of CPU of a node for a flap.
function M.mesh(side, o, row)
  local text, ok = process.output(('%s%s%d 2>&1'):format(process.on(o), side.mesh, row.nodes))
  local lost, cpu = tonumber(text:match 'lost[^\n]* ([%d.]+) s'), tonumber(text:match 'cpu +([%-%d]+) us')
  if not ok or not lost or not cpu then return {} end
  return { ['loss_' .. row.nodes] = lost, ['flap_' .. row.nodes] = cpu / 1000 }
end

--- Thousands of bytes that a node of a busy mesh sends about the mesh in a minute.
function M.news(side, o, row)
  local text, ok = process.output(('%s%s%d 2>/dev/null'):format(process.on(o), side.news, row.nodes))
  local bytes = process.fields(text).bytes
  return ok and bytes and { [row.name] = bytes / 1000 } or {}
end

--- The same of a mesh at rest.
function M.rest(side, o, row)
  local text, ok = process.output(('%s%s%d rest 2>/dev/null'):format(process.on(o), side.news, row.nodes))
  local bytes = process.fields(text).bytes
  return ok and bytes and { [row.name] = bytes / 1000 } or {}
end

--- Thousands of bytes that a node holds for each node, and each action, that it knows.
function M.known(side, o)
  local function bytes(part, count, url)
    return run(side.known[part], { COUNT = tostring(count), URL = url }, o.seconds, o).bytes
  end
  local few, many = bytes('nodes', KNOWN_FEW), bytes('nodes', KNOWN_MANY)
  local server <close> = process.start_server(side.known.server, o)
  local action = bytes('actions', KNOWN_ACTIONS, server.url)
  return {
    known_node = few and many and (many - few) / (KNOWN_MANY - KNOWN_FEW) / 1000,
    known_action = action and action / 1000,
  }
end

--- Milliseconds that `perilune call` takes, from its start to its end.
function M.cold(side, o)
  local server <close> = process.start_server(side.server, o)
  return { cold_call = run(side.cold, { URL = server.url }, o.seconds, o).whole_ms }
end

--- Calls a second of which one in a hundred is traced, over those without: the median over pairs of runs.
function M.traced(side, o)
  local server <close> = process.start_server(side.server, o)
  local part = setmetatable({ seconds = o.seconds / 2 }, { __index = o })
  local ratios = {}
  for i = 1, TRACED_PAIRS do
    local rates = {}
    for j = 0, 1 do -- in turns, so that none is always the first
      local traced = (i + j) % 2 == 1
      local values = { URL = server.url, WORKLOAD = 'unary_64', SAMPLE = traced and '100' or '0' }
      local r = run(side.traced, values, part.seconds, part)
      if not r.count then return {} end
      rates[traced] = r.count / r.seconds
    end
    ratios[i] = rates[true] / rates[false]
  end
  table.sort(ratios)
  return { traced = ratios[(TRACED_PAIRS + 1) // 2] }
end

--- Percent of what the slots can give, and p99 over that with a caller for each slot.
function M.overload(side, o)
  local server <close> = process.start_server(side.overload.server, o)
  local function of(kind)
    local r = run(side.overload.client, { URL = server.url, KIND = kind }, 4 * o.seconds, o)
    return r.p99_10 and r
  end
  local r, figures = of 'wait', {}
  if r then
    figures = {
      good_1 = r.good_1, good_2 = r.good_2, good_10 = r.good_10,
      late_1 = r.p99_1 / r.p99_full, late_2 = r.p99_2 / r.p99_full, late_10 = r.p99_10 / r.p99_full,
    }
  end
  for _, kind in ipairs { 'bound', 'burn' } do
    r = of(kind)
    if r then figures['good_' .. kind], figures['late_' .. kind] = r.good_10, r.p99_10 / r.p99_full end
  end
  return figures
end

--- What reloads cost.
function M.reload(side, o)
  local server <close> = process.start_server(side.reload.server, o)
  local folder = os.tmpname()
  os.remove(folder)
  os.execute('mkdir ' .. process.quoted(folder))
  local figures = run(side.reload.client, { URL = server.url, FOLDER = folder }, 2 * o.seconds + 2 * GRACE, o)
  os.execute('rm -r ' .. process.quoted(folder))
  return figures
end

--- CPU time of a script that computes, in perilune over that in plain Lua: of each the least there was.
function M.pure(side, o)
  local least = {}
  for _ = 1, STARTS do
    for i, command in ipairs(side.pure) do
      local seconds = process.fields(process.output(('%s%s 2>/dev/null'):format(process.on(o), command))).pure
      if not seconds then return {} end
      least[i] = math.min(least[i] or seconds, seconds)
    end
  end
  return { governor = least[1] / least[2] }
end

--- Calls that compute, with worker threads over those without: the median over short runs in turns, because what else
--- the machine does changes from one second to the next. And how late calls to another script on the node's thread are
--- meanwhile: where they share the thread, with as many threads as compute, and with one, over what they take when
--- nobody computes. On all CPUs.
function M.workers(side, o)
  local all = setmetatable({ cpu = 'all' }, { __index = o })
  local short = setmetatable({ seconds = 4 * o.seconds / WORKERS_TURNS }, { __index = all })
  local none <close> = process.start_server(side.workers.server(0), all)
  local one <close> = process.start_server(side.workers.server(1), all)
  local two <close> = process.start_server(side.workers.server(2), all)
  local ratios = { {}, {} }
  for _ = 1, WORKERS_TURNS do
    local function computes(server)
      return run(side.workers.client, { URL = server.url, PART = 'computes' }, 4 * o.seconds, short).computes
    end
    local base, with_one, with_two = computes(none), computes(one), computes(two)
    if not (base and with_one and with_two) then return {} end
    table.insert(ratios[1], with_one / base)
    table.insert(ratios[2], with_two / base)
  end
  for _, list in ipairs(ratios) do table.sort(list) end
  local function beside(server)
    return run(side.workers.client, { URL = server.url, PART = 'beside' }, 4 * o.seconds, all)
  end
  local loop, worker, workers = beside(none), beside(one), beside(two)
  return {
    workers_1 = ratios[1][(WORKERS_TURNS + 1) // 2],
    workers_2 = ratios[2][(WORKERS_TURNS + 1) // 2],
    beside_loop = loop.beside_ms,
    beside_worker = workers.beside_ms,
    beside_idle = worker.idle_ms and worker.beside_ms / worker.idle_ms,
  }
end

--- Runs a part of a bulk workload. `more`: arguments behind those of every part.
local function run_part(side, part, url, o, more)
  return run(side.part .. (more or ''), { URL = url, PART = part }, o.seconds, o)
end

--- The p99 of calls beside a stream of blocks, over a relay.
function M.beside_relay(side, o)
  local server <close> = process.start_server(side.server, o)
  local relay <close> = process.start_server(side.relay { server.url }, o)
  return { beside_relay = run_part(side, 'beside', relay.url, o).busy_us }
end

--- What 100 MB through two relays and back come to, and by how much each node grew at most meanwhile.
local function run_far(side, server, near, o)
  local far <close> = process.start_server(side.relay { near.url }, o)
  local nodes = { server = server, far = near, near = far } -- as the client sees them
  local more, figures = '', {}
  for name, node in pairs(nodes) do more = ('%s %s %s'):format(more, name, process.process_of(node)) end
  for _, part in ipairs { 'down', 'up' } do
    local r = run_part(side, part, far.url, o, more)
    figures[part] = r.rate and r.rate / 1e9
    for name, value in pairs(r) do
      if name ~= 'rate' then figures[name] = math.max(figures[name] or 0, value / (1 << 20)) end
    end
  end
  return figures
end

--- What bulk streams come to and cost others.
function M.bulk(side, o)
  local server <close> = process.start_server(side.server, o)
  local near <close> = process.start_server(side.relay { server.url }, o)
  local beside, many = run_part(side, 'beside', server.url, o), run_part(side, 'many', server.url, o)
  local figures = run_far(side, server, near, o)
  local items = run_part(side, 'items', server.url, o)
  figures.many = many.items
  figures.items_up = items.up_ns and items.up_ns / items.down_ns
  figures.beside = beside.busy_us and beside.busy_us / (2 * beside.idle_us + 1000)
  return figures
end

return M
