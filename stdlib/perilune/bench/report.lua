--- What a load has measured, in words and as JSON.

local mesh = require 'perilune'
local progress = require 'perilune.cli.progress'
local sorted_keys = require 'perilune.sorted_keys'

local M = {}

local SHARES = { { 'p50', 0.5 }, { 'p90', 0.9 }, { 'p99', 0.99 }, { 'p999', 0.999 } }

--- Seconds in few letters: `12 us`, `1.25 ms`, `3.0 s`.
---
---@param seconds number
---@return string
function M.time(seconds)
  if seconds < 999.5e-6 then return ('%.0f us'):format(seconds * 1e6) end
  if seconds < 0.9995 then return ('%.3g ms'):format(seconds * 1e3) end
  return ('%.3g s'):format(seconds)
end

local function per_second(n, seconds) return seconds > 0 and n / seconds or 0 end

--- The figures as one table, for JSON.
---
---@param load perilune.bench.Load
---@param action string
---@return table
function M.figures(load, action)
  local h = load.latency
  local latency = { max = h:longest(), mean = h:mean() }
  for _, share in ipairs(SHARES) do latency[share[1]] = h:at(share[2]) end
  return {
    action = action,
    mode = load.rate and 'open' or 'closed',
    target_rate = load.rate,
    concurrency = load.concurrency,
    seconds = load.seconds,
    calls = load.calls,
    rate = per_second(load.calls, load.seconds),
    failed = load.failed,
    errors = next(load.errors) and load.errors or mesh.null,
    items = load.items,
    item_rate = per_second(load.items, load.seconds),
    latency = latency,
    bytes_sent = load.sent,
    bytes_received = load.received,
  }
end

--- The figures for people.
---
---@param load perilune.bench.Load
---@param streams boolean
---@return string # lines
function M.text(load, streams)
  local h, seconds, lines = load.latency, load.seconds, {}
  local function add(name, format, ...) lines[#lines + 1] = ('%-9s %s\n'):format(name, format:format(...)) end
  add(streams and 'streams' or 'calls', '%d, %.0f/s', load.calls, per_second(load.calls, seconds))
  if streams then add('items', '%d, %.0f/s', load.items, per_second(load.items, seconds)) end
  if h:count() > 0 then
    add('latency', 'p50 %s  p90 %s  p99 %s  p99.9 %s  max %s', M.time(h:at(0.5)), M.time(h:at(0.9)),
      M.time(h:at(0.99)), M.time(h:at(0.999)), M.time(h:longest()))
  end
  if load.failed > 0 then
    local parts = {}
    for i, code in ipairs(sorted_keys(load.errors)) do parts[i] = ('%s %d'):format(code, load.errors[code]) end
    add('failed', '%d: %s', load.failed, table.concat(parts, ', '))
  end
  add('bytes', '%s sent, %s received', progress.size(load.sent), progress.size(load.received))
  return table.concat(lines)
end

--- One line of how it stands.
---
---@param load perilune.bench.Load
---@param elapsed number Seconds.
---@return string
function M.line(load, elapsed)
  local n = load.items > 0 and load.items or load.calls
  return ('%s  %.0f/s  p50 %s  p99 %s%s'):format(progress.time(elapsed), per_second(n, elapsed),
    M.time(load.latency:at(0.5)), M.time(load.latency:at(0.99)),
    load.failed > 0 and ('  %d failed'):format(load.failed) or '')
end

return M
