--- mesh.action: what this node offers.

local callers = require 'perilune.callers'
local core = require 'perilune.core.action'

local M = {}

local OPTIONS = {
  concurrency = 'number',
  queue = 'number',
  timeout = 'number',
  cpu_limit = 'number',
  idempotent = 'boolean',
  serializer = 'string',
  description = 'string',
  allow = 'later',
  params = 'later',
  returns = 'later',
}

local function check(name, handler, options)
  if type(name) ~= 'string' then
    error(('mesh.action: a name is expected, got %s'):format(type(name)), 3)
  end
  if type(handler) ~= 'function' then
    error(('mesh.action: %q needs a function as its handler, got %s'):format(name, type(handler)), 3)
  end
  callers.check_options('mesh.action', options, OPTIONS)
  for _, field in ipairs { 'concurrency', 'queue' } do
    if options[field] and math.type(options[field]) ~= 'integer' then
      error(('mesh.action: %s: %s is not a whole number'):format(field, options[field]), 3)
    end
  end
  local serializer = options.serializer
  if serializer and serializer ~= 'msgpack' and serializer ~= 'json' then
    error(('mesh.action: serializer: %q is neither "msgpack" nor "json"'):format(serializer), 3)
  end
end

--- Offers an action. Its return values are the result; every `coroutine.yield` at its own level is a streamed chunk.
--- Registering an existing name replaces it for new calls.
---
---@param name string 1 to 255 bytes; names beginning with `_` cannot be called from other nodes.
---@param handler fun(...: any): ...: any
---@param options { concurrency: integer?, queue: integer?, timeout: number?, cpu_limit: number?, idempotent: boolean?, serializer: string?, description: string? }?
function M.action(name, handler, options)
  options = options or {}
  check(name, handler, options)
  core.action(name, handler, {
    concurrency = options.concurrency,
    queue = options.queue,
    timeout = options.timeout,
    cpu_limit = options.cpu_limit,
    json = options.serializer == 'json',
  }, {
    serializer = options.serializer,
    description = options.description,
    idempotent = options.idempotent,
  })
end

--- Withdraws an action; calls in flight finish. False when there is none of that name.
---
---@param name string
---@return boolean
function M.remove(name)
  if type(name) ~= 'string' then
    error(('mesh.remove: a name is expected, got %s'):format(type(name)), 2)
  end
  return core.remove(name)
end

return M
