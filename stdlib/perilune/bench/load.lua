--- Load on an action, and what came of it.
---
--- Closed: so many calls are in flight, each of which is followed by the next at once. Open: calls begin by a clock,
--- whatever becomes of those before. Their latency counts from the time at which they should have begun, so a provider
--- that stalls is not spared the calls that it held up.

local histogram = require 'perilune.core.histogram'
local mesh = require 'perilune'
local sys = require 'perilune.core.sys'

local M = {}

local CODES = 50 -- different ones that are counted
local EARLY = 0.001 -- seconds that a call may begin before its time, because timers are as coarse
local PAUSE = 0.0005 -- seconds between two looks for a free place

---@class perilune.bench.Options
---@field run fun(load: perilune.bench.Load): boolean Makes one call; it counts items, and raises what fails.
---@field concurrency integer Calls in flight, at most.
---@field rate number? Calls a second that begin; nil: closed.

---@class perilune.bench.Load
---@field calls integer That succeeded.
---@field failed integer
---@field items integer Chunks of streams.
---@field errors table<string, integer> Failed calls by code.
---@field latency table Of those that succeeded.
---@field stopped boolean
---@field package counting boolean
---@field package tasks table<perilune.Task, true>
---@field package flying integer
---@field package codes integer
local Load = {}
Load.__index = Load

local function clear(self)
  self.calls, self.failed, self.items, self.codes = 0, 0, 0, 0
  self.errors, self.latency = {}, histogram.new()
end

local function count_error(self, err)
  local code = type(err) == 'table' and type(err.code) == 'string' and err.code or 'HANDLER_ERROR'
  if not self.errors[code] then
    if self.codes >= CODES then code = 'others' else self.codes = self.codes + 1 end
  end
  self.errors[code] = (self.errors[code] or 0) + 1
  self.failed = self.failed + 1
end

--- One call that should have begun at `at`. What began before the warm-up was over, or is broken off at the end, does
--- not count. Returns whether it failed.
local function call(self, at)
  local counts = self.counting
  local ok, err = pcall(self.run, self)
  if self.stopped or counts ~= self.counting then return not ok end
  if not ok then
    count_error(self, err)
    return true
  end
  self.calls = self.calls + 1
  self.latency:add(sys.monotonic() - at)
end

local function keep_calling(self)
  while not self.stopped do
    local failed = call(self, sys.monotonic())
    if failed then mesh.sleep(0) end -- what fails at once waits for nothing
  end
end

--- Waits until a call that is to begin at `at` may begin.
local function wait_until(self, at)
  while not self.stopped do
    local left = at - EARLY - sys.monotonic()
    if left <= 0 then return end
    mesh.sleep(left)
  end
end

--- Begins calls by the clock. With all places taken the next waits, and its latency grows.
local function call_by_clock(self)
  local began = sys.monotonic()
  local n = 0
  while not self.stopped do
    local at = began + n / self.rate
    n = n + 1
    wait_until(self, at)
    while self.flying >= self.concurrency and not self.stopped do mesh.sleep(PAUSE) end
    self.flying = self.flying + 1
    local task
    task = mesh.spawn(function()
      call(self, math.min(at, sys.monotonic()))
      self.flying = self.flying - 1
      self.tasks[task] = nil
    end)
    self.tasks[task] = true
  end
end

--- Begins to call.
function Load:start()
  if self.rate then
    self.tasks[mesh.spawn(call_by_clock, self)] = true
    return
  end
  for _ = 1, self.concurrency do self.tasks[mesh.spawn(keep_calling, self)] = true end
end

local function traffic()
  local m = mesh.metrics()
  return { sent = m.bytes_written, received = m.bytes_read }
end

--- From now on it counts.
function Load:measure()
  clear(self)
  self.counting = true
  self.began, self.before = sys.monotonic(), traffic()
end

--- Ends it: what is in flight is broken off.
function Load:stop()
  local now = traffic()
  self.stopped = true
  self.seconds = sys.monotonic() - (self.began or sys.monotonic())
  self.sent = now.sent - (self.before and self.before.sent or now.sent)
  self.received = now.received - (self.before and self.before.received or now.received)
  for task in pairs(self.tasks) do task:cancel() end
  self.tasks = {}
end

---@param options perilune.bench.Options
---@return perilune.bench.Load
function M.new(options)
  local self = setmetatable({
    run = options.run, concurrency = options.concurrency, rate = options.rate,
    tasks = {}, flying = 0, stopped = false, counting = false,
  }, Load)
  clear(self)
  return self
end

return M
