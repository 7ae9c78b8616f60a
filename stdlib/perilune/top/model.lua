--- What `perilune top` shows, computed from two looks at the nodes of a mesh: rates, and latencies of what ended
--- between the two. No terminal and no mesh: a spec can feed it.

local M = {}

---@class perilune.top.Sample One look at a node.
---@field id string
---@field name string
---@field answer table? What `_perilune.metrics` says; nil: it did not answer.

---@class perilune.top.Row Of an action at one end, of one node or of all.
---@field node string
---@field action string
---@field served boolean
---@field rate number Calls begun a second.
---@field errors number Calls failed a second.
---@field items number Items of streams a second, in both directions.
---@field p50 number? Seconds.
---@field p99 number?
---@field running integer
---@field queued integer
---@field calls integer Since the start of the node, as the next two.
---@field ok integer
---@field failed integer

--- The duration in seconds that the part `share` did not exceed; nil when there is none.
local function percentile(counts, share)
  local tops, total = {}, 0
  for top, count in pairs(counts) do
    tops[#tops + 1] = top
    total = total + count
  end
  if total == 0 then return nil end
  table.sort(tops)
  local reached = 0
  for _, top in ipairs(tops) do
    reached = reached + counts[top]
    if reached >= total * share then return top / 1e6 end
  end
end

--- Ranges as they are told, as counts by the longest duration.
local function counts_of(ranges)
  local counts = {}
  for i = 1, #ranges, 2 do counts[ranges[i]] = ranges[i + 1] end
  return counts
end

--- What came on top of `before`.
local function difference(counts, before)
  local more = {}
  for top, count in pairs(counts) do
    local n = count - (before[top] or 0)
    if n > 0 then more[top] = n end
  end
  return more
end

local function key_of(figures) return (figures.served and 'p ' or 'c ') .. figures.action end

--- The same figures as of the look before; nil: there are none, or the node was started anew, or forgot them.
local function before_of(figures, earlier)
  local before = earlier and earlier[key_of(figures)]
  return before and before.calls <= figures.calls and before or nil
end

local function rate(now, before, seconds)
  return before and seconds > 0 and math.max(0, (now - before) / seconds) or 0
end

local NOTHING = { ok = 0, failed = 0, calls = 0, sent = 0, received = 0, latency = { ranges = {} } }

--- A row of one node, with the counts that its percentiles come from.
local function row_of(sample, figures, before, seconds, last)
  -- What appears between two looks was not there before.
  local from = before or (seconds > 0 and NOTHING or nil)
  local counts = counts_of(figures.latency.ranges)
  if from then counts = difference(counts, counts_of(from.latency.ranges)) end
  if not next(counts) then counts = last and last.counts or counts_of(figures.latency.ranges) end
  local moved = figures.sent + figures.received
  return {
    node = sample.name, id = sample.id, action = figures.action, served = figures.served, counts = counts,
    rate = rate(figures.calls, from and from.calls, seconds),
    errors = rate(figures.failed, from and from.failed, seconds),
    items = rate(moved, from and from.sent + from.received, seconds), running = figures.running,
    queued = figures.queued, calls = figures.calls, ok = figures.ok, failed = figures.failed,
  }
end

local function finish(row)
  row.p50, row.p99 = percentile(row.counts, 0.5), percentile(row.counts, 0.99)
  return row
end

---@class perilune.top.Model
---@field rows perilune.top.Row[] One for each action, end and node.
---@field nodes table[]
local Model = {}
Model.__index = Model

---@return perilune.top.Model
function M.new()
  return setmetatable({ rows = {}, nodes = {}, before = {}, last = {} }, Model)
end

local function node_of(sample, seconds, before)
  local answer = sample.answer
  if not answer then return { id = sample.id, name = sample.name, state = 'no answer' } end
  local now, was = answer.metrics, before and before.metrics or {}
  return {
    id = sample.id, name = sample.name, state = answer.draining and 'draining' or 'up', uptime = answer.uptime,
    links = now.links_now, tasks = now.tasks_now, running = now.requests_now, queued = now.requests_queued_now,
    held = now.held_bytes_now, rate = rate(now.requests_received, was.requests_received, seconds),
    calls = rate(now.calls_opened, was.calls_opened, seconds),
    relayed = rate(now.relays_opened, was.relays_opened, seconds),
  }
end

--- Takes a look at all nodes, in their order.
---
---@param samples perilune.top.Sample[]
function Model:take(samples)
  local rows, nodes, before, last = {}, {}, {}, {}
  for i, sample in ipairs(samples) do
    local answer, was = sample.answer, self.before[sample.id]
    if answer and was and was.answer.uptime > answer.uptime then was = nil end -- another start of it
    local seconds = answer and was and answer.uptime - was.answer.uptime or 0
    nodes[i] = node_of(sample, seconds, was and was.answer)
    if answer then
      local own = {}
      for _, figures in ipairs(answer.actions) do
        local key = sample.id .. key_of(figures)
        own[key_of(figures)] = figures
        local row = row_of(sample, figures, before_of(figures, was and was.figures), seconds, self.last[key])
        rows[#rows + 1], last[key] = finish(row), row
      end
      before[sample.id] = { answer = answer, figures = own }
    end
  end
  self.rows, self.nodes, self.before, self.last = rows, nodes, before, last
end

--- One row for each action and end, of all nodes together.
---
---@return perilune.top.Row[]
function Model:together()
  local rows, by = {}, {}
  for _, row in ipairs(self.rows) do
    local key = key_of(row)
    local sum = by[key]
    if not sum then
      sum = { action = row.action, served = row.served, counts = {}, at = 0, rate = 0, errors = 0, items = 0,
        running = 0, queued = 0, calls = 0, ok = 0, failed = 0 }
      by[key], rows[#rows + 1] = sum, sum
    end
    sum.at = sum.at + 1
    sum.node = sum.at == 1 and row.node or sum.at .. ' nodes'
    for _, name in ipairs { 'rate', 'errors', 'items', 'running', 'queued', 'calls', 'ok', 'failed' } do
      sum[name] = sum[name] + row[name]
    end
    for top, count in pairs(row.counts) do sum.counts[top] = (sum.counts[top] or 0) + count end
  end
  for _, row in ipairs(rows) do finish(row) end
  return rows
end

return M
