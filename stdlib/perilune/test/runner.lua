--- busted inside the runtime. Each test, and what runs before and after it, is a task of its own: it may wait, its CPU
--- time is its own, and what it leaves open is found.

local fakes = require 'perilune.test.fakes'
local leaks = require 'perilune.test.leaks'
local meshes = require 'perilune.test.meshes'
local task = require 'perilune.task'

local M = {}

local OK, FAILED, USAGE = 0, 1, 2

local IN_TASKS = {
  it = true, finally = true, before_each = true, after_each = true,
  strict_setup = true, strict_teardown = true, lazy_setup = true, lazy_teardown = true,
}

local ENDED = { done = true, failed = true, cancelled = true }

local function place_of(element)
  local trace = element.trace
  return trace and ('%s:%d: '):format(trace.short_src, trace.currentline) or ''
end

local function left_open(element, who, left)
  return ('%s%s left open: %s'):format(place_of(element), who, table.concat(left, '; '))
end

--- The body of a test, and then a look at what it leaves.
local function checked_body(busted, run, element)
  return function()
    local mark, mesh_mark = leaks.mark(), meshes.mark()
    run()
    local ok, err = pcall(meshes.finish, mesh_mark)
    if not ok then busted.fail(place_of(element) .. tostring(err), 0) end
    local left = leaks.settle(mark)
    if #left > 0 then busted.fail(left_open(element, 'the test', left), 0) end
  end
end

--- Cancels a test that takes too long, unless it is closed before.
local function limit(t, seconds)
  if seconds == 0 then return end
  local timer = task.after(seconds, t.cancel, t, ('the test takes longer than %g s (--timeout)'):format(seconds))
  return setmetatable({}, {
    __close = function()
      timer:cancel()
      pcall(timer.await, timer)
    end,
  })
end

--- An end that nobody could catch: too much CPU time or memory.
local function publish_hard_end(busted, element, err)
  local at = element.trace or { short_src = '?', currentline = 0 }
  local trace = {
    short_src = at.short_src, currentline = at.currentline, message = err,
    traceback = type(err) == 'table' and err.traceback or nil,
  }
  busted.publish({ 'error', element.descriptor }, element, busted.context.parent(element), tostring(err), trace)
  return busted.status 'error'
end

--- Not a tail call: of an error without a place busted looks for the caller of `safe`.
local function call(safe, ...)
  local results = table.pack(safe(...))
  return table.unpack(results, 1, results.n)
end

--- Makes `busted.safe` run code of tests in tasks.
local function run_in_tasks(busted, options, passed)
  local safe = busted.safe
  busted.safe = function(descriptor, run, element)
    local is_body = run == element.run
    -- What else runs as an `it` is busted's own, around the body.
    if not IN_TASKS[descriptor] or (descriptor == 'it' and not is_body) then return safe(descriptor, run, element) end
    local body = descriptor == 'it' and checked_body(busted, run, element) or run
    local before = busted.context.get()
    local t = task.spawn(call, safe, descriptor, body, element)
    local results
    do
      local timer <close> = limit(t, options.timeout) -- luacheck: ignore
      results = table.pack(pcall(t.await, t))
    end
    if results[1] then
      if descriptor == 'it' then passed[element] = results[2]:success() end
      return table.unpack(results, 2, results.n)
    end
    if not ENDED[t.status] then -- it is the run that was broken off
      busted.skipAll = true
      error(results[2], 0)
    end
    while busted.context.get() ~= before do busted.context.pop() end
    return publish_hard_end(busted, element, results[2])
  end
end

--- Looks what a test has left together with what runs before and after it, and ends it.
local function check_around(busted, executor, passed)
  return function(element)
    local mark, mesh_mark, fake_mark = leaks.mark(), meshes.mark(), fakes.mark()
    local function publish(text)
      busted.publish({ 'error', 'it' }, element, busted.context.parent(element), text, element.trace)
    end
    executor(element)
    if passed[element] then
      local ok, err = pcall(meshes.finish, mesh_mark)
      if not ok then publish(place_of(element) .. tostring(err)) end
    else
      meshes.drop(mesh_mark)
    end
    fakes.remove(fake_mark)
    local left = passed[element] and leaks.settle(mark) or {}
    if #left > 0 then publish(left_open(element, 'before_each', left)) end
    leaks.clear(mark)
  end
end

local function adapt(busted, options)
  local passed = setmetatable({}, { __mode = 'k' })
  run_in_tasks(busted, options, passed)
  local register = busted.register
  busted.register = function(descriptor, executor, attributes)
    local is_test = descriptor == 'it' and type(executor) == 'function'
    return register(descriptor, is_test and check_around(busted, executor, passed) or executor, attributes)
  end
  return busted
end

--- Runs busted with these arguments, and returns what the process ends with.
---
---@param arguments string[]
---@param options { timeout: number }
---@return integer
function M.run(arguments, options)
  local ended, started = {}, false
  require 'busted.compatibility'.exit = function(code)
    ended.code = code
    error(ended)
  end
  local new = require 'busted.core'
  package.loaded['busted.core'] = function()
    local busted = adapt(new(), options)
    busted.subscribe({ 'suite', 'start' }, function()
      started = true
      return nil, true
    end)
    return busted
  end

  arg = table.move(arguments, 1, #arguments, 1, { [0] = 'perilune test' }) -- luacheck: ignore
  local ok, err = pcall(require 'busted.runner', { standalone = false })
  if ok then return OK end
  if err ~= ended then error(err, 0) end
  if ended.code == 0 then return OK end
  return started and FAILED or USAGE
end

return M
