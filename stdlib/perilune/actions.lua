--- mesh.action: what this node offers.

local check = require 'perilune.check'
local choice = require 'perilune.choice'
local core = require 'perilune.core.action'

local M = {}

local WEIGHT_MAX = 10000

local OPTIONS = {
  concurrency = 'count',
  queue = 'count',
  timeout = 'seconds',
  cpu_limit = 'seconds',
  idempotent = 'boolean',
  share = 'boolean',
  serializer = 'string',
  description = 'string',
  strategy = 'string',
  weight = 'integer',
  allow = 'later',
  params = 'later',
  returns = 'later',
}

---@class perilune.ActionOptions
---@field concurrency integer? Handlers at once; 0 = no bound of its own.
---@field queue integer? Holds so many calls until their deadlines; unless given they wait in the queue of the node.
---@field timeout number? Seconds that a call may run.
---@field cpu_limit number? Seconds of CPU time between two waits.
---@field idempotent boolean? A repeated call does no harm.
---@field share boolean? Equal calls of one caller that come while one of them runs get the answer of that one.
---@field serializer 'msgpack'|'json'|nil
---@field description string?
---@field strategy string? Who of its providers takes a call that does not say so itself.
---@field weight integer? 1 to 10000: its share of the calls with the strategy `weighted`.

--- Offers an action. Its return values are the result; every `coroutine.yield` at its own level is a streamed chunk.
--- Registering an existing name replaces it for new calls.
---
---@param name string 1 to 255 bytes; names beginning with `_` cannot be called from other nodes.
---@param handler fun(...: any): ...: any
---@param options perilune.ActionOptions?
function M.action(name, handler, options)
  check.arg(name, 'bytes', 1, 'mesh.action')
  check.arg(handler, 'function', 2, 'mesh.action')
  options = check.options(options, OPTIONS, 3, 'mesh.action')
  local serializer = options.serializer
  if serializer and serializer ~= 'msgpack' and serializer ~= 'json' then
    error(([[option 'serializer' of mesh.action: %q is neither "msgpack" nor "json"]]):format(serializer), 2)
  end
  if options.strategy then choice.check_strategy(options.strategy, 'mesh.action', 3) end
  local weight = options.weight
  if weight and (weight < 1 or weight > WEIGHT_MAX) then
    error(("option 'weight' of mesh.action: %d is not between 1 and %d"):format(weight, WEIGHT_MAX), 2)
  end
  core.action(name, handler, {
    concurrency = options.concurrency,
    queue = options.queue,
    timeout = options.timeout,
    cpu_limit = options.cpu_limit,
    json = options.serializer == 'json',
    idempotent = options.idempotent,
    share = options.share,
  }, {
    serializer = options.serializer,
    description = options.description,
    idempotent = options.idempotent,
    strategy = options.strategy,
    weight = weight,
    concurrency = options.concurrency,
  })
end

--- Withdraws an action; calls in flight finish. False when there is none of that name.
---
---@param name string
---@return boolean
function M.remove(name)
  check.arg(name, 'bytes', 1, 'mesh.remove')
  return core.remove(name)
end

return M
